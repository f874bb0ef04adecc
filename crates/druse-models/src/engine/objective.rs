//! The objective of a batch and its gradient, one micro-batch at a time.
//!
//! A batch is cut into micro-batches of a limited number of atoms. On the CPU micro-batches are small (their activations fit the
//! caches, memory does not grow with the batch) and run on all threads. On an accelerator they are as large as its
//! memory allows and run one after the other, prepared on the host beforehand; when one does not fit, the batch is
//! repeated in micro-batches of half the size. The cut depends on batch and limit alone and gradients are added in the order
//! of the micro-batches, so the result is the same for any number of threads. What a model declares as its
//! [`BatchStatistics`] restricts how its batches are cut in training; updates of buffers are collected in the same order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::device::is_host;
use druse_nn::memory::{ComputeError, guarded, release, to_host};
use druse_nn::ops::with_idle_threads;
use druse_nn::optim::{Grads, clip, clip_values, grad_norm, sum_grads};
use druse_nn::{BufferUpdates, ParamGroup, Params};
use rayon::prelude::*;

use crate::engine::too_large;
use crate::{
    BatchStatistics, LossTerm, MicroBatchLimit, ModelError, NoiseKey, Objective, Prepared, Trainable,
    TrainingPhase,
};

/// Value and gradient of an objective.
pub struct Gradient {
    /// The value.
    pub objective: Objective,
    /// The gradient with respect to every trainable parameter, or those of the batch's phase, in the order of the parameters.
    pub grads: Grads,
    /// Euclidean norm of all gradients together, before any clipping; NaN or infinity when one of them is.
    pub norm: f64,
    /// How the forward passes change buffers, in the order of the micro-batches; to be applied after the step, rewrites of
    /// trainable tensors ([`Params::apply_rewrites`]) before it.
    pub buffers: BufferUpdates,
}

impl Gradient {
    /// Scales the gradient so that its norm is at most `limit`.
    pub fn clip(&mut self, limit: f64) {
        clip(&mut self.grads, self.norm, limit);
    }

    /// Limits every component of the gradient to ±`limit`.
    pub fn clip_values(&mut self, limit: f64) {
        clip_values(&mut self.grads, limit);
    }
}

/// The objective on a batch, without gradients, in micro-batches that suit the device.
///
/// # Errors
/// As [`Batch::evaluate`].
pub fn evaluate(
    model: &dyn Trainable,
    params: &Params,
    batch: &[&Structure],
    noise: &[NoiseKey],
) -> Result<Objective, ModelError> {
    let limit = MicroBatchLimit::for_device(params.device());
    Batch::new(model, batch.to_vec(), noise.to_vec()).evaluate(params, &limit)
}

/// The objective on a batch and its gradient, in micro-batches that suit the device.
///
/// # Errors
/// As [`Batch::differentiate`].
pub fn differentiate(
    model: &dyn Trainable,
    params: &Params,
    batch: &[&Structure],
    noise: &[NoiseKey],
) -> Result<Gradient, ModelError> {
    let limit = MicroBatchLimit::for_device(params.device());
    Batch::new(model, batch.to_vec(), noise.to_vec()).differentiate(params, &limit)
}

/// Structures with their noise, on their way to an objective.
pub struct Batch<'a> {
    model: &'a dyn Trainable,
    phase: usize,
    /// What the gradient is taken by; absent: all trainable parameters.
    group: Option<ParamGroup>,
    structures: Vec<&'a Structure>,
    noise: Vec<NoiseKey>,
    ahead: Option<Ahead<'a>>,
}

/// Micro-batches that were prepared before the weights were at hand.
struct Ahead<'a> {
    cut: Vec<Range<usize>>,
    micro_batches: Vec<Box<dyn Prepared + 'a>>,
}

impl<'a> Batch<'a> {
    /// A batch; `noise` has one key per structure.
    pub fn new(model: &'a dyn Trainable, structures: Vec<&'a Structure>, noise: Vec<NoiseKey>) -> Self {
        debug_assert_eq!(structures.len(), noise.len(), "one key per structure");
        Self { model, phase: 0, group: None, structures, noise, ahead: None }
    }

    /// The same batch for the objective and the parameters of a phase; otherwise it is for the objective of the first phase
    /// and all trainable parameters.
    pub fn of_phase(self, phase: &TrainingPhase) -> Self {
        Self { phase: phase.index, group: Some(phase.group.clone()), ahead: None, ..self }
    }

