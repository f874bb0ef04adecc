//! The training loop.

mod epoch_end;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use druse_crystal::{Structure, files};
use druse_data::Dataset;
use druse_models::{
    Alone, Batch, MicroBatchLimit, ModelError, NoiseKey, Objective, Reduce, Trainable, TrainingPhase,
    repetition_seed,
};
use druse_nn::Params;
use druse_nn::device::is_host;
use druse_nn::optim::Ema;
use serde::{Deserialize, Serialize};

use super::batches::{fill, pack, shuffled};
use super::checks::{check_cut, check_unchanged};
use super::data::TrainingData;
use super::lookahead::with_lookahead;
use super::machines;
use super::phase::PhaseState;
use super::rollback::{Rollback, Snapshot, attempt_seed};
use crate::checkpoint::{Checkpoint, TrainingProgress};
use crate::config::schedule::learning_rate;
use crate::config::{OptimConfig, RunConfig};
use crate::folder::RunFolder;
use crate::metrics::{Metric, MetricsLog, PhaseMetric, StepMetric};
use crate::observer::{Event, Observer, Start};
use crate::{Panicked, RunError};

/// Batches that are prepared on the host while an accelerator computes. One covers the mean, the second a batch that
/// takes longer than others.
const AHEAD: usize = 2;

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

/// The structures that the model can learn from; how many it cannot, and why, is reported.
///
/// # Errors
/// [`RunError::NoData`] when no training structure is left.
pub(super) fn usable<'d>(
    model: &dyn Trainable,
    data: &'d TrainingData,
    observer: &mut dyn Observer,
) -> Result<Cow<'d, TrainingData>, RunError> {
    let mut left = Cow::Borrowed(data);
    let mut first_reason = None;
    for validation in [false, true] {
        let set = if validation { &data.validation } else { &data.train };
        let structures: Vec<&Structure> = set.structures().collect();
        let reasons = model.unusable(&structures);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        reasons.iter().flatten().for_each(|reason| *counts.entry(reason).or_default() += 1);
        if counts.is_empty() {
            continue;
        }
        for (reason, &structures) in &counts {
            observer.observe(Event::LeftOut { set: &set.name, reason, structures });
            first_reason.get_or_insert_with(|| reason.to_string());
        }
        let left = left.to_mut();
        let set = if validation { &mut left.validation } else { &mut left.train };
        let mut keep = reasons.iter().map(Option::is_none);
        set.entries.retain(|_| keep.next().unwrap_or(true));
    }
    if left.train.is_empty() {
        let reason = first_reason.unwrap_or_default();
        return Err(RunError::NoData(format!(
            "the model can learn from no structure of the training set: {reason}"
        )));
    }
    Ok(left)
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

/// Of a phase that is over before the run is, the warm-up takes this part of its steps at most.
const SHORT_WARMUP: u64 = 20;

/// One update of a step: a repetition of a phase on a batch.
struct Work {
    /// Place of the phase.
    phase: usize,
    repetition: u64,
    /// The structures of the batch.
    indices: Vec<usize>,
}

