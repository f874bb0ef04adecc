//! Training of models that are more than one objective over trainable weights: phases, buffers, frozen weights and
//! statistics of a batch.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::data;
use common::phased::{Model, gan, norm};
use druse_crystal::Structure;
use druse_models::registry::ModelSettings;
use druse_models::{
    Batch, BatchStatistics, MicroBatchLimit, ModelError, NoiseKey, PhaseParameters, Trainable, TrainingPhase,
    differentiate, evaluate,
};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_run::checkpoint::{CheckpointError, TrainingState};
use druse_run::folder::complete_lines;
use druse_run::metrics::{Metric, StepMetric};
use druse_run::train::{LAST, METRICS_FILE, train};
use druse_run::{Checkpoint, Event, RunConfig, RunError, RunFolder};
use druse_testkit::contract::{self, Check};

fn config(micro_batch_atoms: Option<usize>) -> RunConfig {
    let mut config = RunConfig::preset(&druse_models::Registry::builtin(), "gemsdiff-paper").unwrap();
    config.model = ModelSettings { kind: "toy".into(), settings: Default::default() };
    config.train.batch_size = 3;
    config.train.epochs = 4;
    config.train.seed = 11;
    config.train.micro_batch_atoms = micro_batch_atoms;
    config.optim.lr = 0.05;
    config
}

/// Trains until `steps` steps are done in this call.
fn run(model: &mut Model, config: &RunConfig, path: &Path, resume: bool, steps: u64) -> Result<(), RunError> {
    let stop = AtomicBool::new(steps == 0);
    let mut done = 0;
    let folder = RunFolder::open(path)?;
    let mut watch = |event: Event<'_>| {
        if matches!(event, Event::Step(_)) {
            done += 1;
            stop.store(done >= steps, Ordering::Relaxed);
        }
    };
    train(model, config, &data(), &folder, resume, &cpu(), &mut watch, &stop).map(drop)
}

/// Weights, buffers and optimizers, and the averaged weights.
fn state(model: &Model, path: &Path) -> (TrainingState, Vec<Vec<f32>>) {
    let checkpoint = Checkpoint::load(&path.join(LAST)).unwrap();
    let mut state = checkpoint.training(&model.specs).unwrap();
    state.progress.seconds = 0.0;
    (state, checkpoint.averaged(&model.specs, &cpu()).unwrap().to_host())
}

fn position(model: &Model, name: &str) -> usize {
    model.specs.iter().position(|s| s.name == name).unwrap()
}

fn initial(model: &Model) -> Vec<Vec<f32>> {
    Params::init(&model.specs, 11, &cpu()).to_host()
}

#[test]
fn they_keep_the_contract() {
    let at_rest =
        "the vectors of the power iteration move with the weights, but are constants of the gradient";
    contract::trainable(gan).objective_keeps(Check::Permutation).skip(Check::Gradient, at_rest).run();
    for statistics in [BatchStatistics::PerMicroBatch, BatchStatistics::Whole] {
        contract::trainable(move || norm(statistics)).objective_keeps(Check::Permutation).run();
    }
}

#[test]
fn runs_broken_inside_an_epoch_continue_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    type Build = fn() -> Model;
    let toys: [(&str, Build, Option<usize>); 3] = [
        ("gan", gan, Some(4)),
        ("micro-batches", || norm(BatchStatistics::PerMicroBatch), Some(7)),
        ("whole", || norm(BatchStatistics::Whole), None),
    ];
    for (name, toy, atoms) in toys {
        let whole = dir.path().join(name);
        run(&mut toy(), &config(atoms), &whole, false, u64::MAX).unwrap();
        let expected = state(&toy(), &whole);
        assert_eq!(expected.0.progress.step, 12);
        for broken_at in [1, 4, 8] {
            let path = dir.path().join(format!("{name}-{broken_at}"));
            run(&mut toy(), &config(atoms), &path, false, broken_at).unwrap();
            run(&mut toy(), &config(atoms), &path, true, 1).unwrap();
            run(&mut toy(), &config(atoms), &path, true, u64::MAX).unwrap();
            assert_eq!(state(&toy(), &path), expected, "{name} broken at {broken_at}");
        }
        for threads in [1, 2, 5] {
            let path = dir.path().join(format!("{name}-{threads}-threads"));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(&mut toy(), &config(atoms), &path, false, u64::MAX)).unwrap();
            assert_eq!(state(&toy(), &path), expected, "{name} with {threads} threads");
        }
    }
}