    /// Does the work that needs no weights now, on all threads. Results do not depend on whether this was called.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    pub fn prepare(&mut self, limit: &MicroBatchLimit) -> Result<(), ModelError> {
        let cut = self.cut(limit);
        let micro_batches = self.prepare_all(&cut)?;
        self.ahead = Some(Ahead { cut, micro_batches });
        Ok(())
    }

    /// The objective, without gradients and in evaluation mode.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented, one alone does not fit into memory, or the device fails.
    pub fn evaluate(mut self, params: &Params, limit: &MicroBatchLimit) -> Result<Objective, ModelError> {
        self.repeated_until_it_fits(params, limit, true, |batch, cut| {
            let work = |_, micro_batch: &dyn Prepared| {
                params.scope(|| MicroBatchSums::new(&micro_batch.loss(params)?))
            };
            let micro_batches = batch.each_micro_batch(params, cut, work)?;
            collect(micro_batches)
        })
    }

    /// The objective in training mode and its gradient with respect to the parameters of the phase.
    ///
    /// # Errors
    /// As [`Batch::evaluate`], when the batch is empty, and [`ModelError::WholeBatch`] or [`ModelError::FixedCut`] when
    /// memory does not suffice and the model's [`BatchStatistics`] forbid another cut.
    pub fn differentiate(mut self, params: &Params, limit: &MicroBatchLimit) -> Result<Gradient, ModelError> {
        let counts = self.model.phase_loss_counts(self.phase, &self.structures);
        let group = self.group.clone().unwrap_or_else(|| params.group().clone());
        self.repeated_until_it_fits(params, limit, false, |batch, cut| {
            let total = Mutex::new(OrderedSum::default());
            let micro_batches = batch.each_micro_batch(params, cut, |i, micro_batch| {
                let on_threads = || {
                    params.scope(|| {
                        let tracked = params.tracked_by(&group).in_training();
                        let terms = micro_batch.loss(&tracked)?;
                        let grads = tracked.gradients(&combine(&terms, &counts)?);
                        total.lock().unwrap_or_else(PoisonError::into_inner).add(i, grads);
                        Ok((MicroBatchSums::new(&without_graph(terms))?, tracked.take_updates()))
                    })
                };
                // Where the batch is in one, its operations may use all threads.
                if cut.len() == 1 { with_idle_threads(on_threads) } else { on_threads() }
            })?;
            let (micro_batches, noted): (Vec<_>, Vec<_>) = micro_batches.into_iter().unzip();
            let mut buffers = BufferUpdates::default();
            noted.into_iter().for_each(|updates| buffers.extend(updates));
            let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
            let grads =
                total.sum.ok_or_else(|| ModelError::Config("an empty batch has no gradient".into()))?;
            // The norm depends on every gradient: reading it shows whether the device failed at any of them.
            Ok(Gradient { objective: collect(micro_batches)?, norm: grad_norm(&grads)?, grads, buffers })
        })
    }

    /// How the batch is cut, for training and evaluation alike.
    fn cut(&self, limit: &MicroBatchLimit) -> Vec<Range<usize>> {
        match self.model.batch_statistics() {
            BatchStatistics::Whole => {
                std::iter::once(0..self.structures.len()).filter(|r| !r.is_empty()).collect()
            }
            BatchStatistics::Independent | BatchStatistics::PerMicroBatch => self.cut_smaller(limit),
        }
    }

    fn cut_smaller(&self, limit: &MicroBatchLimit) -> Vec<Range<usize>> {
        limit.cut(self.structures.iter().map(|s| s.len()))
    }

    fn prepare_micro_batch(&self, micro_batch: &Range<usize>) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let range = micro_batch.clone();
        self.model.prepare_phase(self.phase, &self.structures[range.clone()], &self.noise[range])
    }

    fn prepare_all(&self, cut: &[Range<usize>]) -> Result<Vec<Box<dyn Prepared + 'a>>, ModelError> {
        cut.par_iter().map(|micro_batch| self.prepare_micro_batch(micro_batch)).collect()
    }

    /// Runs `work` on every micro-batch: side by side on the CPU, in order on an accelerator.
    fn each_micro_batch<T: Send>(
        &mut self,
        params: &Params,
        cut: &[Range<usize>],
        work: impl Fn(usize, &dyn Prepared) -> Result<T, ModelError> + Sync,
    ) -> Result<Vec<T>, ModelError> {
        let ahead = self.ahead.take().filter(|ahead| ahead.cut == cut).map(|ahead| ahead.micro_batches);
        match (ahead, is_host(params.device())) {
            (None, true) => {
                let one = |(i, micro_batch)| work(i, self.prepare_micro_batch(micro_batch)?.as_ref());
                cut.par_iter().enumerate().map(one).collect()
            }
            (Some(micro_batches), true) => micro_batches
                .into_par_iter()
                .enumerate()
                .map(|(i, micro_batch)| work(i, micro_batch.as_ref()))
                .collect(),
            (ahead, false) => {
                let micro_batches = ahead.map_or_else(|| self.prepare_all(cut), Ok)?;
                micro_batches
                    .into_iter()
                    .enumerate()
                    .map(|(i, micro_batch)| work(i, micro_batch.as_ref()))
                    .collect()
            }
        }
    }

    /// Runs `work` on the batch as the limit cuts it; when memory does not suffice, lowers the limit and repeats. In
    /// evaluation mode every cut gives the same numbers, but the limit of a model with batch statistics stays: it is part
    /// of its training.
    fn repeated_until_it_fits<T>(
        &mut self,
        params: &Params,
        limit: &MicroBatchLimit,
        evaluation: bool,
        work: impl Fn(&mut Self, &[Range<usize>]) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let statistics = self.model.batch_statistics();
        let mut cut = self.cut(limit);
        let mut own: Option<MicroBatchLimit> = None;
        loop {
            match guarded(|| work(self, &cut)) {
                Err(ModelError::Compute(ComputeError::OutOfMemory(_))) => {
                    let atoms = self.too_many_atoms(&cut)?;
                    let model = self.model.kind();
                    match (statistics, evaluation) {
                        (BatchStatistics::Independent, _) => {
                            limit.halve(atoms);
                            cut = self.cut(limit);
                        }
                        (_, true) => {
                            let own = own.get_or_insert_with(|| MicroBatchLimit::atoms_at_most(atoms));
                            own.halve(atoms);
                            cut = self.cut_smaller(own);
                        }
                        (BatchStatistics::Whole, false) => {
                            return Err(ModelError::WholeBatch { model, atoms });
                        }
                        (BatchStatistics::PerMicroBatch, false) => {
                            return Err(ModelError::FixedCut { model, atoms });
                        }
                    }
                }
                result => return result,
            }
            release(params.device());
        }
    }

    /// Atoms of the largest micro-batch, which is the one that did not fit.
    ///
    /// # Errors
    /// [`ModelError::TooLarge`] when it is a single structure, which nothing makes smaller.
    fn too_many_atoms(&self, cut: &[Range<usize>]) -> Result<usize, ModelError> {
        let atoms =
            |micro_batch: &Range<usize>| self.structures[micro_batch.clone()].iter().map(|s| s.len()).sum();
        let largest = cut.iter().max_by_key(|micro_batch| atoms(micro_batch));
        match largest.map(|micro_batch| (&self.structures[micro_batch.clone()], atoms(micro_batch))) {
            Some(([single], _)) => Err(too_large(&single.species)),
            Some((_, atoms)) => Ok(atoms),
            None => Err(ModelError::Config("an empty batch has no objective".into())),
        }
    }
}

