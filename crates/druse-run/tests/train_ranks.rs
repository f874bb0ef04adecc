//! Training by several ranks: each on a thread of its own here, joined by TCP as processes are.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::phased::{gan, norm};
use common::{Toy, data};
use druse_models::registry::{ModelSettings, Registry};
use druse_models::{BatchStatistics, ModelError, RankFailure, Trainable};
use druse_nn::device::cpu;
use druse_run::checkpoint::TrainingState;
use druse_run::data::TrainingData;
use druse_run::folder::complete_lines;
use druse_run::metrics::{EpochMetric, Metric, StepMetric};
use druse_run::train::ranks::{End, Member, RankOptions, Secret, Team, listen};
use druse_run::train::{Ending, LAST, METRICS_FILE, Outcome, attempt_seed, train, train_with};
use druse_run::{Checkpoint, Event, RankError, RunConfig, RunError, RunFolder};

const SEED: u64 = 11;
/// Long enough for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "the secret of the test";

/// Batches of up to eight structures in micro-batches of few atoms.
fn config() -> RunConfig {
    let mut config = RunConfig::preset(&Registry::builtin(), "gemsdiff-paper").unwrap();
    config.model = ModelSettings { kind: "toy".into(), settings: Default::default() };
    config.train.batch_size = 7;
    config.train.epochs = 5;
    config.train.seed = SEED;
    config.train.micro_batch_atoms = Some(2);
    config.optim.lr = 0.05;
    config
}

fn options(world: usize, timeout: Duration) -> RankOptions {
    RankOptions { world, secret: Secret::new(SECRET).unwrap(), timeout }
}

fn never() -> Result<(), RunError> {
    Ok(())
}

/// A rank with a model of its own.
struct Other {
    model: Box<dyn Trainable>,
    config: RunConfig,
    data: TrainingData,
    options: RankOptions,
}

impl Other {
    fn new(model: impl Trainable + 'static, config: &RunConfig, options: &RankOptions) -> Self {
        Self { model: Box::new(model), config: config.clone(), data: data(), options: options.clone() }
    }

    /// The course of rank `rank`, on threads of its own: one that sleeps keeps none of another rank.
    fn run(mut self, rank: usize, address: &str) -> Result<End, RunError> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            let member = Member::join(address, rank, &self.options, &self.config, &mut never)?;
            member.serve(&mut *self.model, &self.config, || Ok(self.data), &cpu())
        })
    }
}

/// How a rank's thread has ended: that of one that panics has no result.
type Ended = thread::Result<Result<End, RunError>>;

/// A training with these other ranks that is stopped after so many steps; and how the others ended.
fn with_others(
    model: &mut dyn Trainable,
    config: &RunConfig,
    path: &Path,
    resume: bool,
    steps: u64,
    others: Vec<Other>,
) -> (Result<Outcome, RunError>, Vec<Ended>) {
    let options = RankOptions { world: others.len() + 1, ..options_of(&others) };
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let threads: Vec<_> = (1..)
        .zip(others)
        .map(|(rank, other)| {
            let address = address.clone();
            thread::spawn(move || other.run(rank, &address))
        })
        .collect();
    let lead = || -> Result<Outcome, RunError> {
        let folder = RunFolder::open(path)?;
        let team = Team::gather(listener, &options, config, &mut never, &mut |_| ())?;
        team.compare_data(&data(), &mut never)?;
        let stop = AtomicBool::new(steps == 0);
        let mut done = 0;
        let mut watch = |event: Event<'_>| {
            if matches!(event, Event::Step(_)) {
                done += 1;
                stop.store(done >= steps, Ordering::Relaxed);
            }
        };
        let outcome = train_with(model, config, &data(), &folder, resume, &cpu(), &team, &mut watch, &stop);
        match &outcome {
            Ok(outcome) => team.end(Ok(outcome.ending)),
            Err(error) => team.end(Err(&error.to_string())),
        }
        outcome
    };
    let outcome = lead();
    (outcome, threads.into_iter().map(thread::JoinHandle::join).collect())
}

