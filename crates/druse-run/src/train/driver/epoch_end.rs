//! What happens at the end of an epoch: validation, bookkeeping, checkpoints.

use std::collections::BTreeMap;

use druse_crystal::Structure;
use druse_models::Objective;

use super::step::{joined, named};
use super::{BEST, LAST, Trainer};
use crate::RunError;
use crate::checkpoint::Checkpoint;
use crate::metrics::{EpochMetric, Metric};
use crate::observer::{Event, Observer};
use crate::train::batches::pack;
use crate::train::lookahead::with_lookahead;
use crate::train::phase::PhaseState;
use crate::train::rollback::saved;

/// Epoch of the noise keys of the validation: the same noise each time, and none that training ever draws.
const VALIDATION_EPOCH: u64 = u64::MAX;

impl Trainer<'_> {
    /// Validation, bookkeeping and checkpoints at the end of an epoch.
    pub(super) fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let epoch = self.progress.epoch + 1;
        let train_loss = self.progress.loss_sum / self.data.train.len() as f64;
        let due =
            epoch.is_multiple_of(self.config.train.validation_every) || epoch == self.config.train.epochs;
        let validation = if due { self.validate()? } else { None };
        let mut best = false;
        if due {
            let criterion = validation.as_ref().map_or(train_loss, |v| self.model.criterion(&joined(v)));
            best = criterion.is_finite() && self.progress.best.is_none_or(|b| criterion < b);
            if best {
                self.progress.best = Some(criterion);
            }
            self.progress.since_best = if best { 0 } else { self.progress.since_best + 1 };
            self.progress.plateau.observe(best, &self.config.optim);
        }
        let minutes = self.seconds() / 60.0;
        let (validation_loss, validation_parts) = match validation {
            Some(v) => (Some(joined(&v).total), self.named_parts(&v)),
            None => (None, BTreeMap::new()),
        };
        let step = self.progress.step;
        let metric =
            EpochMetric { epoch, step, train_loss, validation_loss, validation_parts, best, minutes };
        observer.observe(Event::Epoch(&metric));
        self.log.write(&Metric::Epoch(metric))?;
        self.progress.epoch = epoch;
        self.progress.batch = 0;
        self.progress.loss_sum = 0.0;
        self.progress.attempt = 0;
        self.keep_state();
        if best {
            self.save(BEST, observer)?;
        }
        if epoch == self.config.train.epochs {
            self.save(LAST, observer)
        } else {
            self.save_if_sound(observer)
        }
    }

    /// Saves the latest state, except while the loss is too large: should training prove to diverge, the state before it
    /// did is still there.
    pub(super) fn save_if_sound(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let unsound = self.phases.iter().any(|phase| phase.too_large > 0);
        if unsound { Ok(()) } else { self.save(LAST, observer) }
    }

    /// Mean objective of each phase, of the averaged weights over the validation structures; `None` without structures.
    fn validate(&self) -> Result<Option<Vec<Objective>>, RunError> {
        let set = &self.data.validation;
        if set.is_empty() {
            return Ok(None);
        }
        let order: Vec<usize> = (0..set.len()).collect();
        let sizes: Vec<usize> = set.structures().map(Structure::len).collect();
        let train = &self.config.train;
        let batches = pack(&order, &sizes, train.batch_size, train.batch_atoms);
        let source = self.source(set, (train.seed, VALIDATION_EPOCH));
        let phase = |PhaseState { phase, .. }: &PhaseState| {
            with_lookahead(
                &batches,
                source.ahead,
                |indices| source.batch(phase, 0, indices),
                |prepared| {
                    let mut mean = Objective { total: 0.0, parts: Vec::new() };
                    for (indices, batch) in batches.iter().zip(prepared) {
                        let objective = batch??.evaluate_with(self.ema.params(), &self.limit, self.reduce)?;
                        let weight = indices.len() as f64 / set.len() as f64;
                        mean.total += weight * objective.total;
                        mean.parts.resize(objective.parts.len(), ("", 0.0));
                        for (sum, (name, value)) in mean.parts.iter_mut().zip(objective.parts) {
                            *sum = (name, sum.1 + weight * value);
                        }
                    }
                    Ok(mean)
                },
            )
        };
        self.phases.iter().map(phase).collect::<Result<_, RunError>>().map(Some)
    }

    /// The named parts of the objectives of all phases.
    fn named_parts(&self, objectives: &[Objective]) -> BTreeMap<String, f64> {
        let several = objectives.len() > 1;
        let phases = self.phases.iter().map(|p| several.then_some(p.phase.phase.name));
        phases.zip(objectives).flat_map(|(phase, objective)| named(phase, objective)).collect()
    }

    pub(super) fn save(&mut self, name: &str, observer: &mut dyn Observer) -> Result<(), RunError> {
        self.progress.seconds = self.seconds();
        let mut state = saved(&self.params, &self.phases, &self.ema, self.progress.clone());
        if let (LAST, Some(rollback)) = (name, &self.rollback) {
            state.earlier = rollback.saved(self.progress.batch);
        }
        let checkpoint = Checkpoint::new(
            self.model,
            self.config,
            &self.data.hash,
            &self.ema.params().to_host(),
            Some(&state),
        );
        let path = self.folder.join(name);
        checkpoint.save(&path)?;
        observer.observe(Event::Saved(&path));
        Ok(())
    }

    /// At the end of an epoch: the state after it is the one that the next goes back to.
    pub(super) fn keep_state(&mut self) {
        let now = self.rollback.is_some().then(|| self.snapshot());
        if let (Some(rollback), Some(now)) = (&mut self.rollback, now) {
            rollback.advance(now);
        }
    }
}
