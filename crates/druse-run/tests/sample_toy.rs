//! The sampling driver on a model whose structures are known.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Toy, prototypes};
use druse_crystal::Composition;
use druse_crystal::formats::Format;
use druse_models::{ModelError, Trainable};
use druse_nn::{Params, Precision};
use druse_run::merge::merge;
use druse_run::output::{FAILURES_FILE, Failure, OutputFormat, STRUCTURES_FILE, parse_lines};
use druse_run::sample::{Crew, SamplePlan, Shard, Summary, sample};
use druse_run::{Event, RunError, RunFolder};

fn plan() -> SamplePlan {
    let all = prototypes();
    SamplePlan {
        wanted: all.iter().map(|(_, s)| Composition::from_species(&s.species).into()).collect(),
        steps_per_level: None,
        count: 20,
        seed: 3,
        model: "toy".into(),
        shard: Shard::default(),
        precision: Precision::F32,
        format: OutputFormat::Jsonl,
        crew: Crew::OneAThread,
        resume: false,
    }
}

/// Samples until `stop_after` structures are finished.
fn run(plan: &SamplePlan, path: &Path, stop_after: usize) -> Result<Summary, RunError> {
    run_model(Toy::default(), plan, path, stop_after)
}

fn run_model(mut toy: Toy, plan: &SamplePlan, path: &Path, stop_after: usize) -> Result<Summary, RunError> {
    let all = prototypes();
    toy.fit_statistics(&all.iter().map(|(_, s)| s).collect::<Vec<_>>())?;
    let params = Params::init(toy.parameters(), 1, &druse_nn::device::cpu());
    let stop = AtomicBool::new(false);
    let mut finished = 0;
    let mut watch = |event: Event<'_>| {
        if let Event::Sampled { .. } = event {
            finished += 1;
            stop.store(finished >= stop_after, Ordering::Relaxed);
        }
    };
    sample(&toy, &params, plan, &RunFolder::open(path)?, &mut watch, &stop)
}

fn output(path: &Path) -> [String; 2] {
    [STRUCTURES_FILE, FAILURES_FILE].map(|f| fs::read_to_string(path.join(f)).unwrap())
}

#[test]
fn output_does_not_depend_on_batches_interruption_or_shards() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let summary = run(&plan(), &at("whole"), usize::MAX).unwrap();
    // Indices 5, 12 and 19 fail by design.
    assert_eq!(summary, Summary { sampled: 17, failed: 3, found: 0, interrupted: false });
    let whole = output(&at("whole"));
    assert_eq!(whole[0].lines().count(), 17);
    let failures: Vec<Failure> = parse_lines(&at("whole").join(FAILURES_FILE)).unwrap();
    assert_eq!(failures.iter().map(|f| f.index).collect::<Vec<_>>(), [5, 12, 19]);
    assert!(failures[0].reason.contains("every seventh"));

    // Structures of different sizes take different numbers of steps, so those of several threads finish out of order.
    for threads in [1, 2, 5] {
        let path = at(&format!("threads-{threads}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&plan(), &path, usize::MAX)).unwrap();
        assert_eq!(output(&path), whole);

        let broken = at(&format!("broken-{threads}"));
        let first = pool.install(|| run(&plan(), &broken, 6)).unwrap();
        let done = first.sampled + first.failed;
        // Several threads may finish everything while one holds up the first structure.
        assert!(done >= 6 && first.interrupted == (done < 20), "{first:?}");
        assert!(threads > 1 || done == 6, "{first:?}");
        // What a killed process leaves: half a line.
        let file = broken.join(STRUCTURES_FILE);
        fs::write(&file, fs::read_to_string(&file).unwrap() + "{\"id\":\"6\",\"form").unwrap();
        let rest = pool.install(|| run(&SamplePlan { resume: true, ..plan() }, &broken, usize::MAX)).unwrap();
        assert_eq!((rest.found, rest.sampled + rest.failed), (done, 20 - done));
        assert_eq!(output(&broken), whole);
    }

    for (groups, in_flight) in [(1, 1), (1, 7), (2, 6), (3, 100)] {
        let path = at(&format!("groups-{groups}-{in_flight}"));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let plan = SamplePlan { crew: Crew::Groups { groups, in_flight }, ..plan() };
        pool.install(|| run(&plan, &path, usize::MAX)).unwrap();
        assert_eq!(output(&path), whole, "{groups} groups, {in_flight} in flight");
    }

    let parts: Vec<PathBuf> = (0..3).map(|i| at(&format!("part-{i}"))).collect();
    for (index, part) in (0..).zip(&parts) {
        run(&SamplePlan { shard: Shard { index, count: 3 }, ..plan() }, part, usize::MAX).unwrap();
    }
    let out = RunFolder::open(&at("merged")).unwrap();
    let merged = merge(&parts, &out, OutputFormat::Jsonl).unwrap();
    assert_eq!((merged.structures, merged.failures, merged.missing), (17, 3, 0));
    assert_eq!(output(&at("merged")), whole);
    let incomplete = merge(&parts[1..], &RunFolder::open(&at("two")).unwrap(), OutputFormat::Jsonl).unwrap();
    assert_eq!(incomplete.missing, 7);

    let twice = [parts[0].clone(), parts[0].clone()];
    let error = merge(&twice, &RunFolder::open(&at("twice")).unwrap(), OutputFormat::Jsonl).unwrap_err();
    assert!(error.to_string().contains("structure 0"), "{error}");
    run(&SamplePlan { seed: 4, ..plan() }, &at("other"), usize::MAX).unwrap();
    let mixed = [parts[0].clone(), at("other")];
    let error = merge(&mixed, &RunFolder::open(&at("mixed")).unwrap(), OutputFormat::Jsonl).unwrap_err();
    assert!(error.to_string().contains("seed is 3 and 4"), "{error}");
}

#[test]
fn a_bug_in_a_sampler_is_no_hang() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    for (resume, crew) in [(false, Crew::OneAThread), (true, Crew::Groups { groups: 2, in_flight: 4 })] {
        let plan = SamplePlan { crew, resume, ..plan() };
        let run = || run_model(Toy::panicking(0), &plan, &path, usize::MAX);
        let panic = std::panic::catch_unwind(run).unwrap_err();
        assert_eq!(druse_nn::memory::panic_message(panic.as_ref()), Some("a bug in step"));
        assert_eq!(output(&path), ["", ""]);
    }
}

