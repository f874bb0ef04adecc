//! The training loop.

mod epoch_end;
mod source;
mod start;
mod step;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use druse_models::{Alone, MicroBatchLimit, ModelError, Reduce, Trainable, TrainingPhase};
use druse_nn::Params;
use druse_nn::optim::Ema;
use serde::{Deserialize, Serialize};

use super::data::TrainingData;
use super::lookahead::with_lookahead;
use super::phase::PhaseState;
use super::rollback::{Rollback, Snapshot, attempt_seed};
use crate::RunError;
use crate::checkpoint::TrainingProgress;
use crate::config::RunConfig;
use crate::folder::RunFolder;
use crate::metrics::MetricsLog;
use crate::observer::{Event, Observer, Start};

pub(super) use start::usable;
use step::Work;

/// Name of the configuration in a run's folder.
pub const CONFIG_FILE: &str = "config.toml";

/// Name of the log in a run's folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// Name of the latest checkpoint in a run's folder.
pub const LAST: &str = "checkpoints/last.safetensors";

/// Name of the checkpoint with the lowest validation loss in a run's folder.
pub const BEST: &str = "checkpoints/best.safetensors";

/// The checkpoint that a path stands for: a file, or the best (else the last) checkpoint of a run's folder.
///
/// # Errors
/// [`RunError::NoCheckpoint`] for a folder without one.
pub fn checkpoint_path(path: &Path) -> Result<PathBuf, RunError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found = [BEST, LAST].iter().map(|name| path.join(name)).find(|p| p.exists());
    found.ok_or_else(|| RunError::NoCheckpoint { path: path.to_owned() })
}

/// Why a training run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// All epochs are done.
    Finished,
    /// The validation loss stopped improving.
    EarlyStop,
    /// The time is up.
    TimeLimit,
    /// It was asked to stop.
    Interrupted,
}

/// What a training run achieved.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub ending: Ending,
    /// Steps done.
    pub step: u64,
    /// Epochs done.
    pub epoch: u64,
    /// Lowest validation loss (training loss without validation structures).
    pub best: Option<f64>,
}