fn options_of(others: &[Other]) -> RankOptions {
    others.first().map_or_else(|| options(1, PATIENCE), |other| other.options.clone())
}

/// A training of a model by so many ranks, all of which end as they should.
fn together<M: Trainable + 'static>(
    build: &dyn Fn() -> M,
    world: usize,
    config: &RunConfig,
    path: &Path,
    resume: bool,
    steps: u64,
) -> Outcome {
    let options = options(world, PATIENCE);
    let others = (1..world).map(|_| Other::new(build(), config, &options)).collect();
    let (outcome, ends) = with_others(&mut build(), config, path, resume, steps, others);
    let outcome = outcome.unwrap();
    for end in ends {
        assert_eq!(end.unwrap().unwrap(), End::Ended(outcome.ending));
    }
    outcome
}

/// A training in one process.
fn alone(model: &mut dyn Trainable, config: &RunConfig, path: &Path) -> Outcome {
    let folder = RunFolder::open(path).unwrap();
    let stop = AtomicBool::new(false);
    train(model, config, &data(), &folder, false, &cpu(), &mut |_: Event<'_>| (), &stop).unwrap()
}

/// Log, state and averaged weights.
type RunOutcome = (Vec<Metric>, TrainingState, Vec<Vec<f32>>);

/// Log and checkpoint without what depends on the clock.
fn outcome_of(model: &dyn Trainable, path: &Path) -> RunOutcome {
    let timeless = |line: &String| match serde_json::from_str(line).unwrap() {
        Metric::Step(m) => Metric::Step(StepMetric { structures_per_s: 0.0, ..m }),
        Metric::Epoch(m) => Metric::Epoch(EpochMetric { minutes: 0.0, ..m }),
    };
    let log = complete_lines(&path.join(METRICS_FILE)).unwrap().iter().map(timeless).collect();
    let checkpoint = Checkpoint::load(&path.join(LAST)).unwrap();
    let mut state = checkpoint.training(model.parameters()).unwrap();
    state.progress.seconds = 0.0;
    state.earlier.iter_mut().for_each(|earlier| earlier.state.progress.seconds = 0.0);
    (log, state, checkpoint.averaged(model.parameters(), &cpu()).unwrap().to_host())
}

/// One, two, three, four and six ranks, any number of threads, and numbers of ranks that change within a run.
fn has_the_same_bits<M: Trainable + 'static>(build: impl Fn() -> M + Sync, config: &RunConfig) {
    let dir = tempfile::tempdir().unwrap();
    let expected = has_the_same_bits_unbroken(&build, config, dir.path());
    // Broken off at any step and continued, inside an epoch and after one.
    let path = dir.path().join("changing");
    for (world, steps) in [(2, 1), (4, 2), (1, 2), (3, u64::MAX)] {
        together(&build, world, config, &path, path.exists(), steps);
    }
    assert!(outcome_of(&build(), &path) == expected, "changing numbers of ranks");
}

