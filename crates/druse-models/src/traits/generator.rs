//! What a generative model is to the driver that samples it.

use druse_crystal::{Composition, Structure, WyckoffSequence};
use druse_data::crystens::{Image, Normalization};
use druse_nn::Params;

use crate::{Autoencoder, Capabilities, Conditions, MicroBatchLimit, ModelError, Trainable};

/// One structure to draw. The same request always yields the same structure, whatever is sampled beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRequest {
    /// What it has to satisfy.
    pub conditions: Conditions,
    /// Seed of the whole run.
    pub seed: u64,
    /// Index of the structure within the run.
    pub index: u64,
    /// Which of the run's structures for the same target it is, from 0. A model that has an order of its structures gives
    /// them in it; one that draws them has index and seed.
    pub nth: u64,
}

impl SampleRequest {
    /// The first structure of its target.
    pub fn new(conditions: Conditions, seed: u64, index: u64) -> Self {
        Self { conditions, seed, index, nth: 0 }
    }
}

/// A structure that left its sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The number under which it was added.
    pub slot: u64,
    /// The structure, or why there is none.
    pub result: Result<Structure, ModelError>,
    /// The image that was read as the structure, of a model that makes images, if it came to one.
    pub image: Option<Image>,
}

impl Sampled {
    /// A structure that failed before there was anything to show.
    pub fn failed(slot: u64, error: ModelError) -> Self {
        Self { slot, result: Err(error), image: None }
    }
}

/// Reverse processes in flight; the driver owns the loop. Structures may be added at any time and leave when they are
/// finished or have failed, so those in flight may be at different steps.
pub trait Sampler: Send {
    /// Number of calls of [`Sampler::step`] that a structure takes.
    fn total_steps(&self) -> usize;

    /// Takes in one more structure; `slot` tells it from the others when it leaves.
    ///
    /// # Errors
    /// As [`Generator::check`].
    fn add(&mut self, slot: u64, request: &SampleRequest) -> Result<(), ModelError>;

    /// Number of structures in flight.
    fn len(&self) -> usize;

    /// Whether no structure is in flight.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of atoms in flight.
    fn atoms(&self) -> usize;

    /// Advances every structure in flight by one step and returns those that leave, in the order they came.
    fn step(&mut self) -> Vec<Sampled>;
}

/// A generative model of crystals as the drivers see it.
pub trait Generator: Trainable {
    /// What it can be asked for.
    fn capabilities(&self) -> Capabilities;

    /// Whether the model can serve conditions.
    ///
    /// # Errors
    /// [`ModelError`] with the reason when it cannot.
    fn check(&self, conditions: &Conditions) -> Result<(), ModelError> {
        self.capabilities().check(self.kind(), conditions)
    }

    /// Conditions that a structure satisfies and that this model serves, for samples that are like it: its composition, unless
    /// the model says otherwise.
    ///
    /// # Errors
    /// [`ModelError`] when the structure is none that the model knows.
    fn conditions_like(&self, structure: &Structure) -> Result<Conditions, ModelError> {
        Ok(Composition::from_species(&structure.species).into())
    }

    /// Conditions of the space group and the Wyckoff positions of a structure, for a model that can be told them but need not.
    ///
    /// # Errors
    /// [`ModelError`] when the model cannot be told them, or the structure is none that the model knows.
    fn sites_like(&self, structure: &Structure) -> Result<Conditions, ModelError> {
        self.conditions_like(structure)
    }

    /// A sampler without structures. On an accelerator it computes at most `limit` atoms at a time and lowers the limit
    /// when they do not fit. A model that is a [`Reverse`](crate::Reverse) process returns
    /// [`InFlightSampler::boxed`](crate::InFlightSampler::boxed).
    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a>;

    /// How many structures of the training set have a space group with these Wyckoff positions, in their canonical
    /// form ([`WyckoffSequence::canonical`]), the most frequent first; empty
    /// for a model that does not keep it.
    fn wyckoff_frequencies(&self) -> Vec<(WyckoffSequence, usize)> {
        Vec::new()
    }

    /// How the images are normalized that the model makes, and that are then read as structures
    /// ([`Sampled::image`]); `None` for a model that makes no images.
    fn image_normalization(&self) -> Option<Normalization> {
        None
    }

    /// The model's latent space, if it has one.
    fn autoencoder(&self) -> Option<&dyn Autoencoder> {
        None
    }
}

/// Samples a list of requests to their end; the results are in the order of the requests.
///
/// # Errors
/// As [`Generator::check`]. A structure that fails on its way is an error in its place.
pub fn sample_all(
    generator: &dyn Generator,
    params: &Params,
    requests: &[SampleRequest],
) -> Result<Vec<Result<Structure, ModelError>>, ModelError> {
    let limit = MicroBatchLimit::for_device(params.device());
    let mut sampler = generator.sampler(params, &limit);
    for (slot, request) in (0..).zip(requests) {
        sampler.add(slot, request)?;
    }
    let mut finished = Vec::with_capacity(requests.len());
    while !sampler.is_empty() {
        finished.extend(sampler.step());
    }
    finished.sort_unstable_by_key(|s| s.slot);
    Ok(finished.into_iter().map(|s| s.result).collect())
}
