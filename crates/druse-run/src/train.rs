//! The training loop.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use druse_crystal::{Structure, files};
use druse_data::Dataset;
use druse_models::{Batch, MicroBatchLimit, ModelError, NoiseKey, Objective, Trainable};
use druse_nn::Params;
use druse_nn::device::is_host;
use druse_nn::optim::{Adam, AdamConfig, Ema};

use crate::RunError;
use crate::batches::{pack, shuffled};
use crate::checkpoint::{Checkpoint, Progress, TrainingState};
use crate::config::RunConfig;
use crate::data::TrainingData;
use crate::folder::RunFolder;
use crate::lookahead::with_lookahead;
use crate::metrics::{EpochMetric, Metric, MetricsLog, StepMetric};
use crate::observer::{Event, Observer, Start};
use crate::schedule::learning_rate;

/// Losses over which the median is taken that a diverging loss is compared with.
const WINDOW: usize = 101;

/// Losses that have to be known before a loss can count as diverging.
const SETTLED: usize = 25;

/// Steps in a row whose loss is too large before training counts as diverging. One alone is an outlier: where the loss
/// has an exponential, as in a KL term, a single structure can raise it by orders of magnitude, and since gradients are
/// limited the next steps do not notice.
const LASTING: usize = 5;

/// Batches that are prepared on the host while an accelerator computes. One covers the mean, the second a batch that
/// takes longer than others.
const AHEAD: usize = 2;

/// Epoch of the noise keys of the validation: the same noise each time, and none that training ever draws.
const VALIDATION_EPOCH: u64 = u64::MAX;

/// Name of the configuration in a run's folder.
pub const CONFIG_FILE: &str = "config.toml";

/// Name of the log in a run's folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// Name of the latest checkpoint in a run's folder.
pub const LAST: &str = "checkpoints/last.safetensors";

/// Name of the checkpoint with the lowest validation loss in a run's folder.
pub const BEST: &str = "checkpoints/best.safetensors";

/// Why a training run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    config.validate()?;
    if data.train.is_empty() {
        return Err(RunError::NoData("the training set is empty".into()));
    }
    let mut trainer = Trainer::new(model, config, data, folder, resume, device)?;
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
    params: Params,
    limit: Arc<MicroBatchLimit>,
    adam: Adam,
    ema: Ema,
    progress: Progress,
    log: MetricsLog,
    recent: VecDeque<f64>,
    /// Steps in a row whose loss was too large.
    too_large: usize,
    /// Training seconds before this process started.
    seconds_before: f64,
    started: Instant,
}

impl<'a> Trainer<'a> {
    fn new(
        model: &'a mut dyn Trainable,
        config: &'a RunConfig,
        data: &'a TrainingData,
        folder: &'a RunFolder,
        resume: bool,
        device: &Device,
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
        let adam_config = AdamConfig { beta1: optim.beta1, beta2: optim.beta2, epsilon: optim.eps };
        let precision = config.train.precision;
        let (params, adam, ema, progress) = match saved {
            Some(checkpoint) => {
                check_unchanged(&checkpoint, model.kind(), config, data, folder.path())?;
                model.restore_statistics(&checkpoint.statistics)?;
                let specs = model.parameters();
                let ema = checkpoint.averaged(specs, device)?.with_precision(precision)?;
                let state = checkpoint.training(specs)?;
                let params = Params::from_host(specs, &state.weights, device).with_precision(precision)?;
                let (steps, first, second) = (state.adam_steps, &state.first, &state.second);
                let adam = Adam::from_host(&params, adam_config, steps, first, second);
                let ema = Ema::from_parts(ema, optim.ema_decay, state.ema_updates);
                (params, adam, ema, state.progress)
            }
            None => {
                let structures: Vec<&Structure> = data.train.structures().collect();
                model.fit_statistics(&structures)?;
                let specs = model.parameters();
                let params = match &config.train.init {
                    Some(path) => {
                        let source = Checkpoint::load(path)?;
                        source.expect_kind(model.kind())?;
                        source.averaged(specs, device)?
                    }
                    None => Params::init(specs, config.train.seed, device),
                };
                let params = params.with_precision(precision)?;
                let adam = Adam::new(&params, adam_config);
                let ema = Ema::new(&params, optim.ema_decay);
                (params, adam, ema, Progress::default())
            }
        };
        let checkpoints = folder.join("checkpoints");
        files::create_dir_all(&checkpoints)?;
        files::write_atomic(&folder.join(CONFIG_FILE), config.to_toml().as_bytes())?;
        let log = MetricsLog::open(&folder.join(METRICS_FILE), progress.step, progress.epoch)?;
        Ok(Self {
            model,
            config,
            data,
            folder,
            limit: Arc::new(MicroBatchLimit::new(config.train.micro_batch_atoms, device)),
            params,
            adam,
            ema,
            seconds_before: progress.seconds,
            progress,
            log,
            recent: VecDeque::new(),
            too_large: 0,
            started: Instant::now(),
        })
    }

