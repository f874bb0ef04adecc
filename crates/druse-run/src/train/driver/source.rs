//! Batches of a set, made where they are computed or ahead of it.

use std::sync::Arc;

use druse_data::Dataset;
use druse_models::{Batch, MicroBatchLimit, ModelError, NoiseKey, Trainable, TrainingPhase};
use druse_nn::device::is_host;

use super::Trainer;

/// Batches that are prepared on the host while an accelerator computes. One covers the mean, the second a batch that
/// takes longer than others.
const AHEAD: usize = 2;

impl<'a> Trainer<'a> {
    /// Batches of a set with the noise of a seed and an epoch. The host prepares them ahead where an accelerator computes; on the
    /// CPU that would only take the threads from the computation.
    pub(super) fn source(&self, set: &'a Dataset, key: (u64, u64)) -> Source<'a> {
        Source {
            model: self.model,
            set,
            key,
            limit: self.limit.clone(),
            world: self.reduce.world(),
            ahead: if is_host(self.params.device()) { 0 } else { AHEAD },
        }
    }
}

/// Makes batches of a set.
pub(super) struct Source<'a> {
    model: &'a dyn Trainable,
    set: &'a Dataset,
    /// Seed and epoch of the noise.
    key: (u64, u64),
    limit: Arc<MicroBatchLimit>,
    /// Number of processes that share a batch.
    world: usize,
    pub(super) ahead: usize,
}

impl<'a> Source<'a> {
    pub(super) fn batch(
        &self,
        phase: &TrainingPhase,
        repetition: u64,
        indices: &[usize],
    ) -> Result<Batch<'a>, ModelError> {
        let (seed, epoch) = self.key;
        let item = |&i: &usize| {
            let key = NoiseKey { seed, epoch, index: i as u64 };
            (&self.set.entries[i].structure, key.for_repetition(phase.index, repetition))
        };
        let (structures, noise) = indices.iter().map(item).unzip();
        let mut batch = Batch::new(self.model, structures, noise).of_phase(phase);
        if self.ahead > 0 {
            batch.prepare_of(&self.limit, self.world)?;
        }
        Ok(batch)
    }
}
