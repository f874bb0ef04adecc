//! One step of a run: the updates of its phases, what is logged of them, and the bounds of their losses.

use std::collections::BTreeMap;
use std::time::Instant;

use druse_crystal::Structure;
use druse_models::{Batch, ModelError, Objective, repetition_seed};

use super::Trainer;
use crate::config::OptimConfig;
use crate::config::schedule::learning_rate;
use crate::metrics::{Metric, PhaseMetric, StepMetric};
use crate::observer::{Event, Observer};
use crate::train::batches::{fill, pack, shuffled};
use crate::train::phase::PhaseState;
use crate::{Panicked, RunError};

/// Of a phase that is over before the run is, the warm-up takes this part of its steps at most.
const SHORT_WARMUP: u64 = 20;

/// One update of a step: a repetition of a phase on a batch.
pub(super) struct Work {
    /// Place of the phase.
    pub(super) phase: usize,
    pub(super) repetition: u64,
    /// The structures of the batch.
    pub(super) indices: Vec<usize>,
}

impl<'a> Trainer<'a> {
    /// The steps of an epoch: one for each batch of a pass over the data. A repetition that reads a fresh batch has a pass
    /// of its own, in an order of its own, so that the step's batch is read once an epoch whatever the phases are.
    pub(super) fn steps(&self, epoch: u64) -> Vec<Vec<Work>> {
        let sizes: Vec<usize> = self.data.train.structures().map(Structure::len).collect();
        let pass = |phase, repetition| {
            let seed = repetition_seed(self.seed(), phase, repetition);
            let order = shuffled(sizes.len(), seed, epoch);
            let mut batches =
                pack(&order, &sizes, self.config.train.batch_size, self.config.train.batch_atoms);
            fill(&mut batches, self.model.smallest_batch());
            batches
        };
        let batches = pass(0, 0);
        let mut steps: Vec<Vec<Work>> = batches.iter().map(|_| Vec::new()).collect();
        for PhaseState { phase, .. } in &self.phases {
            if phase.phase.epochs.is_some_and(|epochs| epoch >= epochs) {
                continue;
            }
            for repetition in 0..phase.phase.repetitions {
                let fresh =
                    (repetition > 0 && phase.phase.fresh_batches).then(|| pass(phase.index, repetition));
                let source = fresh.as_ref().unwrap_or(&batches);
                for (i, works) in steps.iter_mut().enumerate() {
                    // Where atoms limit batches, another order may make fewer of them.
                    let indices = source[i % source.len()].clone();
                    works.push(Work { phase: phase.index, repetition, indices });
                }
            }
        }
        steps
    }

    /// All updates of a step, one after the other, on the batches that were made for them.
    pub(super) fn step(
        &mut self,
        works: &[Work],
        batches: &mut dyn Iterator<Item = Result<Result<Batch<'a>, ModelError>, Panicked>>,
        total: u64,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let begun = Instant::now();
        let step = self.progress.step + 1;
        let mut done: Vec<Vec<Update>> = self.phases.iter().map(|_| Vec::new()).collect();
        // A step of one update has changed nothing when the others' shares are missing.
        if self.reduce.world() > 1 && works.len() > 1 {
            self.before_step = Some(self.snapshot());
        }
        // The producer makes a batch for each work, unless it panics, which is an item, too.
        for (work, batch) in works.iter().zip(batches) {
            done[work.phase].push(self.update(work, batch??, step, total, observer)?);
        }
        self.before_step = None;
        self.ema.update(&self.params);
        self.progress.step = step;
        self.progress.batch += 1;
        let structures = works.first().map_or(0, |work| work.indices.len());
        let metric = self.metric(step, &done, structures as f64 / begun.elapsed().as_secs_f64());
        self.progress.loss_sum += metric.loss * structures as f64;
        observer.observe(Event::Step(&metric));
        self.log.write(&Metric::Step(metric))
    }

    /// One update: moves the parameters of a phase, then changes buffers as the forward passes have noted.
    fn update(
        &mut self,
        work: &Work,
        batch: Batch<'a>,
        step: u64,
        total: u64,
        observer: &mut dyn Observer,
    ) -> Result<Update, RunError> {
        let before = self.limit.atoms();
        let mut gradient = batch.differentiate_with(&self.params, &self.limit, self.reduce).map_err(
            |error| match error {
                ModelError::Collapsed(_) => {
                    RunError::Collapsed { reason: error, step, epoch: self.progress.epoch + 1 }
                }
                error => error.into(),
            },
        )?;
        if self.limit.atoms() < before {
            observer.observe(Event::MemoryLimit { atoms: self.limit.atoms() });
        }
        let (loss, grad_norm) = (gradient.objective.total, gradient.norm);
        self.check_loss(work, loss, step)?;
        if !grad_norm.is_finite() {
            return Err(self.not_finite("gradient norm", grad_norm, step, &work.indices));
        }
        let phase = &mut self.phases[work.phase];
        if let Some(limit) = phase.optim.clip_value {
            gradient.clip_values(limit);
        }
        if let Some(limit) = phase.optim.clip_norm {
            gradient.clip(limit);
        }
        let lr = match phase.phase.phase.epochs {
            None => learning_rate(&phase.optim, step, total, &self.progress.plateau),
            Some(epochs) => {
                let run = self.config.train.epochs.max(1);
                let total = total / run * epochs.min(run);
                let warmup_steps = phase.optim.warmup_steps.min(total / SHORT_WARMUP);
                let optim = OptimConfig { warmup_steps, ..phase.optim.clone() };
                learning_rate(&optim, step, total, &self.progress.plateau)
            }
        };
        self.params.apply_rewrites(&mut gradient.buffers);
        phase.adam.step(&mut self.params, &gradient.grads, lr);
        phase.remember(loss);
        self.params.apply_updates(gradient.buffers);
        Ok(Update { objective: gradient.objective, grad_norm, lr })
    }