/// The outcome that runs of any numbers of ranks and threads have.
fn has_the_same_bits_unbroken<M: Trainable + 'static>(
    build: &(impl Fn() -> M + Sync),
    config: &RunConfig,
    dir: &Path,
) -> RunOutcome {
    let whole = dir.join("alone");
    alone(&mut build(), config, &whole);
    let expected = outcome_of(&build(), &whole);
    for threads in [1, 3] {
        let path = dir.join(format!("{threads}-threads"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| alone(&mut build(), config, &path));
        assert_eq!(outcome_of(&build(), &path), expected, "{threads} threads");
    }
    for world in [2, 3, 4, 6] {
        let path = dir.join(format!("{world}-ranks"));
        let outcome = together(build, world, config, &path, false, u64::MAX);
        assert_eq!(outcome.ending, Ending::Finished);
        assert_eq!(outcome_of(&build(), &path), expected, "{world} ranks");
    }
    expected
}

#[test]
fn any_number_of_ranks_has_the_same_bits() {
    has_the_same_bits(Toy::default, &config());
}

#[test]
fn phases_buffers_and_statistics_of_micro_batches_are_those_of_one_process() {
    let config =
        RunConfig { train: druse_run::config::TrainConfig { epochs: 3, ..config().train }, ..config() };
    has_the_same_bits(gan, &config);
    has_the_same_bits(|| norm(BatchStatistics::PerMicroBatch), &config);
}

#[test]
fn an_epoch_that_is_repeated_is_so_on_all_ranks() {
    let mut config = config();
    config.train.loss_bounds = Some([0.0, 1e3]);
    let seeds = || (0..6).map(|attempt| attempt_seed(SEED, attempt)).collect();
    has_the_same_bits(|| Toy::with_bad_seeds(3, 4, seeds()), &config);
}

#[test]
fn memory_that_does_not_suffice_is_the_same_everywhere() {
    let mut config = config();
    config.train.micro_batch_atoms = Some(14);
    let dir = tempfile::tempdir().unwrap();
    has_the_same_bits_unbroken(&|| Toy::with_capacity(5), &config, dir.path());
}

/// Three epochs of a training whose second rank has another model, and what a run alone goes on to from its checkpoint.
fn fails_with(bad: Toy, timeout: Duration) -> RankFailure {
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    alone(&mut Toy::default(), &config(), &whole);
    let options = options(3, timeout);
    let others = vec![Other::new(Toy::default(), &config(), &options), Other::new(bad, &config(), &options)];
    let begun = Instant::now();
    let (outcome, ends) = with_others(&mut Toy::default(), &config(), &broken, false, u64::MAX, others);
    let error = outcome.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(120));
    let RunError::RankFailed { failure: ModelError::Rank { rank: 2, failure }, step } = error else {
        panic!("{error}")
    };
    assert_eq!(step, 2 * 2, "the steps before the epoch that fails");
    let End::Stopped(reason) = ends[0].as_ref().unwrap().as_ref().unwrap() else { panic!("{ends:?}") };
    assert!(reason.contains("rank 2") && reason.contains("--resume"), "{reason}");
    let progress = Checkpoint::load(&broken.join(LAST)).unwrap().progress().unwrap().unwrap();
    assert_eq!(progress.step, 4);
    together(&Toy::default, 2, &config(), &broken, true, u64::MAX);
    let toy = Toy::default();
    assert_eq!(outcome_of(&toy, &broken), outcome_of(&toy, &whole));
    failure
}

#[test]
fn a_rank_that_dies_stops_the_run_after_the_last_whole_step() {
    let failure = fails_with(Toy::panicking(2), PATIENCE);
    assert!(matches!(failure, RankFailure::Lost(_)), "{failure}");
}

#[test]
fn a_rank_that_lives_but_does_not_finish_stops_the_run() {
    let timeout = Duration::from_secs(2);
    let failure = fails_with(Toy::slow(2, 3 * timeout), timeout);
    assert_eq!(failure, RankFailure::Late { seconds: 2.0 });
}

#[test]
fn a_failure_between_the_phases_of_a_step_leaves_no_half_step() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    alone(&mut gan(), &config(), &whole);
    let options = options(2, PATIENCE);
    let mut bad = gan();
    // The other rank's model has no generator's phase, as a defect would have it.
    bad.phases.truncate(1);
    bad.phases[0].parameters = druse_models::PhaseParameters::All;
    let others = vec![Other::new(bad, &config(), &options)];
    let (outcome, _) = with_others(&mut gan(), &config(), &broken, false, u64::MAX, others);
    let error = outcome.unwrap_err();
    assert!(matches!(&error, RunError::RankFailed { step: 0, .. }), "{error}");
    together(&gan, 3, &config(), &broken, true, u64::MAX);
    assert_eq!(outcome_of(&gan(), &broken), outcome_of(&gan(), &whole));
}

