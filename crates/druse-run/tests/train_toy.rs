//! The training loop on a model of two parameters.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Toy, data};
use druse_models::ModelError;
use druse_models::registry::{ModelSettings, Registry};
use druse_run::folder::complete_lines;
use druse_run::metrics::{EpochMetric, Metric, StepMetric};
use druse_run::train::{BEST, Ending, LAST, METRICS_FILE, Outcome, train};
use druse_run::{Checkpoint, Event, RunConfig, RunError, RunFolder};
use druse_testkit::contract::{self, Check};

fn config() -> RunConfig {
    let mut config = RunConfig::preset(&Registry::builtin(), "gemsdiff-paper").unwrap();
    config.model = ModelSettings { kind: "toy".into(), settings: Default::default() };
    config.train.batch_size = 3;
    config.train.epochs = 6;
    config.train.seed = 11;
    config.optim.lr = 0.05;
    config
}

/// Trains until `steps` steps are done in this call.
fn run(
    toy: &mut Toy,
    config: &RunConfig,
    path: &Path,
    resume: bool,
    steps: u64,
) -> Result<Outcome, RunError> {
    let stop = AtomicBool::new(steps == 0);
    let mut done = 0;
    let folder = RunFolder::open(path)?;
    let device = druse_nn::device::cpu();
    let mut watch = |event: Event<'_>| {
        if matches!(event, Event::Step(_)) {
            done += 1;
            stop.store(done >= steps, Ordering::Relaxed);
        }
    };
    train(toy, config, &data(), &folder, resume, &device, &mut watch, &stop)
}

fn log(path: &Path) -> Vec<Metric> {
    let lines = complete_lines(&path.join(METRICS_FILE)).unwrap();
    let timeless = |line: &String| match serde_json::from_str(line).unwrap() {
        Metric::Step(m) => Metric::Step(StepMetric { structures_per_s: 0.0, ..m }),
        Metric::Epoch(m) => Metric::Epoch(EpochMetric { minutes: 0.0, ..m }),
    };
    lines.iter().map(timeless).collect()
}

fn state(path: &Path) -> (Vec<Vec<f32>>, Vec<Vec<f32>>, u64) {
    let checkpoint = Checkpoint::load(&path.join(LAST)).unwrap();
    let specs = druse_models::Trainable::parameters(&Toy::default()).to_vec();
    let state = checkpoint.training(&specs).unwrap();
    let average = checkpoint.averaged(&specs, &druse_nn::device::cpu()).unwrap().to_host();
    (state.weights, average, state.progress.step)
}

#[test]
fn it_keeps_the_contract() {
    contract::generator(Toy::default).objective_keeps(Check::Permutation).run();
}

#[test]
fn a_run_broken_at_any_step_continues_with_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    let outcome = run(&mut Toy::default(), &config(), &whole, false, u64::MAX).unwrap();
    assert_eq!((outcome.ending, outcome.step, outcome.epoch), (Ending::Finished, 18, 6));
    let losses: Vec<f64> = log(&whole)
        .iter()
        .filter_map(|m| if let Metric::Step(s) = m { Some(s.loss) } else { None })
        .collect();
    assert!(losses[17] < 0.5 * losses[0], "{losses:?}");
    for broken_at in [1, 3, 4, 17] {
        let path = dir.path().join(format!("broken-{broken_at}"));
        let first = run(&mut Toy::default(), &config(), &path, false, broken_at).unwrap();
        assert_eq!((first.ending, first.step), (Ending::Interrupted, broken_at));
        run(&mut Toy::default(), &config(), &path, true, 2).unwrap();
        run(&mut Toy::default(), &config(), &path, true, u64::MAX).unwrap();
        assert_eq!(log(&path), log(&whole), "broken at {broken_at}");
        assert_eq!(state(&path), state(&whole));
    }
}

