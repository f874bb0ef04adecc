//! What a model is to the driver that trains it.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::graph::Multigraph;
use druse_nn::{ParamGroup, ParamSpec, Params, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ModelError;

/// Named arrays of numbers: shape and row-major values.
pub type Arrays = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Identifies the noise that one training structure receives: equal keys draw equal noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoiseKey {
    /// Seed of the run.
    pub seed: u64,
    /// Pass over the data.
    pub epoch: u64,
    /// Index of the structure in its data set.
    pub index: u64,
}

impl NoiseKey {
    /// The key for one repetition of one phase: the key itself for the first of the first, and one with an unrelated seed
    /// for all others, so that no two draw the same noise.
    pub fn for_repetition(self, phase: usize, repetition: u64) -> Self {
        Self { seed: repetition_seed(self.seed, phase, repetition), ..self }
    }
}

/// A seed for one repetition of one phase of a training step: `seed` for the first of the first, otherwise a hash.
pub fn repetition_seed(seed: u64, phase: usize, repetition: u64) -> u64 {
    if phase == 0 && repetition == 0 {
        return seed;
    }
    // The finalizer of SplitMix64 (Steele, Lea, Flood 2014), twice: once to spread the position, once to mix it in.
    let mix = |mut z: u64| {
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let position = ((phase as u64) << 32).wrapping_add(repetition);
    mix(seed ^ mix(position.wrapping_add(0x9e37_79b9_7f4a_7c15)))
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
    /// In training mode ([`Params::is_training`]) layers with buffers note how these change ([`Params::note_update`]);
    /// the trainer makes the changes after the step, in the order of the micro-batches.
    ///
    /// # Errors
    /// [`ModelError`] when the device fails.
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError>;
}

/// Value of an objective: total and named parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// What is minimized.
    pub total: f64,
    /// Means of the parts, without their weights.
    pub parts: Vec<(&'static str, f64)>,
}

/// A warning on one structure of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Index of the structure in what was looked at.
    pub index: usize,
    /// What is unusual about it and how the model handles it.
    pub text: String,
}

/// What the forward pass of a training step knows of the batch beyond each structure by itself, and so what may be cut.
/// It is about training alone: evaluation uses statistics that were gathered, and any cut gives the same numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BatchStatistics {
    /// Nothing: the parts of the objective are sums over structures, and a cut changes no result.
    #[default]
    Independent,
    /// Statistics of each micro-batch by itself (Hoffer et al. 2017: ghost batch normalization). The cut is part of the
    /// definition of the training: it follows from the batch and the limit of a run, and where memory does not suffice
    /// the program refuses instead of making micro-batches smaller.
    PerMicroBatch,
    /// Statistics of the whole batch, which is never cut. Where memory does not suffice the program refuses.
    Whole,
}

/// Which trainable parameters a phase moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PhaseParameters {
    /// All.
    #[default]
    All,
    /// Those below one of these dotted paths: `critic` stands for `critic` and `critic.layer.weight`, not for
    /// `critics.weight`.
    Below(Vec<&'static str>),
}

impl PhaseParameters {
    /// The group of tensors.
    pub fn group(&self, specs: &[ParamSpec]) -> ParamGroup {
        let below = |name: &str, path: &str| {
            name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        ParamGroup::of(specs, |name| match self {
            Self::All => true,
            Self::Below(paths) => paths.iter().any(|path| below(name, path)),
        })
    }
}

/// Where the optimizer of a phase differs from the one that the configuration of the run describes; `None` takes the value
/// of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PhaseOptimizer {
    /// Learning rate; the run's schedule applies to it, and its lowest rate is at most this.
    pub lr: Option<f64>,
    /// Decays of both moments of Adam.
    pub betas: Option<[f64; 2]>,
    /// Added to the root of the second moment.
    pub eps: Option<f64>,
    /// Largest magnitude of a component of the gradient; infinity for no limit.
    pub clip_value: Option<f64>,
    /// Largest norm of the gradient of the phase; infinity for no limit.
    pub clip_norm: Option<f64>,
}

