//! The relaxation driver: folders, interruption, shards.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use druse_crystal::formats::Format;
use druse_crystal::{Lattice, Structure};
use druse_data::{Absent, Item, JsonlRecord, ListOptions, Listing};
use druse_relax::{End, Flight, Potential, RelaxSettings};
use druse_run::merge::merge;
use druse_run::output::{
    FAILURES_FILE, Failure, STRUCTURES_FILE, SampleFormat, Shard, list_structures, parse_lines,
};
use druse_run::relax::{
    FolderRows, MemoryRows, RelaxPlan, RelaxSummary, TABLE_FILE, TRAJECTORIES_FOLDER, relax,
};
use druse_run::{Event, RunError, RunFolder, Silent, potentials};
use druse_testkit::prototypes::prototypes;

fn spheres() -> Box<dyn Potential> {
    potentials::load("spheres").unwrap().potential
}

/// The prototypes, cells with overlapping atoms, and rows without a structure.
fn listing() -> Listing {
    let mut structures: Vec<Structure> = prototypes().into_iter().take(14).map(|(_, s)| s).collect();
    for (i, s) in structures.iter_mut().enumerate() {
        s.properties.insert("tag".into(), format!("t{i}").into());
        s.properties.insert("index".into(), 1000.into());
    }
    let mut overlapping = structures[4].clone();
    overlapping.frac_coords[1] = [0.01, 0.0, 0.0];
    structures[6] = overlapping;
    let mut listing = Listing::from_structures("set", structures);
    let absent = Absent { reason: "no cell, \"none\"".into(), ..Absent::default() };
    let mut broken = listing.items[0].clone();
    broken = Item { id: "broken, row".into(), outcome: Err(absent), ..broken };
    listing.items.insert(3, broken);
    listing
}

fn plan() -> RelaxPlan {
    RelaxPlan {
        settings: RelaxSettings { fmax: 0.02, steps: 80, trajectory: true, ..RelaxSettings::default() },
        potential: "spheres 1".into(),
        shard: Shard::default(),
        flight: Flight::default(),
    }
}

const CIFS: SampleFormat = SampleFormat::Structures(Format::Cif);

/// Relaxes into a folder and stops after so many rows.
fn run(plan: &RelaxPlan, path: &Path, resume: bool, stop_after: usize) -> Result<RelaxSummary, RunError> {
    let stop = AtomicBool::new(false);
    let mut rows = 0;
    let mut watch = |event: Event<'_>| {
        if let Event::Relaxed { .. } = event {
            rows += 1;
            stop.store(rows >= stop_after, Ordering::Relaxed);
        }
    };
    let folder = RunFolder::open(path)?;
    let mut sink = FolderRows::new(&folder, CIFS, resume);
    relax(&listing(), &*spheres(), plan, &mut sink, &mut watch, &stop)
}

/// Every file of a folder but the lock.
fn contents(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            all.extend(contents(&entry.path()).into_iter().map(|(k, v)| (format!("{name}/{k}"), v)));
        } else if name != ".lock" {
            all.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    all
}

#[test]
fn rows_have_their_figures_and_their_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let summary = run(&plan(), dir.path(), false, usize::MAX).unwrap();
    assert_eq!((summary.rows(), summary.failed, summary.found), (15, 2, 0));
    assert_eq!((summary.ends["no_structure"], summary.ends["overlap"]), (1, 1));
    assert!(summary.converged() > 8 && summary.mean_steps() > 3.0 && !summary.interrupted, "{summary:?}");
    assert!(summary.evaluations >= summary.steps);

    let mut memory = MemoryRows::default();
    relax(&listing(), &*spheres(), &plan(), &mut memory, &mut Silent, &AtomicBool::new(false)).unwrap();
    let records: Vec<JsonlRecord> = parse_lines(&dir.path().join(STRUCTURES_FILE)).unwrap();
    let with_structure: Vec<_> = memory.rows.iter().filter(|row| row.failure().is_none()).collect();
    assert_eq!(records.len(), with_structure.len());
    for (record, row) in records.iter().zip(with_structure) {
        let relaxed = row.relaxed().unwrap();
        let figures = relaxed.figures.as_ref().unwrap();
        assert_eq!((&record.id, &record.properties["index"]), (&row.id, &row.index.into()));
        assert_eq!(record.properties["relax_energy"], figures.energy);
        assert_eq!(record.properties["relax_converged"], relaxed.end == End::Converged);
        assert_eq!(record.properties["relax_volume_change"], figures.volume_change());
        assert!(record.properties.contains_key("tag"), "what the input says stays");
        assert_eq!(record.properties["potential"], "spheres");
        let apart = record.structure.lattice.matrix() - relaxed.structure.lattice.matrix();
        assert!(apart.norm() < 1e-9);
    }
    let failures: Vec<Failure> = parse_lines(&dir.path().join(FAILURES_FILE)).unwrap();
    assert_eq!(failures.iter().map(|f| f.index).collect::<Vec<_>>(), [3, 7]);
    assert_eq!(failures[0].id.as_deref(), Some("broken, row"));
    assert!(failures[1].reason.contains("overlap"), "{}", failures[1].reason);

    let table = fs::read_to_string(dir.path().join(TABLE_FILE)).unwrap();
    assert_eq!(table.lines().count(), 16);
    assert!(table.lines().nth(4).unwrap().starts_with("3,\"broken, row\",,,no_structure,"), "{table}");
    assert!(table.contains("\"no cell, \"\"none\"\"\""));
    let columns: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    let first: Vec<&str> = table.lines().nth(1).unwrap().split(',').collect();
    let cell = |name: &str| first[columns.iter().position(|c| *c == name).unwrap()];
    assert_eq!((cell("end"), cell("atoms"), cell("has_structure")), ("converged", "1", "true"));
    let energy = records[0].properties["relax_energy"].as_f64().unwrap();
    assert!((cell("energy").parse::<f64>().unwrap() - energy).abs() < 1e-9);

    // A judge counts what failed, too, and sees the same structures in each file.
    let listed = list_structures(dir.path(), &ListOptions::default()).unwrap();
    assert_eq!(listed.len(), 15);
    assert_eq!(listed.items[3].id, "broken, row");
    let trajectory = fs::read_to_string(
        dir.path().join(TRAJECTORIES_FOLDER).join(format!("000000-{}.extxyz", records[0].formula)),
    )
    .unwrap();
    let frames = druse_crystal::formats::read_str(&trajectory, Format::ExtXyz).unwrap();
    assert_eq!(frames.len() as u64, 1 + records[0].properties["relax_steps"].as_u64().unwrap());
    let last = frames.last().unwrap();
    assert_eq!(last.structure.properties["energy"], records[0].properties["relax_energy"]);
}