#[test]
fn a_batch_that_is_never_cut_is_not_shared() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config();
    config.train.micro_batch_atoms = None;
    let build = || norm(BatchStatistics::Whole);
    let others = vec![Other::new(build(), &config, &options(2, PATIENCE))];
    let (outcome, ends) = with_others(&mut build(), &config, dir.path(), false, 1, others);
    let error = outcome.unwrap_err();
    assert!(matches!(&error, RunError::Ranks(RankError::NotCut { model: "toy" })), "{error}");
    assert!(matches!(ends[0].as_ref().unwrap(), Ok(End::Stopped(_))), "{ends:?}");
}

/// Rank 0's words and those of the only other rank when they do not belong together.
fn refused(change: impl FnOnce(&mut Other, &mut usize)) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let (own, mut rank) = (options(2, Duration::from_secs(3)), 1);
    let mut other = Other::new(Toy::default(), &config(), &own);
    change(&mut other, &mut rank);
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || other.run(rank, &address));
    let lead = || -> Result<(), RunError> {
        let team = Team::gather(listener, &own, &config(), &mut never, &mut |_| ())?;
        team.compare_data(&data(), &mut never)
    };
    let error = lead().unwrap_err().to_string();
    assert!(!dir.path().join(LAST).exists());
    let theirs = match thread.join().unwrap() {
        Ok(End::Stopped(reason)) => reason,
        other => other.unwrap_err().to_string(),
    };
    for words in [&error, &theirs] {
        assert!(!words.contains(SECRET), "{words}");
    }
    (error, theirs)
}

#[test]
fn ranks_that_do_not_belong_together_say_so() {
    let (ours, theirs) =
        refused(|other, _| other.options.secret = Secret::new("quite another secret").unwrap());
    assert!(ours.contains("rank 1 did not come") && ours.contains("does not know the secret"), "{ours}");
    assert!(theirs.contains("has another secret"), "{theirs}");

    let (ours, theirs) = refused(|other, _| other.config.train.seed = 7);
    assert!(ours.contains("rank 1 has train.seed = 7, rank 0 has 11"), "{ours}");
    assert!(theirs.contains("refuses") && theirs.contains("train.seed"), "{theirs}");

    let (ours, theirs) = refused(|other, _| other.options.world = 3);
    assert!(ours.contains("the number of ranks = 3") && theirs.contains("the number of ranks"), "{ours}");

    let (ours, theirs) = refused(|other, rank| (other.options.world, *rank) = (9, 8));
    assert!(ours.contains("the number of ranks = 9") && theirs.contains("refuses"), "{ours}");

    let (ours, theirs) = refused(|other, _| other.data.hash = "others".into());
    assert!(ours.contains("rank 1 has the hash of the data = others"), "{ours}");
    assert!(theirs.contains("the hash of the data"), "{theirs}");
}

#[test]
fn two_ranks_of_one_number_are_refused() {
    let own = options(3, PATIENCE);
    let listener = listen("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let threads = [1, 1].map(|rank| {
        let (other, address) = (Other::new(Toy::default(), &config(), &own), address.clone());
        thread::spawn(move || other.run(rank, &address))
    });
    let Err(error) = Team::gather(listener, &own, &config(), &mut never, &mut |_| ()) else { panic!() };
    assert!(matches!(&error, RunError::Ranks(RankError::Twice { rank: 1, .. })), "{error}");
    let ends = threads.map(|thread| thread.join().unwrap());
    let told = |end: &Result<End, RunError>| match end {
        Ok(End::Stopped(reason)) => reason.contains("two processes came as rank 1"),
        Ok(_) => false,
        Err(error) => error.to_string().contains("two processes came as rank 1"),
    };
    assert!(ends.iter().all(told), "{ends:?}");
}