/// Trains `model` in `folder`. `stop` is looked at before every step; when it is set, the state is saved and the
/// run ends cleanly. A resumed run continues with the numbers of an unbroken one.
///
/// # Errors
/// [`RunError`]; the last checkpoint stays usable.
#[allow(clippy::too_many_arguments, reason = "every argument is a different thing, used once")]
pub fn train(
    model: &mut dyn Trainable,
    config: &RunConfig,
    data: &TrainingData,
    folder: &RunFolder,
    resume: bool,
    device: &Device,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, RunError> {
    train_with(model, config, data, folder, resume, device, &Alone, observer, stop)
}

/// [`train`] by several processes, of which this one is the run: the numbers are the same. When another one fails, the state
/// before the step at work is saved.
///
/// # Errors
/// As [`train`]; [`RunError::RankFailed`], and [`RunError::Ranks`] for a model that they cannot share.
#[allow(clippy::too_many_arguments, reason = "every argument is a different thing, used once")]
pub fn train_with(
    model: &mut dyn Trainable,
    config: &RunConfig,
    data: &TrainingData,
    folder: &RunFolder,
    resume: bool,
    device: &Device,
    reduce: &dyn Reduce,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, RunError> {
    config.validate()?;
    if data.train.is_empty() {
        return Err(RunError::NoData("the training set is empty".into()));
    }
    let data = &*usable(model, data, observer)?;
    let mut trainer = Trainer::new(model, config, data, folder, resume, device, reduce)?;
    trainer.run(observer, stop)
}

/// Whether a folder holds a run that `--resume` could continue.
pub fn holds_run(folder: &Path) -> bool {
    folder.join(CONFIG_FILE).exists() || folder.join(LAST).exists()
}

struct Trainer<'a> {
    model: &'a dyn Trainable,
    config: &'a RunConfig,
    data: &'a TrainingData,
    folder: &'a RunFolder,
    reduce: &'a dyn Reduce,
    params: Params,
    limit: Arc<MicroBatchLimit>,
    phases: Vec<PhaseState>,
    ema: Ema,
    progress: TrainingProgress,
    /// Where losses have bounds.
    rollback: Option<Rollback>,
    /// Phases that the model which the run begins with lacks.
    anew: Vec<&'static str>,
    /// The state before the step at work, where a failure of another process could find it half done.
    before_step: Option<Snapshot>,
    log: MetricsLog,
    /// Training seconds before this process started.
    seconds_before: f64,
    started: Instant,
}

impl<'a> Trainer<'a> {
    fn run(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, RunError> {
        let train = &self.config.train;
        self.reduce.begin(self.model, [self.data.train.len(), self.data.validation.len()])?;
        self.inspect(observer)?;
        let mut steps = self.steps(self.progress.epoch);
        observer.observe(Event::Started(&Start {
            parameters: self.params.count(),
            training: self.data.train.len(),
            validation: self.data.validation.len(),
            batches: steps.len(),
            epochs: train.epochs,
            step: self.progress.step,
            epoch: self.progress.epoch,
        }));
        if self.phases.is_empty() {
            // Nothing to train: what the model knows of its training set is the model.
            self.progress.epoch = train.epochs;
            self.save(LAST, observer)?;
        }
        while self.progress.epoch < train.epochs {
            if self.exhausted() {
                return Ok(self.outcome(Ending::EarlyStop));
            }
            match self.epoch(&steps, observer, stop) {
                Ok(Some(ending)) => {
                    self.save(LAST, observer)?;
                    return Ok(self.outcome(ending));
                }
                Ok(None) => {
                    let finished = self.finish_epoch(observer);
                    finished.map_err(|error| self.saved_without(error, observer))?;
                }
                Err(error) => {
                    let error = self.saved_without(error, observer);
                    self.go_back(error, observer)?;
                }
            }
            steps = self.steps(self.progress.epoch);
        }
        Ok(self.outcome(Ending::Finished))
    }

    /// After another process has failed: saves the state before the step at work. Any other failure is returned as it is.
    fn saved_without(&mut self, error: RunError, observer: &mut dyn Observer) -> RunError {
        let RunError::Model(failure @ ModelError::Rank { .. }) = error else { return error };
        if let Some(state) = self.before_step.take() {
            let Snapshot { params, phases, ema, progress } = state;
            (self.params, self.phases, self.ema, self.progress) = (params, phases, ema, progress);
        }
        match self.save(LAST, observer) {
            Ok(()) => RunError::RankFailed { failure, step: self.progress.step },
            Err(error) => error,
        }
    }

    /// After a failure of an epoch: restores an earlier state, from which the epoch is repeated.
    ///
    /// # Errors
    /// The failure itself, where the run goes back to no state or it is none of the loss; [`RunError::GaveUp`].
    fn go_back(&mut self, error: RunError, observer: &mut dyn Observer) -> Result<(), RunError> {
        let Some(rollback) = self.rollback.as_mut().filter(|_| error.is_of_loss()) else {
            return Err(error);
        };
        let (epoch, attempt) = (self.progress.epoch + 1, self.progress.attempt + 1);
        let tries = self.config.train.epoch_retries;
        let Some(state) = rollback.go_back(attempt, tries) else {
            return Err(RunError::GaveUp { epoch, tries: attempt, source: Box::new(error) });
        };
        let Snapshot { params, phases, ema, progress } = state;
        (self.params, self.phases, self.ema, self.progress) = (params, phases, ema, progress);
        self.before_step = None;
        // Every step is logged once.
        self.log =
            MetricsLog::open(&self.folder.join(METRICS_FILE), self.progress.step, self.progress.epoch)?;
        let before_last = attempt > tries;
        observer.observe(Event::Restored { epoch, attempt, before_last, reason: &error.to_string() });
        Ok(())
    }

    /// The rest of the current epoch; tells why it was left early.
    fn epoch(
        &mut self,
        steps: &[Vec<Work>],
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Ending>, RunError> {
        let train = &self.config.train;
        // The number of batches varies between epochs where atoms limit them; the schedule takes the current one.
        let total = train.epochs * steps.len() as u64;
        let rest = &steps[self.progress.batch.min(steps.len())..];
        let phases: Vec<TrainingPhase> = self.phases.iter().map(|p| p.phase.clone()).collect();
        let source = self.source(&self.data.train, (self.seed(), self.progress.epoch));
        with_lookahead(
            rest.iter().flatten(),
            source.ahead,
            |work| source.batch(&phases[work.phase], work.repetition, &work.indices),
            |prepared| {
                for works in rest {
                    let ending = match () {
                        () if stop.load(Ordering::Relaxed) => Some(Ending::Interrupted),
                        () if self.time_is_up() => Some(Ending::TimeLimit),
                        () => None,
                    };
                    if ending.is_some() {
                        return Ok(ending);
                    }
                    self.step(works, prepared, total, observer)?;
                    if train.checkpoint_every.is_some_and(|n| self.progress.step.is_multiple_of(n)) {
                        self.save_if_sound(observer)?;
                    }
                }
                Ok(None)
            },
        )
    }

    /// Seed of the order and the noise of the current epoch.
    fn seed(&self) -> u64 {
        attempt_seed(self.config.train.seed, self.progress.attempt)
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn time_is_up(&self) -> bool {
        self.config.train.max_minutes.is_some_and(|m| self.seconds() >= 60.0 * m)
    }

    fn exhausted(&self) -> bool {
        self.config.train.patience.is_some_and(|p| self.progress.since_best >= p)
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            params: self.params.clone(),
            phases: self.phases.clone(),
            ema: self.ema.clone(),
            progress: self.progress.clone(),
        }
    }

    fn outcome(&self, ending: Ending) -> Outcome {
        Outcome { ending, step: self.progress.step, epoch: self.progress.epoch, best: self.progress.best }
    }
}