    fn run(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome, RunError> {
        let train = &self.config.train;
        self.inspect(observer)?;
        let mut batches = self.batches(self.progress.epoch);
        observer.observe(Event::Started(&Start {
            parameters: self.params.count(),
            training: self.data.train.len(),
            validation: self.data.validation.len(),
            batches: batches.len(),
            epochs: train.epochs,
            step: self.progress.step,
            epoch: self.progress.epoch,
        }));
        while self.progress.epoch < train.epochs {
            if self.exhausted() {
                return Ok(self.outcome(Ending::EarlyStop));
            }
            if let Some(ending) = self.epoch(&batches, observer, stop)? {
                self.save(LAST, observer)?;
                return Ok(self.outcome(ending));
            }
            self.finish_epoch(observer)?;
            batches = self.batches(self.progress.epoch);
        }
        Ok(self.outcome(Ending::Finished))
    }

    /// Lets the model look at the data before the first step.
    fn inspect(&self, observer: &mut dyn Observer) -> Result<(), RunError> {
        for set in [&self.data.train, &self.data.validation] {
            let structures: Vec<&Structure> = set.structures().collect();
            for remark in self.model.inspect(&structures)? {
                observer.observe(Event::Remark { id: &set.entries[remark.index].id, text: &remark.text });
            }
        }
        Ok(())
    }

    /// The rest of the current epoch; tells why it was left early.
    fn epoch(
        &mut self,
        batches: &[Vec<usize>],
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<Ending>, RunError> {
        let train = &self.config.train;
        // The number of batches varies between epochs where atoms limit them; the schedule takes the current one.
        let total = train.epochs * batches.len() as u64;
        let rest = &batches[self.progress.batch.min(batches.len())..];
        let source = self.source(&self.data.train, self.progress.epoch);
        with_lookahead(
            rest,
            source.ahead,
            |indices| source.batch(indices),
            |prepared| {
                for (indices, batch) in rest.iter().zip(prepared) {
                    let ending = match () {
                        () if stop.load(Ordering::Relaxed) => Some(Ending::Interrupted),
                        () if self.time_is_up() => Some(Ending::TimeLimit),
                        () => None,
                    };
                    if ending.is_some() {
                        return Ok(ending);
                    }
                    self.step(indices, batch??, total, observer)?;
                    if train.checkpoint_every.is_some_and(|n| self.progress.step.is_multiple_of(n)) {
                        self.save_if_sound(observer)?;
                    }
                }
                Ok(None)
            },
        )
    }

    fn batches(&self, epoch: u64) -> Vec<Vec<usize>> {
        let sizes: Vec<usize> = self.data.train.structures().map(Structure::len).collect();
        let order = shuffled(sizes.len(), self.config.train.seed, epoch);
        pack(&order, &sizes, self.config.train.batch_size, self.config.train.batch_atoms)
    }

    fn step(
        &mut self,
        indices: &[usize],
        batch: Batch<'a>,
        total: u64,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let begun = Instant::now();
        let step = self.progress.step + 1;
        let before = self.limit.atoms();
        let mut gradient = batch.differentiate(&self.params, &self.limit)?;
        if self.limit.atoms() < before {
            observer.observe(Event::MemoryLimit { atoms: self.limit.atoms() });
        }
        let (loss, grad_norm) = (gradient.objective.total, gradient.norm);
        self.check_loss(loss, step, indices)?;
        if !grad_norm.is_finite() {
            return Err(self.not_finite("gradient norm", grad_norm, step, indices));
        }
        if let Some(limit) = self.config.optim.clip_value {
            gradient.clip_values(limit);
        }
        if let Some(limit) = self.config.optim.clip_norm {
            gradient.clip(limit);
        }
        let lr = learning_rate(&self.config.optim, step, total, &self.progress.plateau);
        self.adam.step(&mut self.params, &gradient.grads, lr);
        self.ema.update(&self.params);
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(loss);
        self.progress.step = step;
        self.progress.batch += 1;
        self.progress.loss_sum += loss * indices.len() as f64;
        let structures_per_s = indices.len() as f64 / begun.elapsed().as_secs_f64();
        let parts = named(&gradient.objective);
        let epoch = self.progress.epoch + 1;
        let metric = StepMetric { step, epoch, loss, parts, grad_norm, lr, structures_per_s };
        observer.observe(Event::Step(&metric));
        self.log.write(&Metric::Step(metric))
    }

    fn check_loss(&mut self, loss: f64, step: u64, batch: &[usize]) -> Result<(), RunError> {
        if !loss.is_finite() {
            return Err(self.not_finite("loss", loss, step, batch));
        }
        if self.recent.len() < SETTLED || step <= self.config.optim.warmup_steps {
            return Ok(());
        }
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (median, factor) = (sorted[sorted.len() / 2], self.config.train.divergence_factor);
        let too_large = loss > factor * median.abs().max(f64::MIN_POSITIVE);
        self.too_large = if too_large { self.too_large + 1 } else { 0 };
        if self.too_large == LASTING {
            let (epoch, ids) = (self.progress.epoch + 1, self.ids(batch));
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

    /// Validation, bookkeeping and checkpoints at the end of an epoch.
    fn finish_epoch(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        let epoch = self.progress.epoch + 1;
        let train_loss = self.progress.loss_sum / self.data.train.len() as f64;
        let due =
            epoch.is_multiple_of(self.config.train.validation_every) || epoch == self.config.train.epochs;
        let validation = if due { self.validate()? } else { None };
        let mut best = false;
        if due {
            let criterion = validation.as_ref().map_or(train_loss, |v| self.model.criterion(v));
            best = criterion.is_finite() && self.progress.best.is_none_or(|b| criterion < b);
            if best {
                self.progress.best = Some(criterion);
            }
            self.progress.since_best = if best { 0 } else { self.progress.since_best + 1 };
            self.progress.plateau.observe(best, &self.config.optim);
        }
        let minutes = self.seconds() / 60.0;
        let (validation_loss, validation_parts) = match validation {
            Some(v) => (Some(v.total), named(&v)),
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
    fn save_if_sound(&mut self, observer: &mut dyn Observer) -> Result<(), RunError> {
        if self.too_large > 0 { Ok(()) } else { self.save(LAST, observer) }
    }

    /// Mean loss of the averaged weights over the validation structures, and its parts; `None` without structures.
    fn validate(&self) -> Result<Option<Objective>, RunError> {
        let set = &self.data.validation;
        if set.is_empty() {
            return Ok(None);
        }
        let order: Vec<usize> = (0..set.len()).collect();
        let sizes: Vec<usize> = set.structures().map(Structure::len).collect();
        let train = &self.config.train;
        let batches = pack(&order, &sizes, train.batch_size, train.batch_atoms);
        let source = self.source(set, VALIDATION_EPOCH);
        with_lookahead(
            &batches,
            source.ahead,
            |indices| source.batch(indices),
            |prepared| {
                let mut mean = Objective { total: 0.0, parts: Vec::new() };
                for (indices, batch) in batches.iter().zip(prepared) {
                    let objective = batch??.evaluate(self.ema.params(), &self.limit)?;
                    let weight = indices.len() as f64 / set.len() as f64;
                    mean.total += weight * objective.total;
                    mean.parts.resize(objective.parts.len(), ("", 0.0));
                    for (sum, (name, value)) in mean.parts.iter_mut().zip(objective.parts) {
                        *sum = (name, sum.1 + weight * value);
                    }
                }
                Ok(Some(mean))
            },
        )
    }

    /// Batches of a set with the noise of an epoch. The host prepares them ahead where an accelerator computes; on the
    /// CPU that would only take the threads from the computation.
    fn source(&self, set: &'a Dataset, epoch: u64) -> Source<'a> {
        Source {
            model: self.model,
            set,
            key: (self.config.train.seed, epoch),
            limit: self.limit.clone(),
            ahead: if is_host(self.params.device()) { 0 } else { AHEAD },
        }
    }

    fn save(&mut self, name: &str, observer: &mut dyn Observer) -> Result<(), RunError> {
        self.progress.seconds = self.seconds();
        let (first, second) = self.adam.to_host();
        let state = TrainingState {
            weights: self.params.to_host(),
            first,
            second,
            adam_steps: self.adam.steps(),
            ema_updates: self.ema.updates(),
            progress: self.progress.clone(),
        };
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

    fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    fn time_is_up(&self) -> bool {
        self.config.train.max_minutes.is_some_and(|m| self.seconds() >= 60.0 * m)
    }

    fn exhausted(&self) -> bool {
        self.config.train.patience.is_some_and(|p| self.progress.since_best >= p)
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
    ahead: usize,
}

impl<'a> Source<'a> {
    fn batch(&self, indices: &[usize]) -> Result<Batch<'a>, ModelError> {
        let (seed, epoch) = self.key;
        let item = |&i: &usize| (&self.set.entries[i].structure, NoiseKey { seed, epoch, index: i as u64 });
        let (structures, noise) = indices.iter().map(item).unzip();
        let mut batch = Batch::new(self.model, structures, noise);
        if self.ahead > 0 {
            batch.prepare(&self.limit)?;
        }
        Ok(batch)
    }
}

fn named(objective: &Objective) -> BTreeMap<String, f64> {
    objective.parts.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

/// Refuses to continue a run with another model, other data or another seed: the numbers would no longer be those of
/// an unbroken run.
fn check_unchanged(
    saved: &Checkpoint,
    kind: &'static str,
    config: &RunConfig,
    data: &TrainingData,
    folder: &Path,
) -> Result<(), RunError> {
    saved.expect_kind(kind)?;
    let changed = |key: &str, stored: String, given: String| RunError::Changed {
        path: folder.to_owned(),
        key: key.into(),
        stored,
        given,
    };
    if saved.data_hash != data.hash {
        return Err(changed("data hash", saved.data_hash.clone(), data.hash.clone()));
    }
    if saved.config.model != config.model {
        let text = |c: &RunConfig| serde_json::to_string(&c.model).unwrap_or_default();
        return Err(changed("model", text(&saved.config), text(config)));
    }
    if saved.config.train.seed != config.train.seed {
        let (stored, given) = (saved.config.train.seed, config.train.seed);
        return Err(changed("train.seed", stored.to_string(), given.to_string()));
    }
    Ok(())
}
