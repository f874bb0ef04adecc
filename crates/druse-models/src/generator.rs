//! What a model is to the drivers that train and sample it.

use burn::tensor::Tensor;
use druse_crystal::{Composition, Structure};
use druse_nn::memory::ComputeError;
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use crate::PieceLimit;

/// What a model refuses to do, in words for its user.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The request asks for something this kind of model cannot serve.
    #[error("{model} cannot serve a {condition} condition; models that can: {alternatives}")]
    Unsupported {
        /// Kind of the model.
        model: &'static str,
        /// Kind of the condition.
        condition: &'static str,
        /// Model kinds that serve it.
        alternatives: String,
    },
    /// A structure or composition has more atoms than the model was trained for.
    #[error("{what} has {atoms} atoms, but the model was trained on cells of at most {limit}")]
    TooManyAtoms {
        /// The formula or identifier.
        what: String,
        /// Its number of atoms.
        atoms: usize,
        /// The largest cell of the training set.
        limit: usize,
    },
    /// An element lies outside the model's embedding table.
    #[error("{element} (Z = {z}) is beyond the {limit} elements that the model knows")]
    UnknownElement {
        /// Symbol.
        element: String,
        /// Atomic number.
        z: u8,
        /// Largest atomic number that has an embedding.
        limit: u8,
    },
    /// The network returned something that is no crystal (NaN coordinates, a cell without volume).
    #[error("the network returned no valid crystal: {0}")]
    Output(String),
    /// The configuration or the stored statistics do not describe a model.
    #[error("invalid model configuration: {0}")]
    Config(String),
    /// A single structure needs more memory than the device has.
    #[error("{what} ({atoms} atoms) alone does not fit into the memory of the device")]
    TooLarge {
        /// Its formula.
        what: String,
        /// Its number of atoms.
        atoms: usize,
    },
    /// The device failed.
    #[error(transparent)]
    Compute(#[from] ComputeError),
}

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Draws composition, count and geometry by itself.
    pub unconditional: bool,
    /// Takes the list of atoms of the cell and draws the geometry.
    pub composition: bool,
}

/// What a sampled crystal has to satisfy.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Nothing: the model draws everything.
    Unconditional,
    /// These atoms, all of them in one cell.
    Composition(Composition),
}

/// One structure to draw. The same (`seed`, `index`, `condition`) always yields the same structure,
/// whatever is sampled beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleRequest {
    /// Condition.
    pub condition: Condition,
    /// Seed of the whole run.
    pub seed: u64,
    /// Index of the structure within the run.
    pub index: u64,
}

/// Identifies the noise that one training structure receives: equal keys draw equal noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseKey {
    /// Seed of the run.
    pub seed: u64,
    /// Pass over the data.
    pub epoch: u64,
    /// Index of the structure in its data set.
    pub index: u64,
}

/// One part of a training objective: a sum over the items of a batch and how many items there are. Kept apart so that
/// a batch can be differentiated piece by piece.
pub struct LossTerm {
    /// Name for the log.
    pub name: &'static str,
    /// Sum over the items; shape `[1]`.
    pub sum: Tensor<1>,
    /// Number of items; the objective is the mean.
    pub count: f64,
}

/// The work of a piece of a batch that does not depend on the weights, done: noise, corrupted crystals, graphs, angles,
/// targets. It is made on any thread, ahead of the step that uses it.
pub trait Prepared: Send + Sync {
    /// The parts of the objective, always the same ones in the same order; the objective is the sum of their means.
    ///
    /// # Errors
    /// [`ModelError`] when the device fails.
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError>;
}

/// A structure that left its sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// The number under which it was added.
    pub ticket: u64,
    /// The structure, or why there is none.
    pub result: Result<Structure, ModelError>,
}

/// Reverse processes in flight; the driver owns the loop. Structures may be added at any time and leave when they are
/// finished or have failed, so those in flight may be at different steps.
pub trait Sampler: Send {
    /// Number of calls of [`Sampler::step`] that a structure takes.
    fn total_steps(&self) -> usize;

    /// Takes in one more structure; `ticket` tells it from the others when it leaves.
    ///
    /// # Errors
    /// As [`Generator::check`].
    fn add(&mut self, ticket: u64, request: &SampleRequest) -> Result<(), ModelError>;

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

/// A generative model of crystals as the drivers see it. Parameters live outside, so that the training values and
/// their moving average are used by the same object.
pub trait Generator: Send + Sync {
    /// The name under which configuration files and checkpoints know this kind of model (`gemsdiff`).
    fn kind(&self) -> &'static str;

    /// What it can be asked for.
    fn capabilities(&self) -> Capabilities;

    /// Name, shape and initialisation of every trainable tensor, in a fixed order.
    fn parameters(&self) -> &[ParamSpec];

    /// Takes from the training set what the model has to know of it (scalers, the largest cell) before training.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError>;

    /// The fitted statistics as JSON, to be kept in the checkpoint.
    fn statistics(&self) -> Value;

    /// Restores what [`Generator::statistics`] returned.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the value is not of this model's form.
    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError>;

    /// Does what the objective on a piece of a batch needs besides the weights. `noise` has one key per structure.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn prepare<'a>(
        &'a self,
        piece: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError>;

    /// Number of items of each part of the objective on a batch, in the order of [`Prepared::loss`].
    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64>;

    /// Whether the model can serve a request.
    ///
    /// # Errors
    /// [`ModelError`] with the reason when it cannot.
    fn check(&self, request: &SampleRequest) -> Result<(), ModelError>;

    /// A sampler without structures. On an accelerator it computes at most `limit` atoms at a time and lowers the limit
    /// when they do not fit; on the CPU each structure is computed alone.
    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a PieceLimit) -> Box<dyn Sampler + 'a>;
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
    let limit = PieceLimit::for_device(params.device());
    let mut sampler = generator.sampler(params, &limit);
    for (ticket, request) in (0..).zip(requests) {
        sampler.add(ticket, request)?;
    }
    let mut finished = Vec::with_capacity(requests.len());
    while !sampler.is_empty() {
        finished.extend(sampler.step());
    }
    finished.sort_unstable_by_key(|s| s.ticket);
    Ok(finished.into_iter().map(|s| s.result).collect())
}