#[test]
fn phases_have_optimizers_and_a_log_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    run(&mut gan(), &config(Some(4)), dir.path(), false, 2).unwrap();
    let model = gan();
    let (state, average) = state(&model, dir.path());
    let phases: Vec<_> = state
        .optimizers
        .iter()
        .map(|o| (o.phase.as_str(), o.steps, o.parameters.len(), o.first.len()))
        .collect();
    assert_eq!(phases, [("critic", 6, 4, 4), ("generator", 2, 4, 4)]);
    let start = initial(&model);
    let unit = position(&model, "generator.unit");
    assert_eq!([&state.weights[unit], &average[unit]], [&vec![3.0]; 2], "frozen");
    for name in ["critic.0.u", "critic.1.u"] {
        let u = position(&model, name);
        assert_eq!(average[u], state.weights[u], "an average holds the latest buffer");
    }
    let u = position(&model, "critic.0.u");
    assert_ne!(state.weights[u], start[u], "a buffer moves");

    let line = complete_lines(&dir.path().join(METRICS_FILE)).unwrap().remove(0);
    let Ok(Metric::Step(StepMetric { parts, phases, loss, lr, .. })) = serde_json::from_str(&line) else {
        panic!("{line}")
    };
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["critic.fake", "critic.real", "generator.fake"]);
    assert_eq!((lr, phases["critic"].lr, phases["generator"].lr), (0.02, 0.02, 0.05));
    assert_eq!(loss, phases["critic"].loss + phases["generator"].loss);
    assert!((phases["critic"].loss - (parts["critic.fake"] - parts["critic.real"])).abs() < 1e-6);
}

#[test]
fn a_phase_moves_its_parameters_alone() {
    let dir = tempfile::tempdir().unwrap();
    for (still, moving) in [("critic", "generator"), ("generator", "critic")] {
        let mut model = gan();
        let phase = model.phases.iter_mut().find(|p| p.name == still).unwrap();
        // Too little to change any number.
        phase.optimizer.lr = Some(1e-30);
        let path = dir.path().join(still);
        run(&mut model, &config(Some(4)), &path, false, 1).unwrap();
        let (weights, start) = (state(&model, &path).0.weights, initial(&model));
        for (i, spec) in model.specs.iter().enumerate() {
            let moves =
                spec.name.starts_with(moving) && spec.name != "generator.unit" || spec.name == "critic.0.u";
            // The critic's last bias has no effect on the difference of two means.
            if spec.name != "critic.1.bias" && spec.name != "critic.1.u" {
                assert_eq!(weights[i] != start[i], moves, "{}", spec.name);
            }
        }
    }
}

#[test]
fn a_run_is_not_continued_in_other_phases() {
    let dir = tempfile::tempdir().unwrap();
    run(&mut gan(), &config(None), dir.path(), false, 1).unwrap();
    let mut other = gan();
    other.phases[1].parameters = PhaseParameters::All;
    let error = run(&mut other, &config(None), dir.path(), true, 1).unwrap_err();
    assert!(matches!(error, RunError::Checkpoint(CheckpointError::Phases { .. })), "{error}");
    assert!(error.to_string().contains("critic (4 tensors), generator (8 tensors)"), "{error}");
}