/// A part of a training step: an objective, the parameters that it moves, and how. The phases of a step follow one another,
/// each with the weights that the one before left; each has an optimizer of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Name in the log and in checkpoints: lower-case letters, digits, `_`.
    pub name: &'static str,
    /// What it moves.
    pub parameters: PhaseParameters,
    /// How it moves them.
    pub optimizer: PhaseOptimizer,
    /// Updates in one step, each with noise of its own.
    pub repetitions: u64,
    /// Whether every repetition after the first reads another batch than the step's (Gulrajani et al. 2017, Algorithm 1),
    /// from a pass over the data in an order of its own. With `false` all repetitions share the step's batch.
    pub fresh_batches: bool,
    /// Epochs, from the first on, that it takes part in; `None` for all. The run's schedule applies to it over these.
    pub epochs: Option<u64>,
}

impl Default for Phase {
    /// All parameters, by the optimizer of the run, once a step.
    fn default() -> Self {
        Self {
            name: "train",
            parameters: PhaseParameters::All,
            optimizer: PhaseOptimizer::default(),
            repetitions: 1,
            fresh_batches: true,
            epochs: None,
        }
    }
}

/// A phase of a model with its place and its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPhase {
    /// Place among the phases of the model.
    pub index: usize,
    /// What it is.
    pub phase: Phase,
    /// The tensors that it moves.
    pub group: ParamGroup,
}

impl TrainingPhase {
    /// The phases of a model, checked.
    ///
    /// # Errors
    /// [`ModelError::Config`] when two have the same name, one moves nothing or is never done, a setting is out of range, or
    /// a trainable parameter is moved by none.
    pub fn all(model: &dyn Trainable) -> Result<Vec<Self>, ModelError> {
        let (phases, specs) = (model.phases(), model.parameters());
        let wrong = |text: String| Err(ModelError::Config(text));
        let mut moved = vec![false; specs.len()];
        let mut all: Vec<Self> = Vec::new();
        for (index, phase) in phases.into_iter().enumerate() {
            let group = phase.parameters.group(specs);
            let name = phase.name;
            if name.is_empty()
                || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            {
                return wrong(format!(
                    "the phase name `{name}` is not of lower-case letters, digits and `_`"
                ));
            }
            if all.iter().any(|other| other.phase.name == name) {
                return wrong(format!("two phases are named `{name}`"));
            }
            if group.is_empty() || phase.repetitions == 0 {
                return wrong(format!("the phase `{name}` moves no trainable parameter"));
            }
            if let Some((key, value)) = phase.optimizer.out_of_range() {
                return wrong(format!("the phase `{name}` has the {key} {value}, which is out of range"));
            }
            group.indices().iter().for_each(|&i| moved[i] = true);
            all.push(Self { index, phase, group });
        }
        match specs.iter().zip(moved).find(|(spec, moved)| spec.role == Role::Trainable && !moved) {
            Some((spec, _)) => wrong(format!("no training phase moves the parameter `{}`", spec.name)),
            None => Ok(all),
        }
    }
}

impl PhaseOptimizer {
    /// The first setting that no optimizer can work with.
    fn out_of_range(&self) -> Option<(&'static str, f64)> {
        let positive = |x: f64| x > 0.0;
        let open = |x: f64| x > 0.0 && x.is_finite();
        let share = |x: f64| (0.0..1.0).contains(&x);
        let [beta1, beta2] = self.betas.map_or([None; 2], |betas| betas.map(Some));
        [
            ("learning rate", self.lr, self.lr.is_none_or(open)),
            ("beta1", beta1, beta1.is_none_or(share)),
            ("beta2", beta2, beta2.is_none_or(share)),
            ("epsilon", self.eps, self.eps.is_none_or(open)),
            ("limit of the gradient's components", self.clip_value, self.clip_value.is_none_or(positive)),
            ("limit of the gradient's norm", self.clip_norm, self.clip_norm.is_none_or(positive)),
        ]
        .into_iter()
        .find_map(|(key, value, holds)| if holds { None } else { Some((key, value?)) })
    }
}