#[test]
fn a_killed_run_repeats_what_came_after_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    run(&mut Toy::default(), &config(), &whole, false, u64::MAX).unwrap();
    // The checkpoint of epoch 2 with the log of a process that got to step 8 and died while writing a line.
    run(&mut Toy::default(), &config(), &killed, false, 6).unwrap();
    let checkpoint = std::fs::read(killed.join(LAST)).unwrap();
    run(&mut Toy::default(), &config(), &killed, true, 2).unwrap();
    std::fs::write(killed.join(LAST), checkpoint).unwrap();
    let mut lines = std::fs::read(killed.join(METRICS_FILE)).unwrap();
    lines.extend_from_slice(b"{\"kind\":\"step\",\"st");
    std::fs::write(killed.join(METRICS_FILE), lines).unwrap();
    run(&mut Toy::default(), &config(), &killed, true, u64::MAX).unwrap();
    assert_eq!(log(&killed), log(&whole));
}

#[test]
fn a_loss_that_is_no_number_stops_with_the_batch_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    run(&mut Toy::default(), &config(), &path, false, 5).unwrap();
    let mut toy = Toy::poisoned(5);
    let error = run(&mut toy, &config(), &path, true, u64::MAX).unwrap_err();
    let RunError::NotFinite { what: "loss", step, ids, .. } = &error else { panic!("{error}") };
    assert!(*step > 5 && ids.iter().any(|id| id.ends_with("TiO3")), "{error}");
    assert!(error.to_string().contains("TiO3"));
    // The checkpoint is usable: the same run without the poison continues from it.
    assert!(state(&path).2 >= 5);
    run(&mut Toy::default(), &config(), &path, true, u64::MAX).unwrap();
}

/// Losses and gradient norms of all steps.
fn numbers(path: &Path) -> Vec<(f64, f64)> {
    let step = |m: &Metric| if let Metric::Step(s) = m { Some((s.loss, s.grad_norm)) } else { None };
    log(path).iter().filter_map(step).collect()
}

#[test]
fn micro_batches_that_do_not_fit_into_memory_are_halved_and_give_the_same_gradient() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, split) = (dir.path().join("whole"), dir.path().join("split"));
    run(&mut Toy::default(), &config(), &whole, false, u64::MAX).unwrap();
    // Batches of three have up to 14 atoms.
    let mut limits = Vec::new();
    let mut watch = |event: Event<'_>| {
        if let Event::MemoryLimit { atoms } = event {
            limits.push(atoms);
        }
    };
    let (stop, device) = (AtomicBool::new(false), druse_nn::device::cpu());
    let mut toy = Toy::with_capacity(5);
    let folder = RunFolder::open(&split).unwrap();
    train(&mut toy, &config(), &data(), &folder, false, &device, &mut watch, &stop).unwrap();
    assert!(!limits.is_empty() && limits.is_sorted_by(|a, b| a > b) && limits[0] < 14, "{limits:?}");
    let (whole, split) = (numbers(&whole), numbers(&split));
    assert_eq!(whole.len(), split.len());
    for (a, b) in whole.iter().zip(&split) {
        let close = |x: f64, y: f64| (x - y).abs() <= 1e-4 * y.abs();
        assert!(close(a.0, b.0) && close(a.1, b.1), "{a:?} {b:?}");
    }

    let error = run(&mut Toy::with_capacity(4), &config(), &dir.path().join("tiny"), false, u64::MAX);
    let Err(RunError::Model(ModelError::TooLarge { what, atoms: 5 })) = &error else { panic!("{error:?}") };
    assert!(what.contains("TiO3") || what.contains("O3"), "{what}");
}

#[test]
fn a_diverging_loss_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.train.epochs = 1000;
    config.train.divergence_factor = 1.0001;
    let path = dir.path().join("r");
    let error = run(&mut Toy::default(), &config, &path, false, u64::MAX).unwrap_err();
    let RunError::Diverged { step, .. } = error else { panic!("{error}") };
    // Five steps went wrong, an epoch has three: the checkpoint is from before.
    assert!(state(&path).2 <= step - 5, "{} {step}", state(&path).2);
}