/// Strangers that connect: nothing of them keeps the ranks from coming together.
#[test]
fn half_open_connections_and_other_programs_keep_nobody_waiting() {
    let own = options(2, Duration::from_secs(8));
    let listener = listen("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let silent: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut browser = TcpStream::connect(address).unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\nHost: druse\r\n\r\n").unwrap();
    let (mut notes, other) = (Vec::new(), Other::new(Toy::default(), &config(), &own));
    let rank = thread::spawn(move || {
        // After the strangers.
        thread::sleep(Duration::from_millis(200));
        other.run(1, &address.to_string())
    });
    let mut note = |text: &str| notes.push(text.to_owned());
    let team = Team::gather(listener, &own, &config(), &mut never, &mut note).unwrap();
    team.compare_data(&data(), &mut never).unwrap();
    team.end(Ok(Ending::Finished));
    assert_eq!(rank.join().unwrap().unwrap(), End::Ended(Ending::Finished));
    assert!(notes.iter().any(|n| n.contains("no rank of druse")), "{notes:?}");
    drop(silent);

    // Alone with them, rank 0 says who is missing, and the half-open connection.
    let own = options(2, Duration::from_secs(1));
    let listener = listen("127.0.0.1:0").unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let Err(error) = Team::gather(listener, &own, &config(), &mut never, &mut |_| ()) else { panic!() };
    let error = error.to_string();
    assert!(error.starts_with("rank 1 did not come within 1 s"), "{error}");
}

#[test]
fn a_rank_says_what_it_finds_in_place_of_rank_0() {
    let other = |timeout| Other::new(Toy::default(), &config(), &options(2, timeout));
    let brief = Duration::from_secs(1);
    // Nothing listens there: the port was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = other(brief).run(1, &free).unwrap_err();
    assert!(matches!(&error, RunError::Ranks(RankError::Unreachable { .. })), "{error}");
    // Something that never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = other(brief).run(1, &mute.local_addr().unwrap().to_string()).unwrap_err().to_string();
    assert!(error.contains("it says nothing"), "{error}");
    // Something else.
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let mut stream = stranger.accept().unwrap().0;
        stream.write_all(b"220 mail.example ESMTP and so on, at some length").unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let error = other(PATIENCE).run(1, &address).unwrap_err();
    assert!(matches!(&error, RunError::Ranks(RankError::Foreign { .. })), "{error}");
    thread.join().unwrap();
    for (rank, address) in [(1, "nowhere"), (0, "127.0.0.1:1"), (2, "127.0.0.1:1")] {
        let error = other(brief).run(rank, address).unwrap_err();
        assert!(error.is_user_mistake(), "{error}");
    }
    // The port of another one.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = listen(&taken.local_addr().unwrap().to_string()).unwrap_err().to_string();
    assert!(error.contains("another program uses the port"), "{error}");
}

/// What goes over the wire holds no secret.
#[test]
fn the_secret_never_travels() {
    let own = options(2, PATIENCE);
    let listener = listen("127.0.0.1:0").unwrap();
    let root = listener.local_addr().unwrap();
    let spy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = spy.local_addr().unwrap().to_string();
    let other = Other::new(Toy::default(), &config(), &own);
    let rank = thread::spawn(move || other.run(1, &address));
    let wire = thread::spawn(move || {
        let a = spy.accept().unwrap().0;
        let b = TcpStream::connect(root).unwrap();
        let copy = |mut from: TcpStream, mut to: TcpStream| {
            let mut seen = Vec::new();
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                seen.extend_from_slice(&buffer[..n]);
                if to.write_all(&buffer[..n]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
            seen
        };
        let (c, d) = (a.try_clone().unwrap(), b.try_clone().unwrap());
        let forth = thread::spawn(move || copy(a, d));
        let back = copy(b, c);
        [forth.join().unwrap(), back].concat()
    });
    let team = Team::gather(listener, &own, &config(), &mut never, &mut |_| ()).unwrap();
    team.compare_data(&data(), &mut never).unwrap();
    team.end(Ok(Ending::Finished));
    rank.join().unwrap().unwrap();
    let seen = wire.join().unwrap();
    let contains = |text: &str| seen.windows(text.len()).any(|w| w == text.as_bytes());
    assert!(contains("micro_batch_atoms") && !contains(SECRET) && !contains(&SECRET[..8]), "{}", seen.len());
}