    /// What is logged of a step; with a single update its numbers as they are.
    fn metric(&self, step: u64, done: &[Vec<Update>], structures_per_s: f64) -> StepMetric {
        let several = done.len() > 1;
        let (mut parts, mut phases) = (BTreeMap::new(), BTreeMap::new());
        let (mut loss, mut squares) = (0.0, 0.0);
        for (state, updates) in self.phases.iter().zip(done) {
            let name = state.phase.phase.name;
            // A phase may be over before the run is.
            if updates.is_empty() {
                continue;
            }
            let n = updates.len() as f64;
            let mut phase = PhaseMetric { loss: 0.0, grad_norm: 0.0, lr: 0.0 };
            for Update { objective, grad_norm, lr } in updates {
                phase.loss += objective.total / n;
                phase.grad_norm += grad_norm * grad_norm / n;
                phase.lr = *lr;
                for (part, value) in named(several.then_some(name), objective) {
                    *parts.entry(part).or_insert(0.0) += value / n;
                }
            }
            loss += phase.loss;
            squares += phase.grad_norm;
            phase.grad_norm = phase.grad_norm.sqrt();
            phases.insert(name.to_owned(), phase);
        }
        let first = done.first().and_then(|updates| updates.first());
        let lr = first.map_or(0.0, |update| update.lr);
        let grad_norm = match done {
            [updates] if updates.len() == 1 => updates[0].grad_norm,
            _ => squares.sqrt(),
        };
        if !several {
            phases.clear();
        }
        let epoch = self.progress.epoch + 1;
        StepMetric { step, epoch, loss, parts, grad_norm, lr, phases, structures_per_s }
    }

    fn check_loss(&mut self, work: &Work, loss: f64, step: u64) -> Result<(), RunError> {
        if !loss.is_finite() {
            return Err(self.not_finite("loss", loss, step, &work.indices));
        }
        let train = &self.config.train;
        if let Some(bounds) = train.loss_bounds
            && self.progress.epoch + 1 >= train.loss_bounds_from
            && !(bounds[0]..=bounds[1]).contains(&loss)
        {
            let (epoch, ids) = (self.progress.epoch + 1, self.ids(&work.indices));
            return Err(RunError::OutOfBounds { value: loss, bounds, step, epoch, ids });
        }
        let factor = train.divergence_factor;
        let phase = &mut self.phases[work.phase];
        let warming = step <= phase.optim.warmup_steps;
        if let Some(median) = phase.watch(loss, factor, warming) {
            let (epoch, ids) = (self.progress.epoch + 1, self.ids(&work.indices));
            return Err(RunError::Diverged { value: loss, median, factor, step, epoch, ids });
        }
        Ok(())
    }

    fn not_finite(&self, what: &'static str, value: f64, step: u64, batch: &[usize]) -> RunError {
        RunError::NotFinite { what, value, step, epoch: self.progress.epoch + 1, ids: self.ids(batch) }
    }

    fn ids(&self, batch: &[usize]) -> Vec<String> {
        batch.iter().map(|&i| self.data.train.entries[i].id.clone()).collect()
    }
}

/// What an update came to.
struct Update {
    objective: Objective,
    grad_norm: f64,
    lr: f64,
}

/// The parts of an objective, with the name of a phase before theirs.
pub(super) fn named(phase: Option<&str>, objective: &Objective) -> BTreeMap<String, f64> {
    let key = |name: &str| phase.map_or_else(|| name.to_owned(), |phase| format!("{phase}.{name}"));
    objective.parts.iter().map(|&(name, value)| (key(name), value)).collect()
}

/// The objectives of all phases as one: sum of the totals, all parts.
pub(super) fn joined(objectives: &[Objective]) -> Objective {
    Objective {
        total: objectives.iter().map(|o| o.total).sum(),
        parts: objectives.iter().flat_map(|o| o.parts.iter().copied()).collect(),
    }
}