#[test]
fn phases_that_make_no_sense_are_refused() {
    let refused = |change: &dyn Fn(&mut Model)| {
        let mut model = gan();
        change(&mut model);
        let Err(ModelError::Config(text)) = TrainingPhase::all(&model) else { panic!("accepted") };
        text
    };
    let below = |name| PhaseParameters::Below(vec![name]);
    assert!(refused(&|m| m.phases.clear()).contains("no training phase moves"));
    assert!(refused(&|m| m.phases[1].name = "critic").contains("two phases are named `critic`"));
    assert!(refused(&|m| m.phases[0].name = "Critic.").contains("`Critic.`"));
    assert!(refused(&|m| m.phases[0].parameters = below("crit")).contains("no trainable parameter"));
    assert!(refused(&|m| m.phases[0].repetitions = 0).contains("`critic`"));
    assert!(refused(&|m| m.phases[0].optimizer.lr = Some(0.0)).contains("learning rate 0"));
    let text = refused(&|m| m.phases[1].parameters = below("generator.0"));
    assert!(text.contains("no training phase moves the parameter `generator.1.weight`"), "{text}");
}

#[test]
fn evaluation_uses_what_training_gathered() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = norm(BatchStatistics::PerMicroBatch);
    run(&mut model, &config(Some(7)), dir.path(), false, u64::MAX).unwrap();
    let (state, average) = state(&model, dir.path());
    for name in ["norm.running_mean", "norm.running_var"] {
        let i = position(&model, name);
        assert_ne!(state.weights[i], initial(&model)[i]);
        assert_eq!(state.weights[i], average[i]);
    }
    let params = Params::from_host(&model.specs, &average, &cpu());
    let set: Vec<Structure> = data().train.structures().cloned().collect();
    let structures: Vec<&Structure> = set.iter().collect();
    let keys: Vec<NoiseKey> = (0..8).map(|index| NoiseKey { seed: 1, epoch: 0, index }).collect();
    let together = evaluate(&model, &params, &structures, &keys).unwrap().total;
    let alone: f64 = (0..8)
        .map(|i| evaluate(&model, &params, &structures[i..=i], &keys[i..=i]).unwrap().total / 8.0)
        .sum();
    assert!((together - alone).abs() < 1e-5 * alone, "{together} {alone}");
    let training = differentiate(&model, &params, &structures, &keys).unwrap();
    assert!((training.objective.total - together).abs() > 1e-3 * together);
    assert_eq!(training.buffers.len(), 2, "one micro-batch, mean and variance");
}

#[test]
fn batches_with_statistics_are_not_cut_to_fit() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&mut norm(BatchStatistics::Whole), &config(Some(4)), dir.path(), false, 1).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("train.micro_batch_atoms = 4") && text.contains("whole batch"), "{text}");

    let path = dir.path().join("whole");
    let mut model = Model { capacity: 6, ..norm(BatchStatistics::Whole) };
    let error = run(&mut model, &config(None), &path, false, u64::MAX).unwrap_err();
    assert!(matches!(error, RunError::Model(ModelError::WholeBatch { atoms: 7.., .. })), "{error}");
    assert!(error.to_string().contains("train.batch_size"), "{error}");

    let path = dir.path().join("parts");
    let mut model = Model { capacity: 6, ..norm(BatchStatistics::PerMicroBatch) };
    let error = run(&mut model, &config(Some(10)), &path, false, u64::MAX).unwrap_err();
    assert!(matches!(error, RunError::Model(ModelError::FixedCut { atoms: 7..=10, .. })), "{error}");

    // Evaluation depends on no cut; the limit of training stays.
    let params = Params::init(&model.specs, 11, &cpu());
    let set: Vec<Structure> = data().train.structures().cloned().collect();
    let keys: Vec<NoiseKey> = (0..8).map(|index| NoiseKey { seed: 1, epoch: 0, index }).collect();
    let limit = MicroBatchLimit::atoms_at_most(10);
    let batch = |model| Batch::new(model, set.iter().collect(), keys.clone());
    let tight = batch(&model as &dyn Trainable).evaluate(&params, &limit).unwrap().total;
    let roomy = batch(&norm(BatchStatistics::Whole)).evaluate(&params, &limit).unwrap().total;
    assert!((tight - roomy).abs() < 1e-5 * roomy && limit.atoms() == 10, "{tight} {roomy}");
}
