//! What a model is to the drivers that train and sample it.

use burn::tensor::Tensor;
use druse_crystal::{Composition, Structure};
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

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

/// A reverse process over a fixed list of requests; the driver owns the loop.
pub trait Sampler: Send {
    /// Number of calls of [`Sampler::step`] until the structures are finished.
    fn total_steps(&self) -> usize;

    /// Advances every structure by one step.
    ///
    /// # Errors
    /// [`ModelError`] when the whole batch cannot continue; a single failed structure is reported by `finish`.
    fn step(&mut self) -> Result<(), ModelError>;

    /// The finished structures, in the order of the requests.
    fn finish(self: Box<Self>) -> Vec<Result<Structure, ModelError>>;
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

    /// The parts of the objective on a batch, always the same ones in the same order; the objective is the sum of
    /// their means. `noise` has one key per structure.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn loss(
        &self,
        params: &Params,
        batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Vec<LossTerm>, ModelError>;

    /// Number of items of each part of the objective on a batch, in the order of [`Generator::loss`].
    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64>;

    /// Starts the reverse process for these requests.
    ///
    /// # Errors
    /// [`ModelError`] for conditions the model cannot serve.
    fn sampler<'a>(
        &'a self,
        params: &'a Params,
        requests: &[SampleRequest],
    ) -> Result<Box<dyn Sampler + 'a>, ModelError>;
}
