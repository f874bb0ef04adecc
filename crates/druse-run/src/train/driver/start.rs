//! Where a run begins: the structures that can be learned from, and the state at the first step or at that of a checkpoint.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use druse_crystal::{Structure, files};
use druse_models::{MicroBatchLimit, Reduce, Trainable, TrainingPhase};
use druse_nn::Params;
use druse_nn::optim::Ema;

use super::{CONFIG_FILE, LAST, METRICS_FILE, Trainer, checkpoint_path, holds_run};
use crate::RunError;
use crate::checkpoint::{Checkpoint, TrainingProgress};
use crate::config::RunConfig;
use crate::folder::RunFolder;
use crate::metrics::MetricsLog;
use crate::observer::{Event, Observer};
use crate::train::checks::{check_cut, check_unchanged};
use crate::train::data::TrainingData;
use crate::train::machines;
use crate::train::phase::PhaseState;
use crate::train::rollback::{Rollback, Snapshot};

/// The structures that the model can learn from; how many it cannot, and why, is reported.
///
/// # Errors
/// [`RunError::NoData`] when no training structure is left.
pub(in crate::train) fn usable<'d>(
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

impl<'a> Trainer<'a> {
    /// The state before the first step, or that of the last checkpoint.
    pub(super) fn new(
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

    /// Lets the model look at the data before the first step.
    pub(super) fn inspect(&self, observer: &mut dyn Observer) -> Result<(), RunError> {
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
}
