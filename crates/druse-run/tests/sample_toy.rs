//! The sampling driver on a model whose structures are known.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Toy, prototypes};
use druse_crystal::Composition;
use druse_crystal::formats::Format;
use druse_data::JsonlRecord;
use druse_models::{ModelError, Trainable};
use druse_nn::{Params, Precision};
use druse_run::merge::merge;
use druse_run::output::{FAILURES_FILE, Failure, STRUCTURES_FILE, SampleFormat, parse_lines};
use druse_run::sample::{
    ChannelSink, Finished, FolderSink, LARGER_THAN_TRAINING, MemorySink, SamplePlan, Shard, Summary, Workers,
    sample,
};
use druse_run::{Event, RunError, RunFolder};

fn plan() -> SamplePlan {
    let all = prototypes();
    SamplePlan {
        targets: all.iter().map(|(_, s)| Composition::from_species(&s.species).into()).collect(),
        sampling: Default::default(),
        count: 20,
        seed: 3,
        model: "toy".into(),
        shard: Shard::default(),
        precision: Precision::F32,
        workers: Workers::OnePerThread,
    }
}

/// How a run's folder is written.
#[derive(Clone, Copy)]
struct Output {
    format: SampleFormat,
    resume: bool,
    stop_after: usize,
}

const NEW: Output = Output { format: SampleFormat::Jsonl, resume: false, stop_after: usize::MAX };
const RESUMED: Output = Output { resume: true, ..NEW };

fn run(plan: &SamplePlan, path: &Path, output: Output) -> Result<Summary, RunError> {
    run_model(Toy::default(), plan, path, output)
}

fn fitted(mut toy: Toy) -> (Toy, Params) {
    let all = prototypes();
    toy.fit_statistics(&all.iter().map(|(_, s)| s).collect::<Vec<_>>()).unwrap();
    let params = Params::init(toy.parameters(), 1, &druse_nn::device::cpu());
    (toy, params)
}

fn run_model(toy: Toy, plan: &SamplePlan, path: &Path, output: Output) -> Result<Summary, RunError> {
    let (toy, params) = fitted(toy);
    let stop = AtomicBool::new(false);
    let mut finished = 0;
    let mut watch = |event: Event<'_>| {
        if let Event::Sampled { .. } = event {
            finished += 1;
            stop.store(finished >= output.stop_after, Ordering::Relaxed);
        }
    };
    let folder = RunFolder::open(path)?;
    let mut sink = FolderSink::new(&folder, output.format, output.resume);
    sample(&toy, &params, plan, &mut sink, &mut watch, &stop)
}

fn output(path: &Path) -> [String; 2] {
    [STRUCTURES_FILE, FAILURES_FILE].map(|f| fs::read_to_string(path.join(f)).unwrap())
}

