//! What a generative model is to the driver that samples it.

use druse_crystal::{Composition, Element, Structure};
use druse_nn::Params;

use crate::{Autoencoder, MicroBatchLimit, ModelError, Trainable};

/// What a model can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Draws composition, count and geometry by itself.
    pub unconditional: bool,
    /// Takes the list of atoms of the cell and draws the geometry.
    pub composition: bool,
    /// Decodes points of its latent space.
    pub latent: bool,
}

/// A point of a latent space, and what of the crystal is given with it instead of being decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentCondition {
    /// The point.
    pub latent: Vec<f32>,
    /// Number of atoms.
    pub atoms: Option<usize>,
    /// Species of the atoms, kept throughout; gives the number of atoms as well.
    pub species: Option<Vec<Element>>,
}

impl LatentCondition {
    /// The point alone.
    pub fn new(latent: Vec<f32>) -> Self {
        Self { latent, atoms: None, species: None }
    }
}

impl Condition {
    /// What kind of condition it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unconditional => "unconditional",
            Self::Composition(_) => "composition",
            Self::Latent(_) => "latent",
        }
    }
}

/// What a sampled crystal has to satisfy.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Nothing: the model draws everything.
    Unconditional,
    /// These atoms, all of them in one cell.
    Composition(Composition),
    /// The crystal at a point of the model's latent space.
    Latent(LatentCondition),
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

/// A generative model of crystals as the drivers see it.
pub trait Generator: Trainable {
    /// What it can be asked for.
    fn capabilities(&self) -> Capabilities;

    /// Whether the model can serve a request.
    ///
    /// # Errors
    /// [`ModelError`] with the reason when it cannot.
    fn check(&self, request: &SampleRequest) -> Result<(), ModelError>;

    /// A sampler without structures. On an accelerator it computes at most `limit` atoms at a time and lowers the limit
    /// when they do not fit; on the CPU each structure is computed alone.
    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a>;

    /// Makes sampling shorter (or longer) than the model's own protocol: so many steps at each noise level.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a model whose steps are those it was trained for, and for no steps.
    fn set_steps_per_level(&mut self, _steps: usize) -> Result<(), ModelError> {
        let model = self.kind();
        Err(ModelError::Config(format!("a {model} model is sampled with the steps that it was trained for")))
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