/// Sums of the parts of the objective over one micro-batch, still on the device.
struct MicroBatchSums {
    /// Name, number of items and weight.
    terms: Vec<(&'static str, f64, f64)>,
    sums: Tensor<1>,
}

impl MicroBatchSums {
    fn new(terms: &[LossTerm]) -> Result<Self, ModelError> {
        if terms.is_empty() {
            return Err(no_terms());
        }
        Ok(Self {
            terms: terms.iter().map(|t| (t.name, t.count, t.weight)).collect(),
            sums: Tensor::cat(terms.iter().map(|t| t.sum.clone()).collect(), 0),
        })
    }
}

/// The values alone: what was recorded for the backward pass is let go.
fn without_graph(terms: Vec<LossTerm>) -> Vec<LossTerm> {
    terms.into_iter().map(|t| LossTerm { sum: t.sum.inner(), ..t }).collect()
}

/// Reads the sums of all micro-batches at once.
fn collect(micro_batches: Vec<MicroBatchSums>) -> Result<Objective, ModelError> {
    let Some(first) = micro_batches.first() else { return Ok(Objective { total: 0.0, parts: Vec::new() }) };
    let terms = first.terms.len();
    let weights: Vec<f64> = first.terms.iter().map(|&(_, _, weight)| weight).collect();
    let mut parts: Vec<(&'static str, f64, f64)> =
        first.terms.iter().map(|&(name, ..)| (name, 0.0, 0.0)).collect();
    let counts: Vec<f64> =
        micro_batches.iter().flat_map(|p| p.terms.iter().map(|&(_, count, _)| count)).collect();
    let sums = to_host(Tensor::cat(micro_batches.into_iter().map(|p| p.sums).collect(), 0))?;
    for (i, (sum, count)) in sums.into_iter().zip(counts).enumerate() {
        let (_, total, items) = &mut parts[i % terms];
        *total += f64::from(sum);
        *items += count;
    }
    let parts: Vec<_> = parts.into_iter().map(|(name, sum, count)| (name, sum / count.max(1.0))).collect();
    let total = parts.iter().zip(weights).map(|(&(_, mean), weight)| weight * mean).sum();
    Ok(Objective { total, parts })
}

/// Adds gradients in the order of the micro-batches while they arrive in any order: the result does not depend on which was
/// ready first, and few are held at a time.
#[derive(Default)]
struct OrderedSum {
    sum: Option<Grads>,
    next: usize,
    waiting: BTreeMap<usize, Grads>,
}

impl OrderedSum {
    fn add(&mut self, index: usize, grads: Grads) {
        self.waiting.insert(index, grads);
        while let Some(grads) = self.waiting.remove(&self.next) {
            self.sum = sum_grads(self.sum.take().into_iter().chain([grads]));
            self.next += 1;
        }
    }
}

/// Weighted sum of the terms of one micro-batch, each divided by its number of items in the whole batch.
fn combine(terms: &[LossTerm], counts: &[f64]) -> Result<Tensor<1>, ModelError> {
    terms
        .iter()
        .zip(counts)
        .map(|(t, count)| t.sum.clone().mul_scalar(t.weight / count.max(1.0)))
        .reduce(|a, b| a + b)
        .ok_or_else(no_terms)
}

fn no_terms() -> ModelError {
    ModelError::Config("a model without loss terms".into())
}
