//! Epochs that are repeated from an earlier state because a loss left its bounds, on a model of two parameters.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Toy, data};
use druse_models::Trainable;
use druse_models::registry::{ModelSettings, Registry};
use druse_run::folder::complete_lines;
use druse_run::metrics::Metric;
use druse_run::train::{Ending, LAST, METRICS_FILE, Outcome, attempt_seed, train};
use druse_run::{Checkpoint, Event, RunConfig, RunError, RunFolder};

const SEED: u64 = 11;
/// Epochs done when the loss is bad: a fourth epoch.
const EPOCH: u64 = 3;
/// Batches of an epoch.
const BATCHES: u64 = 3;

fn config() -> RunConfig {
    let mut config = RunConfig::preset(&Registry::builtin(), "gemsdiff-paper").unwrap();
    config.model = ModelSettings { kind: "toy".into(), settings: Default::default() };
    config.train.batch_size = 3;
    config.train.epochs = 6;
    config.train.seed = SEED;
    config.train.loss_bounds = Some([0.0, 1e3]);
    config.optim.lr = 0.05;
    config
}

/// A model whose loss is bad in the first tries of an epoch, through a structure.
fn bad(tries: u64, structure: u64) -> Toy {
    let seeds = (0..tries).map(|attempt| attempt_seed(SEED, attempt)).collect();
    Toy::with_bad_seeds(EPOCH, structure, seeds)
}

/// What was restored: epoch, attempt, whether to the state before the last epoch.
type Restored = Vec<(u64, u64, bool)>;

/// Trains until `steps` steps are done in this call.
fn run(
    mut toy: Toy,
    config: &RunConfig,
    path: &Path,
    resume: bool,
    steps: u64,
) -> (Result<Outcome, RunError>, Restored) {
    let stop = AtomicBool::new(steps == 0);
    let (mut done, mut restored) = (0, Vec::new());
    let folder = RunFolder::open(path).unwrap();
    let device = druse_nn::device::cpu();
    let mut watch = |event: Event<'_>| match event {
        Event::Step(_) => {
            done += 1;
            stop.store(done >= steps, Ordering::Relaxed);
        }
        Event::Restored { epoch, attempt, before_last, reason } => {
            assert!(reason.contains("loss_bounds") || reason.contains("NaN"), "{reason}");
            restored.push((epoch, attempt, before_last));
        }
        _ => {}
    };
    let outcome = train(&mut toy, config, &data(), &folder, resume, &device, &mut watch, &stop);
    (outcome, restored)
}

/// Step, epoch and loss of every line of the log.
fn log(path: &Path) -> Vec<(u64, u64, f64)> {
    let lines = complete_lines(&path.join(METRICS_FILE)).unwrap();
    let numbers = |line: &String| match serde_json::from_str(line).unwrap() {
        Metric::Step(m) => (m.step, m.epoch, m.loss),
        Metric::Epoch(m) => (m.step, m.epoch, m.validation_loss.unwrap()),
    };
    lines.iter().map(numbers).collect()
}

/// Everything that training changes, as numbers.
fn state(path: &Path) -> Vec<Vec<f32>> {
    let checkpoint = Checkpoint::load(&path.join(LAST)).unwrap();
    let specs = Toy::default().parameters().to_vec();
    let state = checkpoint.training(&specs).unwrap();
    let average = checkpoint.averaged(&specs, &druse_nn::device::cpu()).unwrap().to_host();
    let counters =
        vec![state.progress.step as f32, state.ema_updates as f32, state.optimizers[0].steps as f32];
    let optimizer = &state.optimizers[0];
    [state.weights, average, optimizer.first.clone(), optimizer.second.clone(), vec![counters]].concat()
}

#[test]
fn a_failed_try_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    run(Toy::default(), &config(), &plain, false, u64::MAX).0.unwrap();
    // The bad structure comes in another batch of the epoch: the weights had moved by none to two steps before.
    let mut first: Option<(Vec<_>, Vec<_>)> = None;
    for structure in 0..8 {
        let path = dir.path().join(structure.to_string());
        let (outcome, restored) = run(bad(1, structure), &config(), &path, false, u64::MAX);
        assert_eq!(outcome.unwrap().ending, Ending::Finished);
        assert_eq!(restored, [(EPOCH + 1, 1, false)]);
        let (log, state) = (log(&path), state(&path));
        match &first {
            Some(first) => assert_eq!((&log, &state), (&first.0, &first.1), "structure {structure}"),
            None => first = Some((log, state)),
        }
    }
    let (log, state_after) = first.unwrap();
    let steps: Vec<u64> = log.iter().map(|line| line.0).collect();
    assert!(steps.is_sorted() && steps.len() as u64 == 6 * (BATCHES + 1), "{steps:?}");
    // The same numbers up to the epoch, others in it: order and noise are new.
    let plain_log = self::log(&plain);
    let before = (EPOCH * (BATCHES + 1)) as usize;
    assert_eq!(log[..before], plain_log[..before]);
    assert!(log[before..].iter().zip(&plain_log[before..]).all(|(a, b)| a.2 != b.2));
    assert_ne!(state_after, state(&plain));
}