#[test]
fn output_does_not_depend_on_threads_interruption_or_shards() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    run(&plan(), &at("whole"), false, usize::MAX).unwrap();
    let whole = contents(&at("whole"));
    assert_eq!(whole.len(), 30, "{:?}", whole.keys());
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let path = at(&format!("threads-{threads}"));
        let batched = RelaxPlan { flight: Flight { workers: threads, per_worker: 4 }, ..plan() };
        pool.install(|| run(&batched, &path, false, usize::MAX)).unwrap();
        assert_eq!(contents(&path), whole);

        let broken = at(&format!("broken-{threads}"));
        let first = pool.install(|| run(&plan(), &broken, false, 5)).unwrap();
        assert!(first.interrupted && first.rows() >= 5 && first.rows() < 15, "{first:?}");
        // What a killed process leaves: half a line, lines in the order in which structures ended, no table.
        let file = broken.join(STRUCTURES_FILE);
        let mut lines: Vec<String> =
            fs::read_to_string(&file).unwrap().lines().map(|l| format!("{l}\n")).collect();
        lines.reverse();
        fs::write(&file, lines.concat() + "{\"id\":\"6\",\"form").unwrap();
        fs::remove_file(broken.join(TABLE_FILE)).unwrap();
        let rest = pool.install(|| run(&plan(), &broken, true, usize::MAX)).unwrap();
        assert_eq!((rest.found, rest.rows()), (first.rows(), 15 - first.rows()));
        assert_eq!(contents(&broken), whole);
    }
    let parts = [0, 1].map(|index| {
        let path = at(&format!("part-{index}"));
        run(&RelaxPlan { shard: Shard { index, count: 2 }, ..plan() }, &path, false, usize::MAX).unwrap();
        path
    });
    let merged = merge(&parts, &RunFolder::open(&at("merged")).unwrap(), CIFS).unwrap();
    assert_eq!((merged.structures, merged.failures, merged.missing), (13, 2, 0));
    assert_eq!(contents(&at("merged")), whole);
}

#[test]
fn another_run_is_not_continued() {
    let dir = tempfile::tempdir().unwrap();
    run(&plan(), dir.path(), false, 3).unwrap();
    assert!(matches!(run(&plan(), dir.path(), false, 1), Err(RunError::Occupied { .. })));
    let changed = |plan: RelaxPlan, key: &str| match run(&plan, dir.path(), true, usize::MAX) {
        Err(RunError::Changed { key: found, .. }) => assert_eq!(found, key),
        other => panic!("{other:?}"),
    };
    let settings = RelaxSettings { pressure: 1.0, ..plan().settings };
    changed(RelaxPlan { settings, ..plan() }, "settings");
    changed(RelaxPlan { potential: "other".into(), ..plan() }, "potential");
    changed(RelaxPlan { shard: Shard { index: 0, count: 2 }, ..plan() }, "shard");
    let mut moved = listing();
    if let Ok(structure) = &mut moved.items[5].outcome {
        structure.lattice = Lattice::from_matrix(structure.lattice.matrix() * 1.001).unwrap();
    }
    let folder = RunFolder::open(dir.path()).unwrap();
    let mut sink = FolderRows::new(&folder, CIFS, true);
    let found = relax(&moved, &*spheres(), &plan(), &mut sink, &mut Silent, &AtomicBool::new(false));
    assert!(matches!(found, Err(RunError::Changed { key, .. }) if key == "the input's hash"));
    let impossible = RelaxPlan { settings: RelaxSettings { fmax: -1.0, ..plan().settings }, ..plan() };
    drop(folder);
    assert!(matches!(run(&impossible, dir.path(), true, 1), Err(RunError::Relaxation(_))));
    // A folder of sampled structures is another run.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("sampling.json"), "{}").unwrap();
    assert!(matches!(run(&plan(), other.path(), true, 1), Err(RunError::Occupied { .. })));
}
