//! The objective of a batch and its gradient, one micro-batch at a time.
//!
//! A batch is cut into micro-batches of a limited number of atoms. On the CPU micro-batches are small (their activations fit the
//! caches, memory does not grow with the batch) and run on all threads. On an accelerator they are as large as its
//! memory allows and run one after the other, prepared on the host beforehand; when one does not fit, the batch is
//! repeated in micro-batches of half the size. The cut depends on batch and limit alone and gradients are added in the order
//! of a tree over the micro-batches, so the result is the same for any number of threads. What a model declares as its
//! [`BatchStatistics`] restricts how its batches are cut in training; updates of buffers are collected in the same order.
//!
//! Several processes may work off a batch ([`Reduce`]): the cut stays what it is, each takes consecutive micro-batches, and
//! gradients are added in the order of a tree over all of them, so that the number of processes changes no number either.

use std::ops::Range;

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::device::is_host;
use druse_nn::memory::{ComputeError, guarded, release};
use druse_nn::ops::with_idle_threads;
use druse_nn::optim::{Grads, add_grads, clip, clip_values, grad_norm};
use druse_nn::{BufferUpdates, ParamGroup, Params};
use rayon::prelude::*;

use super::part::{Part, Sums, join, no_terms};
use super::reduce::{Alone, Reduce, Share, shares};
use super::tree::{Place, TreeSum};
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

    /// A share of a batch that another process has cut; `structure` gives the structure of an index.
    ///
    /// # Errors
    /// The index, where there is no such structure.
    pub fn of_share(
        model: &'a dyn Trainable,
        share: &Share,
        structure: impl Fn(u64) -> Option<&'a Structure>,
    ) -> Result<Self, u64> {
        let noise: Vec<NoiseKey> = share.micro_batches.concat();
        let found = noise.iter().map(|key| structure(key.index).ok_or(key.index));
        let structures = found.collect::<Result<_, _>>()?;
        Ok(Self { phase: share.phase, ..Self::new(model, structures, noise) })
    }

    /// Works a share off: what this batch was made of.
    ///
    /// # Errors
    /// As [`Batch::differentiate`], and [`ModelError::Compute`] when memory does not suffice: whoever has cut the batch decides
    /// what is to be done then.
    pub fn work_off(
        mut self,
        params: &Params,
        share: &Share,
        group: &ParamGroup,
    ) -> Result<Part, ModelError> {
        let sizes = share.micro_batches.iter().map(Vec::len);
        let own = sizes.scan(0, |end, n| {
            let first = *end;
            *end += n;
            Some(first..*end)
        });
        let own: Vec<Range<usize>> = own.collect();
        let place = (share.first, share.of);
        let part = guarded(|| match &share.counts {
            Some(counts) => self.differentiate_part(params, &own, place, counts, group),
            None => self.evaluate_part(params, &own),
        });
        if matches!(&part, Err(ModelError::Compute(ComputeError::OutOfMemory(_)))) {
            release(params.device());
        }
        part
    }

    /// Does the work that needs no weights now, on all threads. Results do not depend on whether this was called.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented.
    pub fn prepare(&mut self, limit: &MicroBatchLimit) -> Result<(), ModelError> {
        self.prepare_of(limit, 1)
    }

    /// [`Batch::prepare`] of the share that this process has where so many work the batch off.
    ///
    /// # Errors
    /// As [`Batch::prepare`].
    pub fn prepare_of(&mut self, limit: &MicroBatchLimit, world: usize) -> Result<(), ModelError> {
        let mut cut = self.cut(limit);
        cut.truncate(self.shares(&cut, world)[0].end);
        let micro_batches = self.prepare_all(&cut)?;
        self.ahead = Some(Ahead { cut, micro_batches });
        Ok(())
    }

    /// The objective, without gradients and in evaluation mode.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented, one alone does not fit into memory, or the device fails.
    pub fn evaluate(self, params: &Params, limit: &MicroBatchLimit) -> Result<Objective, ModelError> {
        self.evaluate_with(params, limit, &Alone)
    }

    /// [`Batch::evaluate`] by several processes.
    ///
    /// # Errors
    /// As [`Batch::evaluate`] and [`Reduce::work_off`].
    pub fn evaluate_with(
        mut self,
        params: &Params,
        limit: &MicroBatchLimit,
        reduce: &dyn Reduce,
    ) -> Result<Objective, ModelError> {
        let group = params.group().clone();
        self.repeated_until_it_fits(params, limit, true, |batch, cut| {
            let (own, others) = batch.spread(cut, reduce.world(), None);
            let mut own = || guarded(|| batch.evaluate_part(params, &cut[..own]));
            let parts = reduce.work_off(params, &group, others, &mut own)?;
            Ok(join(parts, cut.len())?.0)
        })
    }

    /// The objective in training mode and its gradient with respect to the parameters of the phase.
    ///
    /// # Errors
    /// As [`Batch::evaluate`], when the batch is empty, and [`ModelError::WholeBatch`] or [`ModelError::FixedCut`] when
    /// memory does not suffice and the model's [`BatchStatistics`] forbid another cut.
    pub fn differentiate(self, params: &Params, limit: &MicroBatchLimit) -> Result<Gradient, ModelError> {
        self.differentiate_with(params, limit, &Alone)
    }

    /// [`Batch::differentiate`] by several processes.
    ///
    /// # Errors
    /// As [`Batch::differentiate`] and [`Reduce::work_off`].
    pub fn differentiate_with(
        mut self,
        params: &Params,
        limit: &MicroBatchLimit,
        reduce: &dyn Reduce,
    ) -> Result<Gradient, ModelError> {
        let counts = self.model.phase_loss_counts(self.phase, &self.structures);
        let group = self.group.clone().unwrap_or_else(|| params.group().clone());
        self.repeated_until_it_fits(params, limit, false, |batch, cut| {
            let (own, others) = batch.spread(cut, reduce.world(), Some(&counts));
            let place = (0, cut.len());
            let mut own =
                || guarded(|| batch.differentiate_part(params, &cut[..own], place, &counts, &group));
            let parts = reduce.work_off(params, &group, others, &mut own)?;
            let (objective, grads, buffers) = join(parts, cut.len())?;
            let grads = grads.ok_or_else(|| ModelError::Config("an empty batch has no gradient".into()))?;
            // The norm depends on every gradient: reading it shows whether the device failed at any of them.
            Ok(Gradient { objective, norm: grad_norm(&grads)?, grads, buffers })
        })
    }

    /// The number of micro-batches that this process works off, the first ones, and the shares of the others.
    fn spread(&self, cut: &[Range<usize>], world: usize, counts: Option<&[f64]>) -> (usize, Vec<Share>) {
        let mut shares = self.shares(cut, world).into_iter();
        let own = shares.next().map_or(0, |own| own.end);
        let share = |range: Range<usize>| Share {
            phase: self.phase,
            counts: counts.map(<[f64]>::to_vec),
            first: range.start,
            of: cut.len(),
            micro_batches: cut[range].iter().map(|r| self.noise[r.clone()].to_vec()).collect(),
        };
        (own, shares.map(share).collect())
    }

    fn shares(&self, cut: &[Range<usize>], world: usize) -> Vec<Range<usize>> {
        let atoms = |r: &Range<usize>| self.structures[r.clone()].iter().map(|s| s.len()).sum();
        shares(&cut.iter().map(atoms).collect::<Vec<_>>(), world)
    }

    fn evaluate_part(&mut self, params: &Params, own: &[Range<usize>]) -> Result<Part, ModelError> {
        let work = |_, micro_batch: &dyn Prepared| params.scope(|| Sums::of(&micro_batch.loss(params)?));
        let mut part = Part::default();
        for sums in self.each_micro_batch(params, own, work)? {
            part.sums.append(sums);
        }
        Ok(part)
    }

    /// Gradients of consecutive micro-batches; `place` is that of the first and the number of all.
    fn differentiate_part(
        &mut self,
        params: &Params,
        own: &[Range<usize>],
        (first, of): (usize, usize),
        counts: &[f64],
        group: &ParamGroup,
    ) -> Result<Part, ModelError> {
        let total = TreeSum::new(first..first + own.len(), of, add_grads);
        let micro_batches = self.each_micro_batch(params, own, |i, micro_batch| {
            let on_threads = || {
                params.scope(|| {
                    let tracked = params.tracked_by(group).in_training();
                    let terms = micro_batch.loss(&tracked)?;
                    let grads = tracked.gradients(&combine(&terms, counts)?);
                    total.add(Place::leaf(first + i), grads);
                    Ok((Sums::of(&without_graph(terms))?, tracked.take_updates()))
                })
            };
            // Where there is one alone, its operations may use all threads.
            if own.len() == 1 { with_idle_threads(on_threads) } else { on_threads() }
        })?;
        let mut part = Part { grads: total.finish(), ..Part::default() };
        for (sums, updates) in micro_batches {
            part.sums.append(sums);
            part.buffers.extend(updates);
        }
        Ok(part)
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

/// The values alone: what was recorded for the backward pass is let go.
fn without_graph(terms: Vec<LossTerm>) -> Vec<LossTerm> {
    terms.into_iter().map(|t| LossTerm { sum: t.sum.inner(), ..t }).collect()
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
