//! `druse relax` from end to end.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{cif, command, druse};
use druse_crystal::Structure;
use druse_data::{JsonlRecord, write_jsonl_record};
use druse_testkit::prototypes::{prototypes, quartz};

const ARGON: &str = "name = \"argon\"\ncutoff = 9.0\n\n[[pair]]\nelements = [\"Ar\", \"Ar\"]\nlennard-jones = { epsilon = 0.0103, sigma = 3.4 }\n";

/// Numbers in [-1, 1] without pattern.
fn noise(i: usize) -> f64 {
    (i as f64 * 12.9898 + 1.0).sin() * 43_758.545 % 1.0
}

fn write_set(path: &Path, structures: impl IntoIterator<Item = Structure>) {
    let mut out = Vec::new();
    for (i, structure) in structures.into_iter().enumerate() {
        let properties = BTreeMap::new();
        let record = JsonlRecord { id: format!("s/{i}"), formula: String::new(), structure, properties };
        write_jsonl_record(&mut out, &record).unwrap();
    }
    fs::write(path, out).unwrap();
}

fn disturbed(start: &Structure, seed: usize) -> Structure {
    let mut new = start.clone();
    new.frac_coords.iter_mut().flatten().enumerate().for_each(|(i, x)| {
        *x = druse_crystal::wrap_unit(*x + 0.01 * noise(100 * seed + i));
    });
    new
}

/// The files of a run.
fn output(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(Result::unwrap).filter(|e| e.file_name() != ".lock");
    files.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

#[test]
fn argon_is_relaxed_with_a_potential_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("start");
    fs::create_dir(&folder).unwrap();
    let fcc = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]].map(|f| ("Ar", f));
    fs::write(folder.join("dense.cif"), cif("dense", 5.0, &fcc)).unwrap();
    fs::write(folder.join("iron.cif"), cif("iron", 2.9, &[("Fe", [0.0; 3])])).unwrap();
    fs::write(folder.join("twins.cif"), cif("twins", 5.0, &[("Ar", [0.0; 3]), ("Ar", [0.02, 0.0, 0.0])]))
        .unwrap();
    fs::write(dir.path().join("argon.toml"), ARGON).unwrap();
    let base = ["relax", "start", "--potential", "argon.toml", "--fmax", "0.001"];
    let run =
        druse(dir.path(), &[&base[..], &["--out", "out", "--trajectory", "--keep-symmetry"]].concat()).ok();
    for words in
        ["1 of 3 structures converged", "1 overlap", "1 unknown_element", "does not know the element Fe"]
    {
        assert!(run.stderr.contains(words), "`{words}`: {}", run.stderr);
    }
    let out = dir.path().join("out");
    let table = fs::read_to_string(out.join("relaxed.csv")).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("0,dense,Ar,4,converged,"), "{table}");
    assert!(fs::read_to_string(out.join("trajectories/000000-Ar.extxyz")).unwrap().contains("forces:R:3"));
    // The group that was kept stands in the CIF.
    let text = fs::read_to_string(out.join("000000-Ar.cif")).unwrap();
    assert!(text.contains("F m -3 m") || text.contains("Fm-3m"), "{text}");
    // The folder is a set like any other: the relaxed structures, and a row for each that failed.
    let features = druse(dir.path(), &["featurize", "out", "--features", "symmetry"]).ok();
    assert_eq!(features.stdout.lines().count(), 3);
    assert!(features.stdout.contains("\"iron\""), "{}", features.stdout);
    // With the optimizer of fewer steps.
    let quick = druse(
        dir.path(),
        &[&base[..], &["--out", "quick", "--optimizer", "lbfgs", "--cell", "volume"]].concat(),
    );
    assert!(quick.ok().stderr.contains("1 of 3 structures converged"));
}