#[test]
fn output_does_not_depend_on_batches_interruption_or_shards() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let summary = run(&plan(), &at("whole"), NEW).unwrap();
    // Indices 5, 12 and 19 fail by design.
    assert_eq!(summary, Summary { sampled: 17, failed: 3, ..Summary::default() });
    let whole = output(&at("whole"));
    assert_eq!(whole[0].lines().count(), 17);
    let failures: Vec<Failure> = parse_lines(&at("whole").join(FAILURES_FILE)).unwrap();
    assert_eq!(failures.iter().map(|f| f.index).collect::<Vec<_>>(), [5, 12, 19]);
    assert!(failures[0].reason.contains("every seventh"));

    // Structures of different sizes take different numbers of steps, so those of several threads finish out of order.
    for threads in [1, 2, 5] {
        let path = at(&format!("threads-{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&plan(), &path, NEW)).unwrap();
        assert_eq!(output(&path), whole);

        let broken = at(&format!("broken-{threads}"));
        let first = pool.install(|| run(&plan(), &broken, Output { stop_after: 6, ..NEW })).unwrap();
        let done = first.sampled + first.failed;
        // Several threads may finish everything while one holds up the first structure.
        assert!(done >= 6 && first.interrupted == (done < 20), "{first:?}");
        assert!(threads > 1 || done == 6, "{first:?}");
        // What a killed process leaves: half a line.
        let file = broken.join(STRUCTURES_FILE);
        fs::write(&file, fs::read_to_string(&file).unwrap() + "{\"id\":\"6\",\"form").unwrap();
        let rest = pool.install(|| run(&plan(), &broken, RESUMED)).unwrap();
        assert_eq!((rest.found, rest.sampled + rest.failed), (done, 20 - done));
        assert_eq!(output(&broken), whole);
    }

    for (groups, in_flight) in [(1, 1), (1, 7), (2, 6), (3, 100)] {
        let path = at(&format!("groups-{groups}-{in_flight}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let plan = SamplePlan { workers: Workers::Groups { groups, in_flight }, ..plan() };
        pool.install(|| run(&plan, &path, NEW)).unwrap();
        assert_eq!(output(&path), whole, "{groups} groups, {in_flight} in flight");
    }

    let parts: Vec<PathBuf> = (0..3).map(|i| at(&format!("part-{i}"))).collect();
    for (index, part) in (0..).zip(&parts) {
        run(&SamplePlan { shard: Shard { index, count: 3 }, ..plan() }, part, NEW).unwrap();
    }
    let out = RunFolder::open(&at("merged")).unwrap();
    let merged = merge(&parts, &out, SampleFormat::Jsonl).unwrap();
    assert_eq!((merged.structures, merged.failures, merged.missing), (17, 3, 0));
    assert_eq!(output(&at("merged")), whole);
    let incomplete = merge(&parts[1..], &RunFolder::open(&at("two")).unwrap(), SampleFormat::Jsonl).unwrap();
    assert_eq!(incomplete.missing, 7);

    let twice = [parts[0].clone(), parts[0].clone()];
    let error = merge(&twice, &RunFolder::open(&at("twice")).unwrap(), SampleFormat::Jsonl).unwrap_err();
    assert!(error.to_string().contains("structure 0"), "{error}");
    run(&SamplePlan { seed: 4, ..plan() }, &at("other"), NEW).unwrap();
    let mixed = [parts[0].clone(), at("other")];
    let error = merge(&mixed, &RunFolder::open(&at("mixed")).unwrap(), SampleFormat::Jsonl).unwrap_err();
    assert!(error.to_string().contains("seed is 3 and 4"), "{error}");
}

#[test]
fn a_bug_in_a_sampler_is_no_hang() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    for (how, workers) in
        [(NEW, Workers::OnePerThread), (RESUMED, Workers::Groups { groups: 2, in_flight: 4 })]
    {
        let plan = SamplePlan { workers, ..plan() };
        let run = || run_model(Toy::panicking(0), &plan, &path, how);
        let panic = std::panic::catch_unwind(run).unwrap_err();
        assert_eq!(druse_nn::memory::panic_message(panic.as_ref()), Some("a bug in step"));
        assert_eq!(output(&path), ["", ""]);
    }
}

#[test]
fn seeds_give_other_structures() {
    let dir = tempfile::tempdir().unwrap();
    run(&plan(), &dir.path().join("a"), NEW).unwrap();
    run(&SamplePlan { seed: 4, ..plan() }, &dir.path().join("b"), NEW).unwrap();
    assert_ne!(output(&dir.path().join("a"))[0], output(&dir.path().join("b"))[0]);
}

#[test]
fn every_format_has_its_files_also_after_an_interruption() {
    let dir = tempfile::tempdir().unwrap();
    for (format, extension) in
        [(SampleFormat::Structures(Format::Cif), "cif"), (SampleFormat::Structures(Format::Poscar), "vasp")]
    {
        let path = dir.path().join(extension);
        run(&plan(), &path, Output { format, stop_after: 1, ..NEW }).unwrap();
        run(&plan(), &path, Output { format, ..RESUMED }).unwrap();
        let files: Vec<PathBuf> = fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == extension))
            .collect();
        assert_eq!(files.len(), 17);
        for file in files {
            let read = druse_crystal::formats::read_path(&file).unwrap();
            assert_eq!(read.len(), 1);
        }
        assert!(path.join(format!("000002-CsCl.{extension}")).exists());
    }
    let path = dir.path().join("xyz");
    let format = SampleFormat::Structures(Format::ExtXyz);
    run(&plan(), &path, Output { format, stop_after: 1, ..NEW }).unwrap();
    let frames = path.join("structures.extxyz");
    fs::write(&frames, fs::read_to_string(&frames).unwrap() + "5\nLattice=\"half a fra").unwrap();
    run(&plan(), &path, Output { format, ..RESUMED }).unwrap();
    assert_eq!(druse_crystal::formats::read_path(&frames).unwrap().len(), 17);
}

