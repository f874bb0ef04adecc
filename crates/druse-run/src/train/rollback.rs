//! States that a run goes back to when a loss leaves its bounds. The published trainer of SyMat (Luo et al. 2023) does the
//! same, but its copies share the weights that they should keep.

use burn::tensor::Device;
use druse_models::{TrainingPhase, repetition_seed};
use druse_nn::optim::Ema;
use druse_nn::{ParamSpec, Params};

use super::checks::check_phases;
use super::phase::PhaseState;
use crate::RunError;
use crate::checkpoint::{Checkpoint, EarlierState, TrainingProgress, TrainingState};
use crate::config::RunConfig;

/// Everything that training changes.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) params: Params,
    pub(super) phases: Vec<PhaseState>,
    pub(super) ema: Ema,
    pub(super) progress: TrainingProgress,
}

impl Snapshot {
    /// The state that a checkpoint holds, or an earlier one of it.
    pub(super) fn restored(
        checkpoint: &Checkpoint,
        average: Params,
        state: TrainingState,
        phases: &[TrainingPhase],
        (config, device): (&RunConfig, &Device),
    ) -> Result<Self, RunError> {
        let (optim, precision) = (&config.optim, config.train.precision);
        let average = average.with_precision(precision)?;
        let params = Params::from_host(average.specs(), &state.weights, device).with_precision(precision)?;
        check_phases(checkpoint, &state.optimizers, phases, &params)?;
        let restored = phases.iter().cloned().zip(&state.optimizers);
        let phases = restored.map(|(phase, o)| PhaseState::new(phase, optim, &params, Some(o))).collect();
        let ema = Ema::from_parts(average, optim.ema_decay, state.ema_updates);
        Ok(Self { params, phases, ema, progress: state.progress })
    }

    /// The state to be saved.
    pub(super) fn saved(&self) -> EarlierState {
        let Self { params, phases, ema, progress } = self;
        EarlierState { average: ema.params().to_host(), state: saved(params, phases, ema, progress.clone()) }
    }
}

/// What a checkpoint keeps of the current state.
pub(super) fn saved(
    params: &Params,
    phases: &[PhaseState],
    ema: &Ema,
    progress: TrainingProgress,
) -> TrainingState {
    TrainingState {
        weights: params.to_host(),
        optimizers: phases.iter().map(|phase| phase.saved(params)).collect(),
        ema_updates: ema.updates(),
        progress,
        earlier: Vec::new(),
    }
}

/// The states before the current epoch and before the last one.
pub(super) struct Rollback {
    start: Snapshot,
    previous: Snapshot,
}

impl Rollback {
    /// For a run in the state `now`; `earlier` is what [`Rollback::saved`] gave, if there was a run before.
    pub(super) fn new(now: Snapshot, earlier: Vec<Snapshot>) -> Self {
        let mut earlier = earlier.into_iter();
        let previous = earlier.next();
        let start = earlier.next().unwrap_or(now);
        Self { previous: previous.unwrap_or_else(|| start.clone()), start }
    }

    /// Reads the earlier states of a checkpoint.
    pub(super) fn restored(
        checkpoint: &Checkpoint,
        earlier: Vec<EarlierState>,
        phases: &[TrainingPhase],
        specs: &[ParamSpec],
        (config, device): (&RunConfig, &Device),
    ) -> Result<Vec<Snapshot>, RunError> {
        let read = |EarlierState { average, state }| {
            let average = Params::from_host(specs, &average, device);
            Snapshot::restored(checkpoint, average, state, phases, (config, device))
        };
        earlier.into_iter().map(read).collect()
    }

    /// An epoch is done, and this is the state after it.
    pub(super) fn advance(&mut self, now: Snapshot) {
        self.previous = std::mem::replace(&mut self.start, now);
    }

    /// The state that the `attempt`-th repetition of the current epoch starts from: that before the epoch for the first
    /// `tries` of them, that before the epoch before for as many others. `None` after these.
    pub(super) fn go_back(&mut self, attempt: u64, tries: u64) -> Option<Snapshot> {
        if attempt > 2 * tries {
            return None;
        }
        if attempt > tries {
            // The position in the run stays.
            self.start = Snapshot { progress: self.start.progress.clone(), ..self.previous.clone() };
        }
        self.start.progress.attempt = attempt;
        Some(self.start.clone())
    }

    /// The states to be saved, without that before the epoch where this is the current one.
    pub(super) fn saved(&self, batch: usize) -> Vec<EarlierState> {
        let start = (batch > 0).then(|| self.start.saved());
        std::iter::once(self.previous.saved()).chain(start).collect()
    }
}

/// Seed of the order and the noise of a repetition of an epoch, counted from 1; of the first pass, 0, that of the run.
pub fn attempt_seed(seed: u64, attempt: u64) -> u64 {
    // No model has so many phases.
    const ATTEMPTS: usize = u32::MAX as usize;
    if attempt == 0 { seed } else { repetition_seed(seed, ATTEMPTS, attempt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_have_seeds_of_their_own() {
        let seeds: Vec<u64> = (0..9).map(|attempt| attempt_seed(7, attempt)).collect();
        assert_eq!(seeds[0], 7);
        assert!((1..9).all(|i| !seeds[..i].contains(&seeds[i])), "{seeds:?}");
    }
}