#[test]
fn a_single_outlier_does_not_stop_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.train.epochs = 60;
    config.optim.clip_norm = Some(1.0);
    config.optim.warmup_steps = 0;
    let path = dir.path().join("r");
    run(&mut Toy::with_outlier(50), &config, &path, false, u64::MAX).unwrap();
    let mut losses: Vec<f64> = numbers(&path).into_iter().map(|(loss, _)| loss).collect();
    losses.sort_by(f64::total_cmp);
    let [.., before, highest] = losses[..] else { panic!("{losses:?}") };
    assert!(highest > 1e9 && before < 1e3, "{before} {highest}");
}

#[test]
fn early_stop_time_limit_and_best_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let mut patient = config();
    patient.train.epochs = 100_000;
    patient.train.patience = Some(3);
    let path = dir.path().join("patient");
    let outcome = run(&mut Toy::default(), &patient, &path, false, u64::MAX).unwrap();
    assert_eq!(outcome.ending, Ending::EarlyStop);
    let best = Checkpoint::load(&path.join(BEST)).unwrap().progress().unwrap().unwrap();
    assert_eq!((best.best, best.epoch), (outcome.best, outcome.epoch - 3));
    let minimum = log(&path)
        .iter()
        .filter_map(|m| if let Metric::Epoch(e) = m { e.validation_loss } else { None })
        .fold(f64::INFINITY, f64::min);
    assert_eq!(outcome.best, Some(minimum));

    let mut hurried = config();
    hurried.train.max_minutes = Some(1e-9);
    let outcome = run(&mut Toy::default(), &hurried, &dir.path().join("hurried"), false, u64::MAX).unwrap();
    assert_eq!((outcome.ending, outcome.step), (Ending::TimeLimit, 0));
}

#[test]
fn a_run_can_start_from_the_weights_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    run(&mut Toy::default(), &config(), &first, false, u64::MAX).unwrap();
    let mut further = config();
    further.train.init = Some(first.join(LAST));
    // Not a single step, so that the first checkpoint holds what the run started from.
    run(&mut Toy::default(), &further, &second, false, 0).unwrap();
    let (weights, average, step) = state(&second);
    assert_eq!(step, 0);
    assert_eq!(weights, state(&first).1);
    assert_eq!(average, weights);
    let exported = Checkpoint::load(&second.join(LAST)).unwrap().export();
    assert_eq!(exported.config.train.init.as_deref(), Some(Path::new("last.safetensors")));

    further.train.init = Some(dir.path().join("absent.safetensors"));
    let error = run(&mut Toy::default(), &further, &dir.path().join("third"), false, 1).unwrap_err();
    assert!(matches!(&error, RunError::Checkpoint(_)) && error.to_string().contains("absent"), "{error}");
}

#[test]
fn folders_and_changes_are_guarded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let toy = &mut Toy::default();
    assert!(matches!(run(toy, &config(), &path, true, 1), Err(RunError::NothingToResume { .. })));
    run(toy, &config(), &path, false, 1).unwrap();
    assert!(matches!(run(toy, &config(), &path, false, 1), Err(RunError::Occupied { .. })));
    let mut other = config();
    other.train.seed = 12;
    let error = run(toy, &other, &path, true, 1).unwrap_err();
    assert!(matches!(&error, RunError::Changed { key, .. } if key == "train.seed"), "{error}");
    let held = RunFolder::open(&path).unwrap();
    assert!(matches!(run(toy, &config(), &path, true, 1), Err(RunError::Locked { .. })));
    drop(held);
    std::fs::write(path.join(LAST), b"rubbish").unwrap();
    assert!(matches!(run(toy, &config(), &path, true, 1), Err(RunError::Checkpoint(_))));
}