#[test]
fn mistakes_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let large = SamplePlan { targets: vec![Composition::parse("Na8Cl8").unwrap().into()], ..plan() };
    let error = run(&large, &path, NEW).unwrap_err();
    assert!(
        matches!(error, RunError::Model(ModelError::TooManyAtoms { atoms: 16, limit: 5, .. })),
        "{error}"
    );
    assert!(!path.join(STRUCTURES_FILE).exists());
    run(&plan(), &path, NEW).unwrap();
    assert!(matches!(run(&plan(), &path, NEW), Err(RunError::Occupied { .. })));
    let other = SamplePlan { seed: 9, ..plan() };
    assert!(matches!(run(&other, &path, RESUMED), Err(RunError::Changed { .. })));
    fs::write(path.join(STRUCTURES_FILE), "{\"id\": 3}\n").unwrap();
    let error = run(&plan(), &path, RESUMED).unwrap_err();
    assert!(matches!(&error, RunError::Damaged { reason, .. } if reason.starts_with("line 1")), "{error}");
}

#[test]
fn shards_are_parsed() {
    assert_eq!("2/5".parse::<Shard>().unwrap(), Shard { index: 2, count: 5 });
    for text in ["5/5", "1", "a/2", "0/0", "-1/2", ""] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
}

#[test]
fn structures_also_go_to_memory_and_through_a_channel() {
    let (toy, params) = fitted(Toy::default());
    let stop = AtomicBool::new(false);
    let into = |sink: &mut dyn druse_run::sample::Sink| {
        sample(&toy, &params, &plan(), sink, &mut druse_run::Silent, &stop)
    };
    let mut memory = MemorySink::default();
    assert_eq!(into(&mut memory).unwrap(), Summary { sampled: 17, failed: 3, ..Summary::default() });
    assert_eq!(memory.finished.iter().map(|f| f.index).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert!(memory.finished[5].result.is_err() && memory.finished[0].label == "Po1");
    // What is there is not sampled again.
    memory.finished.truncate(12);
    assert_eq!(into(&mut memory).unwrap().found, 12);
    let (sender, receiver) = std::sync::mpsc::sync_channel(2);
    let reader = std::thread::spawn(move || receiver.iter().collect::<Vec<Finished>>());
    into(&mut ChannelSink(sender)).unwrap();
    assert_eq!(reader.join().unwrap(), memory.finished);
    let (sender, receiver) = std::sync::mpsc::sync_channel(2);
    drop(receiver);
    assert!(matches!(into(&mut ChannelSink(sender)), Err(RunError::ReceiverGone)));
    let nothing = SamplePlan { targets: vec![], ..plan() };
    let error = sample(&toy, &params, &nothing, &mut memory, &mut druse_run::Silent, &stop).unwrap_err();
    assert!(matches!(error, RunError::NothingToSample));
}

#[test]
fn cells_larger_than_any_of_the_training_set_are_kept_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let marked = |largest_seen, name: &str| {
        let path = dir.path().join(name);
        let summary = run_model(Toy::trained_up_to(largest_seen), &plan(), &path, NEW).unwrap();
        let records: Vec<JsonlRecord> = parse_lines(&path.join(STRUCTURES_FILE)).unwrap();
        let mark = |r: &JsonlRecord| r.properties.get(LARGER_THAN_TRAINING) == Some(&true.into());
        assert_eq!(records.len() as u64, summary.sampled);
        if let Some(largest) = largest_seen {
            assert!(records.iter().all(|r| mark(r) == (r.structure.len() > largest)));
        }
        let marked = records.iter().filter(|r| mark(r)).count() as u64;
        assert_eq!(summary.larger_than_training, marked);
        marked
    };
    assert!(marked(Some(2), "some") > 0);
    assert_eq!(marked(Some(5), "none"), 0);
    assert_eq!(marked(None, "unknown"), 0);
}