/// A model whose parameters are learned from structures. Parameters live outside, so that the training values and
/// their moving average are used by the same object.
pub trait Trainable: Send + Sync {
    /// The name under which configuration files and checkpoints know this kind of model (`gemsdiff`).
    fn kind(&self) -> &'static str;

    /// Name, shape, initialization and role of every tensor, in a fixed order.
    fn parameters(&self) -> &[ParamSpec];

    /// Why the model cannot learn from each of these structures; `None` for those that it can learn from. The words are the
    /// same for all structures that a reason holds for: the trainer leaves them out, of training and validation, and counts
    /// them by reason.
    fn unusable(&self, structures: &[&Structure]) -> Vec<Option<String>> {
        vec![None; structures.len()]
    }

    /// Takes from the training set what the model has to know of it (scalers, the largest cell) before training.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError>;

    /// [`Trainable::fit_statistics`] of structures with their identifiers: what the trainer calls. A model that names
    /// structures of its training set implements it.
    ///
    /// # Errors
    /// As [`Trainable::fit_statistics`].
    fn fit_named_statistics(&mut self, training: &[(&str, &Structure)]) -> Result<(), ModelError> {
        let structures: Vec<&Structure> = training.iter().map(|&(_, structure)| structure).collect();
        self.fit_statistics(&structures)
    }

    /// The fitted statistics as JSON, to be kept in the checkpoint.
    fn statistics(&self) -> Value;

    /// Restores what [`Trainable::statistics`] returned.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the value is not of this model's form.
    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError>;

    /// What of the fitted statistics is too much for JSON, to be kept in the checkpoint beside them; nothing for most models.
    fn arrays(&self) -> Arrays {
        Arrays::new()
    }

    /// The training structures that the model keeps, with their identifiers, in single precision; none for most models.
    fn known_structures(&self) -> Vec<(&str, &Structure)> {
        Vec::new()
    }

    /// Restores what [`Trainable::arrays`] returned, after [`Trainable::restore_statistics`].
    ///
    /// # Errors
    /// [`ModelError::Config`] when they are not of this model's form.
    fn restore_arrays(&mut self, arrays: &Arrays) -> Result<(), ModelError> {
        match arrays.keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(ModelError::Config(format!("statistics of the training set: unknown array `{name}`")))
            }
        }
    }

    /// Looks at a data set before it is used: does the work that every pass over it would repeat, and reports
    /// structures that are handled in an unusual way.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    fn inspect(&self, _structures: &[&Structure]) -> Result<Vec<Warning>, ModelError> {
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

    /// What a training step consists of, in order: one phase that moves all parameters, unless the model says otherwise.
    /// Without a phase there is nothing to train: the model is finished when its statistics are fitted.
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::default()]
    }

    /// [`Trainable::prepare`] for the objective of a phase, by its place in [`Trainable::phases`]. A model of several phases
    /// implements this one, and `prepare` as its first phase.
    ///
    /// # Errors
    /// As [`Trainable::prepare`].
    fn prepare_phase<'a>(
        &'a self,
        _phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        self.prepare(micro_batch, noise)
    }

    /// [`Trainable::loss_counts`] for the objective of a phase.
    fn phase_loss_counts(&self, _phase: usize, batch: &[&Structure]) -> Vec<f64> {
        self.loss_counts(batch)
    }

    /// Whether the forward pass of a training step uses statistics of a batch, and of which.
    fn batch_statistics(&self) -> BatchStatistics {
        BatchStatistics::Independent
    }

    /// The fewest structures that a batch of training can have. Where an epoch leaves fewer for a batch, the trainer fills it from
    /// another one.
    fn smallest_batch(&self) -> usize {
        1
    }

    /// By which number states of a training run are compared on the validation structures; smaller is better. With several
    /// phases `objective` has the sum of their totals, and the parts of all phases in their order.
    fn criterion(&self, objective: &Objective) -> f64 {
        objective.total
    }
}