impl<'a> Trainer<'a> {
    fn new(
        model: &'a mut dyn Trainable,
        config: &'a RunConfig,
        data: &'a TrainingData,
        folder: &'a RunFolder,
        resume: bool,
        device: &Device,
        reduce: &'a dyn Reduce,
    ) -> Result<Self, RunError> {
        let last = folder.join(LAST);
        let saved = match (resume, last.exists()) {
            (true, true) => Some(Checkpoint::load(&last)?),
            // Killed before the first checkpoint: the beginning is where it has to continue.
            (true, false) if holds_run(folder.path()) => None,
            (true, false) => return Err(RunError::NothingToResume { path: folder.path().to_owned() }),
            (false, _) if holds_run(folder.path()) => {
                let path = folder.path().to_owned();
                return Err(RunError::Occupied { path, what: "a training run" });
            }
            (false, _) => None,
        };
        let optim = &config.optim;
        let precision = config.train.precision;
        let phases = TrainingPhase::all(model)?;
        check_cut(model, config, reduce.world())?;
        let mut anew = Vec::new();
        let (now, earlier) = match saved {
            Some(checkpoint) => {
                check_unchanged(&checkpoint, model.kind(), config, data, folder.path())?;
                checkpoint.restore_statistics(model)?;
                let specs = model.parameters();
                let average = checkpoint.averaged(specs, device)?;
                let mut state = checkpoint.training(specs)?;
                let earlier = std::mem::take(&mut state.earlier);
                let place = (config, device);
                let now = Snapshot::restored(&checkpoint, average, state, &phases, place)?;
                (now, Rollback::restored(&checkpoint, earlier, &phases, specs, place)?)
            }
            None => {
                let named = data.train.entries.iter().map(|e| (e.id.as_str(), &e.structure));
                model.fit_named_statistics(&named.collect::<Vec<_>>())?;
                let specs = model.parameters();
                let fresh = || Params::init(specs, config.train.seed, device);
                let params = match &config.train.init {
                    Some(path) => {
                        let source = Checkpoint::load(&checkpoint_path(path)?)?;
                        source.expect_kind(model.kind())?;
                        let (params, names) = source.beginning(specs, &phases, &fresh())?;
                        anew = names;
                        params
                    }
                    None => fresh(),
                };
                let params = params.with_precision(precision)?;
                let fresh = |phase| PhaseState::new(phase, optim, &params, None);
                let phases: Vec<PhaseState> = phases.into_iter().map(fresh).collect();
                let ema = Ema::new(&params, optim.ema_decay);
                (Snapshot { params, phases, ema, progress: TrainingProgress::default() }, Vec::new())
            }
        };
        let rollback = config.train.loss_bounds.map(|_| Rollback::new(now.clone(), earlier));
        let Snapshot { params, phases, ema, progress } = now;
        let checkpoints = folder.join("checkpoints");
        files::create_dir_all(&checkpoints)?;
        files::write_atomic(&folder.join(CONFIG_FILE), config.to_toml().as_bytes())?;
        machines::note(folder, config, device, reduce.world(), progress.step)?;
        let log = MetricsLog::open(&folder.join(METRICS_FILE), progress.step, progress.epoch)?;
        Ok(Self {
            model,
            config,
            data,
            folder,
            reduce,
            limit: Arc::new(MicroBatchLimit::new(config.train.micro_batch_atoms, device)),
            params,
            phases,
            ema,
            seconds_before: progress.seconds,
            progress,
            rollback,
            before_step: None,
            anew,
            log,
            started: Instant::now(),
        })
    }

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

    /// Lets the model look at the data before the first step.
    fn inspect(&self, observer: &mut dyn Observer) -> Result<(), RunError> {
        for phase in &self.anew {
            let id = self.config.train.init.as_deref().map(|path| path.display().to_string());
            let text = format!("the model has nothing of `{phase}`, which begins anew");
            observer.observe(Event::Warning { id: id.as_deref().unwrap_or_default(), text: &text });
        }
        for set in [&self.data.train, &self.data.validation] {
            let structures: Vec<&Structure> = set.structures().collect();
            for warning in self.model.inspect(&structures)? {
                observer.observe(Event::Warning { id: &set.entries[warning.index].id, text: &warning.text });
            }
        }
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

    /// The steps of an epoch: one for each batch of a pass over the data. A repetition that reads a fresh batch has a pass
    /// of its own, in an order of its own, so that the step's batch is read once an epoch whatever the phases are.
    fn steps(&self, epoch: u64) -> Vec<Vec<Work>> {
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
    fn step(
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

    /// Batches of a set with the noise of a seed and an epoch. The host prepares them ahead where an accelerator computes; on the
    /// CPU that would only take the threads from the computation.
    fn source(&self, set: &'a Dataset, key: (u64, u64)) -> Source<'a> {
        Source {
            model: self.model,
            set,
            key,
            limit: self.limit.clone(),
            world: self.reduce.world(),
            ahead: if is_host(self.params.device()) { 0 } else { AHEAD },
        }
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

/// Makes batches of a set.
struct Source<'a> {
    model: &'a dyn Trainable,
    set: &'a Dataset,
    /// Seed and epoch of the noise.
    key: (u64, u64),
    limit: Arc<MicroBatchLimit>,
    /// Number of processes that share a batch.
    world: usize,
    ahead: usize,
}

impl<'a> Source<'a> {
    fn batch(
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

/// What an update came to.
struct Update {
    objective: Objective,
    grad_norm: f64,
    lr: f64,
}

/// The parts of an objective, with the name of a phase before theirs.
fn named(phase: Option<&str>, objective: &Objective) -> BTreeMap<String, f64> {
    let key = |name: &str| phase.map_or_else(|| name.to_owned(), |phase| format!("{phase}.{name}"));
    objective.parts.iter().map(|&(name, value)| (key(name), value)).collect()
}

/// The objectives of all phases as one: sum of the totals, all parts.
fn joined(objectives: &[Objective]) -> Objective {
    Objective {
        total: objectives.iter().map(|o| o.total).sum(),
        parts: objectives.iter().flat_map(|o| o.parts.iter().copied()).collect(),
    }
}
