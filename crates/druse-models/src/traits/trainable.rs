//! What a model is to the driver that trains it.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::graph::Multigraph;
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use crate::{ModelError, Objective};

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

/// One part of a training objective: a weighted mean over the items of a batch, as a sum over the items and how many
/// there are. Kept apart so that a batch can be differentiated one micro-batch at a time.
pub struct LossTerm {
    /// Name for the log.
    pub name: &'static str,
    /// Sum over the items; shape `[1]`.
    pub sum: Tensor<1>,
    /// Number of items.
    pub count: f64,
    /// Factor of the mean in the objective.
    pub weight: f64,
}

/// The work of a micro-batch of a batch that does not depend on the weights, done: noise, corrupted crystals, graphs, angles,
/// targets. It is made on any thread, ahead of the step that uses it.
pub trait Prepared: Send + Sync {
    /// The parts of the objective, always the same ones in the same order; the objective is the weighted sum of their means.
    ///
    /// # Errors
    /// [`ModelError`] when the device fails.
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError>;
}

/// A remark on one structure of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Index of the structure in what was looked at.
    pub index: usize,
    /// What is unusual about it and how the model handles it.
    pub text: String,
}

/// A model whose parameters are learned from structures. Parameters live outside, so that the training values and
/// their moving average are used by the same object.
pub trait Trainable: Send + Sync {
    /// The name under which configuration files and checkpoints know this kind of model (`gemsdiff`).
    fn kind(&self) -> &'static str;

    /// Name, shape and initialisation of every trainable tensor, in a fixed order.
    fn parameters(&self) -> &[ParamSpec];

    /// Takes from the training set what the model has to know of it (scalers, the largest cell) before training.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError>;

    /// The fitted statistics as JSON, to be kept in the checkpoint.
    fn statistics(&self) -> Value;

    /// Restores what [`Trainable::statistics`] returned.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the value is not of this model's form.
    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError>;

    /// Looks at a data set before it is used: does the work that every pass over it would repeat, and reports
    /// structures that are handled in an unusual way.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn inspect(&self, _structures: &[&Structure]) -> Result<Vec<Remark>, ModelError> {
        Ok(Vec::new())
    }

    /// Does what the objective on a micro-batch of a batch needs besides the weights. `noise` has one key per structure.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError>;

    /// Number of items of each part of the objective on a batch, in the order of [`Prepared::loss`].
    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64>;

    /// The graph that the network reads of a structure in its own cell, for measurements of the search alone; `None` for a
    /// model without graphs.
    ///
    /// # Errors
    /// [`ModelError`] when the structure cannot be represented.
    fn graph(&self, _structure: &Structure) -> Result<Option<Multigraph>, ModelError> {
        Ok(None)
    }

    /// By which number states of a training run are compared on the validation structures; smaller is better.
    fn criterion(&self, objective: &Objective) -> f64 {
        objective.total
    }
}
