//! The state of a training phase: its optimizer, and the watch over its losses.

use std::collections::VecDeque;

use druse_models::TrainingPhase;
use druse_nn::Params;
use druse_nn::optim::{Adam, AdamConfig};

use crate::checkpoint::OptimizerState;
use crate::config::OptimConfig;

/// Losses over which the median is taken that a diverging loss is compared with.
const WINDOW: usize = 101;

/// Losses that have to be known before a loss can count as diverging.
const SETTLED: usize = 25;

/// Steps in a row whose loss is too large before training counts as diverging. One alone is an outlier: where the loss
/// has an exponential, as in a KL term, a single structure can raise it by orders of magnitude, and since gradients are
/// limited the next steps do not notice.
const LASTING: usize = 5;

/// A training phase, its optimizer, and what is known of its losses.
#[derive(Clone)]
pub(super) struct PhaseState {
    pub(super) phase: TrainingPhase,
    /// The run's settings where the phase has none of its own.
    pub(super) optim: OptimConfig,
    pub(super) adam: Adam,
    /// Magnitudes of the latest losses.
    recent: VecDeque<f64>,
    /// Updates in a row whose loss was too large.
    pub(super) too_large: usize,
}

impl PhaseState {
    /// A phase with a fresh optimizer, or with the state of a saved one.
    pub(super) fn new(
        phase: TrainingPhase,
        run: &OptimConfig,
        params: &Params,
        saved: Option<&OptimizerState>,
    ) -> Self {
        let optim = settings(&phase, run);
        let config = AdamConfig { beta1: optim.beta1, beta2: optim.beta2, epsilon: optim.eps };
        let group = &phase.group;
        let adam = match saved {
            Some(s) => Adam::from_host(params, group, config, s.steps, &s.first, &s.second),
            None => Adam::of_group(params, group, config),
        };
        Self { phase, optim, adam, recent: VecDeque::new(), too_large: 0 }
    }

    /// The state to be saved.
    pub(super) fn saved(&self, params: &Params) -> OptimizerState {
        let (first, second) = self.adam.to_host();
        let (phase, steps) = (self.phase.phase.name.to_owned(), self.adam.steps());
        OptimizerState { phase, parameters: names(&self.phase, params), first, second, steps }
    }

    /// Takes note of a loss; gives the median of the ones before when it is too large for the number of times in a row
    /// that is no accident.
    pub(super) fn watch(&mut self, loss: f64, factor: f64, warming: bool) -> Option<f64> {
        let mut diverged = None;
        if self.recent.len() >= SETTLED && !warming {
            let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
            sorted.sort_unstable_by(f64::total_cmp);
            let median = sorted[sorted.len() / 2];
            let too_large = loss > factor * median.max(f64::MIN_POSITIVE);
            self.too_large = if too_large { self.too_large + 1 } else { 0 };
            diverged = (self.too_large == LASTING).then_some(median);
        }
        diverged
    }

    /// Remembers the loss of an update that was made.
    pub(super) fn remember(&mut self, loss: f64) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(loss.abs());
    }
}

/// The run's optimizer settings with those of the phase in their places.
fn settings(phase: &TrainingPhase, run: &OptimConfig) -> OptimConfig {
    let own = &phase.phase.optimizer;
    let lr = own.lr.unwrap_or(run.lr);
    let [beta1, beta2] = own.betas.unwrap_or([run.beta1, run.beta2]);
    OptimConfig {
        lr,
        min_lr: run.min_lr.min(lr),
        beta1,
        beta2,
        eps: own.eps.unwrap_or(run.eps),
        clip_value: own.clip_value.or(run.clip_value),
        clip_norm: own.clip_norm.or(run.clip_norm),
        ..run.clone()
    }
}

/// Names of the parameters that a phase moves.
pub(super) fn names(phase: &TrainingPhase, params: &Params) -> Vec<String> {
    phase.group.indices().iter().map(|&i| params.specs()[i].name.clone()).collect()
}
