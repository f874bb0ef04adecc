//! Checks with the trainer and its checkpoints.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use druse_data::{Dataset, Entry};
use druse_models::registry::{ModelSettings, Registry};
use druse_models::{Arrays, BatchStatistics, Model, SampleRequest, sample_all};
use druse_nn::device::cpu;
use druse_run::checkpoint::TrainingState;
use druse_run::config::{DataConfig, OptimConfig, TrainConfig};
use druse_run::data::TrainingData;
use druse_run::train::{Ending, LAST, train};
use druse_run::{Checkpoint, Event, RunConfig, RunFolder};

use super::generator::requests;
use super::symmetry::outputs;
use super::{Contract, Finding, Fitted, keys, refs, text};

const EPOCHS: u64 = 2;

/// Batches of five and micro-batches of few atoms, where the model allows it.
fn config(model: &Model) -> RunConfig {
    let model = model.trainable();
    let whole = model.batch_statistics() == BatchStatistics::Whole;
    // The trainer compares settings with those of a checkpoint, which are complete where the kind is known.
    let settings = match Registry::builtin().kind(model.kind()) {
        Ok(kind) => kind.defaults(),
        Err(_) => ModelSettings { kind: model.kind().to_owned(), settings: Default::default() },
    };
    RunConfig {
        preset: String::new(),
        model: settings,
        sampling: Default::default(),
        data: DataConfig::default(),
        optim: OptimConfig { clip_norm: Some(1.0), ..OptimConfig::default() },
        train: TrainConfig {
            batch_size: 5,
            epochs: EPOCHS,
            seed: 11,
            micro_batch_atoms: (!whole).then_some(8),
            ..TrainConfig::default()
        },
    }
}

fn data(contract: &Contract) -> TrainingData {
    let entry =
        |(i, s): (usize, &druse_crystal::Structure)| Entry { id: format!("{i}"), structure: s.clone() };
    let entries: Vec<Entry> = contract.structures.iter().enumerate().map(entry).collect();
    let validation = Dataset::new("validation", entries[..3].to_vec());
    let train = Dataset::new("contract", entries);
    TrainingData { hash: train.content_hash.clone(), train, validation, ..TrainingData::default() }
}

/// What a checkpoint holds of a run, without the time it took.
#[derive(Debug, Clone, PartialEq)]
struct State {
    training: TrainingState,
    average: Vec<Vec<f32>>,
    statistics: serde_json::Value,
    arrays: Arrays,
}

/// Trains until so many steps are done in this call, and reads the checkpoint.
fn run(
    mut model: Model,
    data: &TrainingData,
    path: &Path,
    resume: bool,
    steps: u64,
) -> Result<(State, Ending), String> {
    let config = config(&model);
    let stop = AtomicBool::new(false);
    let mut done = 0;
    let mut watch = |event: Event<'_>| {
        if matches!(event, Event::Step(_)) {
            done += 1;
            stop.store(done >= steps, Ordering::Relaxed);
        }
    };
    let folder = RunFolder::open(path).map_err(text)?;
    let outcome = train(model.trainable_mut(), &config, data, &folder, resume, &cpu(), &mut watch, &stop);
    let outcome = outcome.map_err(text)?;
    let checkpoint = Checkpoint::load(&path.join(LAST)).map_err(text)?;
    let specs = model.trainable().parameters();
    let mut training = checkpoint.training(specs).map_err(text)?;
    training.progress.seconds = 0.0;
    let average = checkpoint.averaged(specs, &cpu()).map_err(text)?.to_host();
    let (arrays, statistics) = (checkpoint.arrays(), checkpoint.statistics);
    Ok((State { training, average, statistics, arrays }, outcome.ending))
}