#[test]
fn seeds_give_other_structures() {
    let dir = tempfile::tempdir().unwrap();
    run(&plan(), &dir.path().join("a"), usize::MAX).unwrap();
    run(&SamplePlan { seed: 4, ..plan() }, &dir.path().join("b"), usize::MAX).unwrap();
    assert_ne!(output(&dir.path().join("a"))[0], output(&dir.path().join("b"))[0]);
}

#[test]
fn every_format_has_its_files_also_after_an_interruption() {
    let dir = tempfile::tempdir().unwrap();
    for (format, extension) in
        [(OutputFormat::Structures(Format::Cif), "cif"), (OutputFormat::Structures(Format::Poscar), "vasp")]
    {
        let path = dir.path().join(extension);
        run(&SamplePlan { format, ..plan() }, &path, 1).unwrap();
        run(&SamplePlan { format, resume: true, ..plan() }, &path, usize::MAX).unwrap();
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
    let xyz = SamplePlan { format: OutputFormat::Structures(Format::ExtXyz), ..plan() };
    run(&xyz, &path, 1).unwrap();
    let frames = path.join("structures.extxyz");
    fs::write(&frames, fs::read_to_string(&frames).unwrap() + "5\nLattice=\"half a fra").unwrap();
    run(&SamplePlan { resume: true, ..xyz }, &path, usize::MAX).unwrap();
    assert_eq!(druse_crystal::formats::read_path(&frames).unwrap().len(), 17);
}

#[test]
fn mistakes_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let large = SamplePlan { wanted: vec![Composition::parse("Na8Cl8").unwrap().into()], ..plan() };
    let error = run(&large, &path, usize::MAX).unwrap_err();
    assert!(
        matches!(error, RunError::Model(ModelError::TooManyAtoms { atoms: 16, limit: 5, .. })),
        "{error}"
    );
    assert!(!path.join(STRUCTURES_FILE).exists());
    run(&plan(), &path, usize::MAX).unwrap();
    assert!(matches!(run(&plan(), &path, usize::MAX), Err(RunError::Occupied { .. })));
    let other = SamplePlan { seed: 9, resume: true, ..plan() };
    assert!(matches!(run(&other, &path, usize::MAX), Err(RunError::Changed { .. })));
    fs::write(path.join(STRUCTURES_FILE), "{\"id\": 3}\n").unwrap();
    let error = run(&SamplePlan { resume: true, ..plan() }, &path, usize::MAX).unwrap_err();
    assert!(matches!(&error, RunError::Damaged { reason, .. } if reason.starts_with("line 1")), "{error}");
}

#[test]
fn shards_are_parsed() {
    assert_eq!("2/5".parse::<Shard>().unwrap(), Shard { index: 2, count: 5 });
    for text in ["5/5", "1", "a/2", "0/0", "-1/2", ""] {
        assert!(text.parse::<Shard>().is_err(), "{text}");
    }
}