#[test]
fn several_potentials_are_asked_for_the_energy_of_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("start");
    fs::create_dir(&folder).unwrap();
    let fcc = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]].map(|f| ("Ar", f));
    fs::write(folder.join("argon.cif"), cif("argon", 5.4, &fcc)).unwrap();
    let salt = [[0.0; 3], [0.5, 0.5, 0.5]];
    fs::write(folder.join("salt.cif"), cif("salt", 4.1, &[("Cs", salt[0]), ("Cl", salt[1])])).unwrap();
    fs::write(dir.path().join("argon.toml"), ARGON).unwrap();
    let all =
        ["relax", "start", "--out", "out", "--potential", "chgnet,argon.toml,sevennet", "--fmax", "0.1"];
    let run = druse(dir.path(), &all).ok();
    for words in [
        "2 of 2 structures converged",
        "argon does not know the element Cs",
        "energies of 2 structures: mean of chgnet and sevennet",
        "energies of 1 structures: mean of chgnet and argon",
        "argon has no energy of 1",
    ] {
        assert!(run.stderr.contains(words), "`{words}`: {}", run.stderr);
    }
    let out = dir.path().join("out");
    let lines = fs::read_to_string(out.join("structures.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let salt = &lines.iter().find(|line| line["id"] == "salt").unwrap()["properties"];
    let energies = &salt["relax_energies_per_atom"];
    let [first, other] = ["chgnet", "sevennet"].map(|name| energies[name].as_f64().unwrap());
    assert!((-4.5..-2.0).contains(&first) && (first - other).abs() < 0.5, "{energies}");
    assert!(energies["argon"].is_null());
    let number = |name: &str| salt[name].as_f64().unwrap();
    assert!((number("relax_energy_per_atom_mean") - 0.5 * (first + other)).abs() < 1e-12);
    assert!((number("relax_energy_per_atom_difference") - (other - first)).abs() < 1e-12);
    assert_eq!(salt["potential"], "chgnet");
    assert_eq!(salt["relax_magnetic_moments"].as_array().unwrap().len(), 2);
    let table = fs::read_to_string(out.join("relaxed.csv")).unwrap();
    assert!(table.contains("energy_per_atom_mean,energy_per_atom_difference"), "{table}");
    let alone = ["relax", "start", "--out", "out", "--potential", "chgnet", "--fmax", "0.1", "--resume"];
    druse(dir.path(), &alone).fails(2, &["was started with potential"]);
    let twice = ["relax", "start", "--out", "twice", "--potential", "spheres,spheres"];
    druse(dir.path(), &twice).fails(2, &["two of the potentials are called `spheres`"]);
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.cif"), cif("a", 5.0, &[("Ar", [0.0; 3])])).unwrap();
    fs::write(dir.path().join("argon.toml"), ARGON.replace("sigma = 3.4", "sigma = -3.4")).unwrap();
    let relax = |more: &[&str]| druse(dir.path(), &[&["relax", "a.cif", "--out", "out"], more].concat());
    relax(&["--potential", "unknown"]).fails(2, &["`unknown` is neither a potential nor a file", "spheres"]);
    relax(&["--potential", "argon.toml"]).fails(2, &["argon.toml", "sigma = -3.4"]);
    relax(&["--potential", "spheres", "--fmax", "0"]).fails(2, &["fmax = 0", "a positive number"]);
    relax(&["--potential", "spheres", "--pressure", "nan"]).fails(2, &["pressure"]);
    relax(&["--potential", "spheres", "--set", "longest=1"]).fails(2, &["no `longest`", "longest_step"]);
    relax(&["--potential", "spheres", "--set", "longest_step=-1"]).fails(2, &["longest_step = -1"]);
    relax(&["--potential", "spheres", "--set", "latency=1.5"]).fails(2, &["latency=1.5"]);
    assert!(!dir.path().join("out").exists());
    druse(dir.path(), &["relax", "none.cif", "--out", "out", "--potential", "spheres"])
        .fails(2, &["none.cif"]);
    relax(&["--potential", "spheres", "--min-distance", "9"]).fails(1, &["no structure could be relaxed"]);
    relax(&["--potential", "spheres"]).fails(2, &["already holds relaxed structures", "--resume"]);
    relax(&["--potential", "spheres", "--resume"]).fails(2, &["was started with settings"]);
}

#[test]
fn a_killed_run_is_resumed_to_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set.jsonl"), (0..60).map(|i| disturbed(&quartz(), i)));
    let arguments = |out| {
        [
            "relax",
            "set.jsonl",
            "--potential",
            "spheres",
            "--fmax",
            "1e-9",
            "--steps",
            "300",
            "--format",
            "extxyz",
            "--out",
            out,
        ]
    };
    druse(dir.path(), &arguments("whole")).ok();
    let whole = output(&dir.path().join("whole"));
    assert!(whole.contains_key("structures.extxyz") && whole.contains_key("relaxed.csv"));

    for (out, signal, code) in [("killed", "-KILL", None), ("stopped", "-INT", Some(130))] {
        let lines = dir.path().join(out).join("structures.jsonl");
        let count = || fs::read_to_string(&lines).map_or(0, |text| text.lines().count());
        let mut child = command(dir.path()).args(arguments(out)).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while count() < 3 && begun.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), code);
        let done = count();
        assert!((3..60).contains(&done), "{done} lines when it ended");
        // Whoever asks it to stop has its figures at once.
        assert_eq!(dir.path().join(out).join("relaxed.csv").exists(), code.is_some());
        let resumed = druse(dir.path(), &[&arguments(out)[..], &["--resume"]].concat()).ok();
        assert!(resumed.stderr.contains("were there)"), "{}", resumed.stderr);
        assert_eq!(output(&dir.path().join(out)), whole);
    }
}

#[test]
fn shards_make_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    write_set(&dir.path().join("set.jsonl"), prototypes().into_iter().take(9).map(|(_, s)| s));
    let relax = |more: &[&str]| {
        let base = ["relax", "set.jsonl", "--potential", "spheres", "--steps", "40"];
        druse(dir.path(), &[&base, more].concat()).ok()
    };
    relax(&["--out", "whole", "--threads", "1"]);
    relax(&["--out", "part0", "--shard", "0/2", "--batch-size", "3"]);
    relax(&["--out", "part1", "--shard", "1/2"]);
    druse(dir.path(), &["merge", "part0", "part1", "--out", "merged"]).ok();
    assert_eq!(output(&dir.path().join("merged")), output(&dir.path().join("whole")));
    druse(dir.path(), &["merge", "part0", "part0", "--out", "twice"]).fails(2, &["is in"]);
}