#[test]
fn after_four_tries_the_state_before_the_last_epoch_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let (outcome, restored) = run(bad(6, 1), &config(), &path, false, u64::MAX);
    assert_eq!((outcome.unwrap().step, restored.len()), (6 * BATCHES, 6));
    let before_last: Vec<bool> = restored.iter().map(|r| r.2).collect();
    assert_eq!(before_last, [false, false, false, false, true, true]);
    // An epoch's updates are gone, its steps are counted.
    let specs = Toy::default().parameters().to_vec();
    let state = Checkpoint::load(&path.join(LAST)).unwrap().training(&specs).unwrap();
    assert_eq!((state.progress.step, state.optimizers[0].steps), (6 * BATCHES, 5 * BATCHES));
}

#[test]
fn a_run_broken_at_any_step_of_a_repeated_epoch_continues_with_the_same_numbers() {
    let dir = tempfile::tempdir().unwrap();
    for tries in [1, 5] {
        let whole = dir.path().join(format!("whole-{tries}"));
        run(bad(tries, 2), &config(), &whole, false, u64::MAX).0.unwrap();
        let all =
            run(bad(tries, 2), &config(), &dir.path().join(format!("count-{tries}")), false, u64::MAX).1;
        assert_eq!(all.len() as u64, tries);
        // The steps of failed tries count here, too.
        for broken_at in EPOCH * BATCHES - 1..(EPOCH + 1) * BATCHES + 2 * tries + 2 {
            let path = dir.path().join(format!("broken-{tries}-{broken_at}"));
            let first = run(bad(tries, 2), &config(), &path, false, broken_at).0.unwrap();
            assert_eq!(first.ending, Ending::Interrupted);
            run(bad(tries, 2), &config(), &path, true, 1).0.unwrap();
            run(bad(tries, 2), &config(), &path, true, u64::MAX).0.unwrap();
            assert_eq!(log(&path), log(&whole), "broken at {broken_at}");
            assert_eq!(state(&path), state(&whole), "broken at {broken_at}");
        }
    }
}

#[test]
fn what_fails_from_every_state_ends_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut config = config();
    config.train.epoch_retries = 2;
    let (outcome, restored) = run(bad(9, 0), &config, &path, false, u64::MAX);
    let error = outcome.unwrap_err();
    let RunError::GaveUp { epoch: 4, tries: 5, source } = &error else { panic!("{error}") };
    assert!(matches!(**source, RunError::OutOfBounds { epoch: 4, .. }), "{source}");
    assert_eq!(restored.len(), 4);
    assert!(error.to_string().contains("failed 5 times"), "{error}");
    // The checkpoint is usable.
    run(Toy::default(), &config, &path, true, u64::MAX).0.unwrap();
}

#[test]
fn a_loss_that_is_no_number_counts_before_bounds_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.train.epoch_retries = 1;
    config.train.loss_bounds_from = 5;
    // The bound is left in epoch 4, which has none yet.
    let (outcome, restored) = run(bad(9, 0), &config, &dir.path().join("late"), false, u64::MAX);
    assert!(outcome.is_ok() && restored.is_empty());
    let (outcome, restored) = run(Toy::poisoned(5), &config, &dir.path().join("nan"), false, u64::MAX);
    let error = outcome.unwrap_err();
    assert!(matches!(&error, RunError::GaveUp { epoch: 1, tries: 3, .. }), "{error}");
    assert_eq!(restored, [(1, 1, false), (1, 2, true)]);
}

#[test]
fn bounds_are_checked_and_may_come_with_a_resumed_run() {
    let mut wrong = config();
    wrong.train.loss_bounds = Some([1.0, 0.5]);
    assert!(wrong.validate().unwrap_err().to_string().contains("train.loss_bounds"));
    wrong.train.loss_bounds = Some([0.0, 1.0]);
    wrong.train.epoch_retries = 0;
    assert!(wrong.validate().unwrap_err().to_string().contains("train.epoch_retries"));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut without = config();
    without.train.loss_bounds = None;
    run(Toy::default(), &without, &path, false, EPOCH * BATCHES + 1).0.unwrap();
    // No earlier state was kept: the run goes back to where it continued.
    let (outcome, restored) = run(bad(1, 7), &config(), &path, true, u64::MAX);
    assert_eq!(outcome.unwrap().ending, Ending::Finished);
    assert!(restored.len() <= 1, "{restored:?}");
}