pub(super) fn resume(fitted: &Fitted<'_>) -> Finding {
    let contract = fitted.contract;
    let dir = tempfile::tempdir().map_err(text)?;
    let data = data(contract);
    let model = || (contract.build)();
    let (whole, _) = run(model(), &data, &dir.path().join("whole"), false, u64::MAX)?;
    if whole.training.weights
        == druse_nn::Params::init(model().trainable().parameters(), 11, &cpu()).to_host()
    {
        return Err("training moves no parameter".into());
    }
    let steps = whole.training.progress.step;
    // Inside the first epoch and inside the last.
    for broken_at in [1, steps - 3] {
        let path = dir.path().join(format!("broken-{broken_at}"));
        for (resume, steps, expected) in [
            (false, broken_at, Ending::Interrupted),
            (true, 1, Ending::Interrupted),
            (true, u64::MAX, Ending::Finished),
        ] {
            let (state, ending) = run(model(), &data, &path, resume, steps)?;
            if ending != expected {
                return Err(format!("a run was {ending:?}, but should have been {expected:?}"));
            }
            if ending == Ending::Finished && state != whole {
                return Err(format!(
                    "a run that is broken after step {broken_at} and the one after it ends with another state"
                ));
            }
        }
    }
    Ok(format!("{steps} steps in {EPOCHS} epochs, broken after 1 and {} and one more", steps - 3))
}

pub(super) fn threads(fitted: &Fitted<'_>) -> Finding {
    let contract = fitted.contract;
    let data = data(contract);
    let mut first = None;
    for threads in [1, 2, 5] {
        let dir = tempfile::tempdir().map_err(text)?;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(text)?;
        let model = (contract.build)();
        let (state, _) = pool.install(|| run(model, &data, &dir.path().join("run"), false, 4))?;
        if *first.get_or_insert_with(|| state.clone()) != state {
            return Err(format!(
                "a run of four steps on {threads} threads ends with another state than on one"
            ));
        }
    }
    Ok("runs of four steps".into())
}

pub(super) fn statistics(fitted: &Fitted<'_>) -> Finding {
    let statistics = fitted.trainable().statistics();
    let json = serde_json::to_string(&statistics).map_err(text)?;
    let parsed = serde_json::from_str(&json).map_err(text)?;
    let mut restored = (fitted.contract.build)();
    restored.trainable_mut().restore_statistics(&parsed).map_err(text)?;
    restored.trainable_mut().restore_arrays(&fitted.trainable().arrays()).map_err(text)?;
    if restored.trainable().statistics() != statistics {
        let again = restored.trainable().statistics();
        return Err(format!("the restored statistics are {again}, not {statistics}"));
    }
    same_model(fitted, &restored)?;
    Ok(format!("{} bytes of JSON", json.len()))
}

/// Checks that a restored model gives the numbers of the one that was fitted, to the last bit.
fn same_model(fitted: &Fitted<'_>, restored: &Model) -> Result<(), String> {
    let structures = refs(&fitted.generic);
    let (keys, limit) = (keys(structures.len(), 4), fitted.loose());
    let objectives = |model: &Model| fitted.objectives_of(model.trainable(), &structures, &keys, &limit);
    let same = |what: &str, same: bool| match same {
        true => Ok(()),
        false => Err(format!("the restored model has other {what}")),
    };
    same("values of the objective", objectives(&fitted.model)? == objectives(restored)?)?;
    let of = |model: &Model| outputs(model, fitted, &structures);
    same("outputs", of(&fitted.model)? == of(restored)?)?;
    if let (Ok(a), Ok(b)) = (fitted.model.as_generator(), restored.as_generator()) {
        same("capabilities", a.capabilities() == b.capabilities())?;
        let requests: Vec<SampleRequest> =
            requests(fitted)?.into_iter().map(|(_, request)| request).take(2).collect();
        let [a, b] = [a, b].map(|model| sample_all(model, &fitted.params, &requests).map_err(text));
        same("samples", a? == b?)?;
    }
    Ok(())
}

pub(super) fn checkpoint(fitted: &Fitted<'_>) -> Result<Option<String>, String> {
    let dir = tempfile::tempdir().map_err(text)?;
    let path = dir.path().join("model.safetensors");
    let values = fitted.params.to_host();
    let model = fitted.trainable();
    Checkpoint::new(model, &config(&fitted.model), "hash", &values, None).save(&path).map_err(text)?;
    let loaded = Checkpoint::load(&path).map_err(text)?;
    loaded.expect_kind(model.kind()).map_err(text)?;
    if loaded.averaged(model.parameters(), &cpu()).map_err(text)?.to_host() != values {
        return Err("a checkpoint returns other weights".into());
    }
    let mut restored = (fitted.contract.build)();
    loaded.restore_statistics(restored.trainable_mut()).map_err(text)?;
    same_model(fitted, &restored)?;
    Ok(Some(format!("a checkpoint of {} tensors", values.len())))
}
