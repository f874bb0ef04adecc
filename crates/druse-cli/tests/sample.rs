//! `druse sample` and `merge` on the real binary.

mod common;

use std::fs;
use std::path::Path;

use common::{cif, command, csv, druse, train_tiny, within_file_size, write_data};

fn structures(dir: &Path, out: &str) -> String {
    fs::read_to_string(dir.join(out).join("structures.jsonl")).unwrap()
}

/// A folder with a tiny trained model in `m`.
fn with_model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    train_tiny(dir.path(), "m", "4").ok();
    dir
}

fn sample(dir: &Path, arguments: &str) -> common::Run {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    druse(dir, &[&["sample", "--model", "m"], &arguments[..]].concat())
}

#[test]
fn structures_depend_on_seed_and_index_alone() {
    let dir = with_model();
    let dir = dir.path();
    sample(dir, "--formula SrTiO3 --count 7 --seed 5 --out whole --format jsonl").ok();
    let whole = structures(dir, "whole");
    assert!(whole.lines().count() + lines(dir, "whole/failures.jsonl") == 7);
    for (name, how) in
        [("b1", "--batch-size 1"), ("b3", "--batch-size 3"), ("t1", "--threads 1"), ("t3", "--threads 3")]
    {
        sample(dir, &format!("--formula SrTiO3 --count 7 --seed 5 --out {name} --format jsonl {how}")).ok();
        assert_eq!(structures(dir, name), whole, "{how}");
    }
    for i in 0..2 {
        let shard = format!("--formula SrTiO3 --count 7 --seed 5 --out s{i} --shard {i}/2 --format jsonl");
        sample(dir, &shard).ok();
    }
    druse(dir, &["merge", "s0", "s1", "--out", "merged", "--format", "jsonl"]).ok();
    assert_eq!(structures(dir, "merged"), whole);
    sample(dir, "--formula SrTiO3 --count 7 --seed 6 --out other --format jsonl").ok();
    assert_ne!(structures(dir, "other"), whole);

    // Cut off in the middle of a line, then continued.
    let cut: String = whole.chars().take(whole.len() * 2 / 3).collect();
    fs::write(dir.join("b3/structures.jsonl"), cut).unwrap();
    sample(dir, "--formula SrTiO3 --count 7 --seed 5 --out b3 --format jsonl --resume").ok();
    assert_eq!(structures(dir, "b3"), whole);
    sample(dir, "--formula SrTiO3 --count 7 --seed 5 --out b3").fails(2, &["b3", "--resume"]);
    sample(dir, "--formula SrTiO3 --count 7 --seed 8 --out b3 --resume").fails(2, &["seed", "5", "8"]);
    // Either the run was made in the other precision, or the processor lacks it.
    sample(dir, "--formula SrTiO3 --count 7 --seed 5 --out b3 --resume --precision bf16")
        .fails(2, &["precision", "bf16", "f32"]);
}

fn lines(dir: &Path, file: &str) -> usize {
    fs::read_to_string(dir.join(file)).map_or(0, |t| t.lines().count())
}

#[test]
fn systems_and_data_sets_give_compositions_and_formats_their_files() {
    let dir = with_model();
    let dir = dir.path();
    // Na, Cl, NaCl and twice each: the model was trained on cells of at most five atoms.
    sample(dir, "--system Na-Cl --max-unit 2 --max-units 2 --count 1 --out system").ok();
    assert_eq!(structures(dir, "system").lines().count() + lines(dir, "system/failures.jsonl"), 6);
    let cifs = fs::read_dir(dir.join("system"))
        .unwrap()
        .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|e| e == "cif"));
    assert_eq!(cifs.count(), structures(dir, "system").lines().count());
    let huge = sample(dir, "--system Na-Cl --count 1 --out all --format jsonl").ok();
    assert!(huge.stderr.contains("compositions of Na-Cl"), "{}", huge.stderr);
    sample(dir, "--like data/train.csv --out like --format poscar").ok();
    assert_eq!(structures(dir, "like").lines().count() + lines(dir, "like/failures.jsonl"), 8);
    assert!(structures(dir, "like").lines().all(|l| l.contains(r#""like":"#)), "rows are named");
    let judged = "evaluate like --reference data/train.csv --task prediction --group-by like --no-cache";
    druse(dir, &judged.split_whitespace().collect::<Vec<_>>()).ok();
    let info = druse(dir, &["info", "like/structures.jsonl"]).ok();
    assert!(info.stdout.contains("structures"), "{}", info.stdout);
    sample(dir, "--formula CsCl --count 2 --out xyz --format extxyz").ok();
    assert!(dir.join("xyz/structures.extxyz").exists());
}

#[test]
fn mistakes_are_named() {
    let dir = with_model();
    let dir = dir.path();
    let formula = |f: &str| druse(dir, &["sample", "--model", "m", "--formula", f, "--out", "o"]);
    for bad in ["LiFeO2)", "(Li0.5Na0.5)Cl", "Xx2", "", "12"] {
        formula(bad).fails(2, &[]);
    }
    formula("Na0").fails(2, &["0"]);
    formula("Na50Cl50").fails(2, &["100", "5"]);
    sample(dir, "--system Li-Xx --out o").fails(2, &["Xx"]);
    sample(dir, "--system Li-Li --out o").fails(2, &["Li", "twice"]);
    sample(dir, "--like nowhere.csv --out o").fails(2, &["nowhere.csv"]);
    sample(dir, "--formula CsCl --device cuda:9 --out o").fails(2, &["cuda:9", "cpu"]);
    sample(dir, "--formula CsCl --precision fp8 --out o").fails(2, &["fp8", "f32", "bf16"]);
    assert_eq!(sample(dir, "--formula CsCl --shard 3/2 --out o").code, Some(2));
    sample(dir, "--formula CsCl --system Na-Cl --out o").fails(2, &["Cs-Cl", "Na-Cl"]);
    sample(dir, "--formula CsCl --atoms 3 --out o").fails(2, &["2 atoms", "3"]);
    sample(dir, "--system Cs-Cl --each-composition --space-group 221 --out o").fails(2, &["--space-group"]);
    sample(dir, "--formula CsCl --templates-only --out o").fails(2, &["gemsdiff", "--templates-only"]);
    sample(dir, "--atoms 3 --out o").fails(2, &["gemsdiff", "--formula"]);
    assert_eq!(sample(dir, "--system Cs-Cl --like data --out o").code, Some(2));
    assert_eq!(sample(dir, "--out o").code, Some(2));
    assert!(!dir.join("o/structures.jsonl").exists());
    fs::write(dir.join("file"), "").unwrap();
    sample(dir, "--formula CsCl --out file/o").fails(1, &["cannot write", "file"]);

    let model = |path: &str| druse(dir, &["sample", "--model", path, "--formula", "CsCl", "--out", "o"]);
    model("nowhere.safetensors").fails(2, &["nowhere.safetensors"]);
    model("data").fails(2, &["data", "no checkpoint"]);
    fs::write(dir.join("text.safetensors"), "this is text, not weights").unwrap();
    model("text.safetensors").fails(2, &["text.safetensors", "not a safetensors file"]);
    let good = fs::read(dir.join("m/checkpoints/best.safetensors")).unwrap();
    fs::write(dir.join("cut.safetensors"), &good[..good.len() - 100]).unwrap();
    model("cut.safetensors").fails(2, &["cut.safetensors", "cut off"]);
    for (from, to, words) in [
        ("\"version\":\"1\"", "\"version\":\"7\"", "format version 7"),
        ("\"kind\":\"gemsdiff\"", "\"kind\":\"nameless\"", "nameless"),
    ] {
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(dir.join("other.safetensors"), bytes).unwrap();
        model("other.safetensors").fails(2, &["other.safetensors", words]);
    }
}

/// A limit on the size of files stops a write in the middle, as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_what_was_finished_stays() {
    let dir = with_model();
    let dir = dir.path();
    let arguments = "--formula CsCl --count 12 --batch-size 2 --format jsonl";
    sample(dir, &format!("{arguments} --out whole")).ok();
    let limited = format!("sample --model m {arguments} --out full");
    within_file_size(dir, 2, &limited).fails(1, &["cannot write", "structures.jsonl"]);
    let finished = structures(dir, "full");
    assert!(finished.lines().count() >= 2 && structures(dir, "whole").starts_with(&finished));
    sample(dir, &format!("{arguments} --out full --resume")).ok();
    assert_eq!(structures(dir, "full"), structures(dir, "whole"));

    // Too little for a checkpoint: the run ends with an error and leaves no half of one.
    let train = "train --data data --out r --config m/config.toml";
    within_file_size(dir, 20, train).fails(1, &["cannot write", "checkpoints"]);
    assert_eq!(fs::read_dir(dir.join("r/checkpoints")).unwrap().count(), 0);
    druse(dir, &["train", "--out", "r", "--resume"]).ok();
}

#[test]
fn the_shipped_model_samples_when_it_is_there() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../druse-run/models/orbit-small.safetensors");
    let dir = tempfile::tempdir().unwrap();
    let run = druse(dir.path(), &["sample", "--formula", "CsCl", "--count", "1", "--out", "o"]);
    if shipped.exists() {
        run.ok();
        assert_eq!(structures(dir.path(), "o").lines().count(), 1);
        let bytes = fs::metadata(shipped).unwrap().len();
        assert!(bytes <= 12_000_000, "{bytes}");
    } else {
        run.fails(2, &["no model", "--model"]);
    }
}

/// The log of a job shows that something happens; a quiet one stays empty.
#[test]
fn long_work_writes_progress_lines_without_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let stderr = |arguments: &str, seconds: Option<&str>| {
        let mut command = command(dir);
        command.args(arguments.split_whitespace());
        match seconds {
            Some(seconds) => command.env("DRUSE_PROGRESS_SECONDS", seconds),
            None => command.env_remove("DRUSE_PROGRESS_SECONDS"),
        };
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        text
    };
    let progress = |text: &str| text.lines().filter(|line| line.starts_with("progress: ")).count();
    train_tiny(dir, "m", "1").ok();
    let train = |out: &str| format!("train --config m/config.toml --data data --out {out}");
    let told = stderr(&train("told"), Some("0"));
    assert!(progress(&told) >= 3 && told.contains("/3 steps"), "{told}");
    // A run of a second is over before the first line is due.
    assert_eq!(progress(&stderr(&train("short"), None)), 0);
    let quiet = stderr(&format!("{} --quiet", train("quiet")), Some("0"));
    assert_eq!(progress(&quiet), 0, "{quiet}");

    let sample = "sample --model m --formula CsCl --count 4 --format jsonl --out";
    let told = stderr(&format!("{sample} s"), Some("0"));
    assert!(progress(&told) >= 1 && told.contains("/4 structures"), "{told}");
    assert_eq!(progress(&stderr(&format!("{sample} q --quiet"), Some("0"))), 0);
}

#[test]
fn bad_data_is_named_by_file_and_row() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let stats = |name: &str, content: &[u8]| {
        fs::write(dir.join(name), content).unwrap();
        druse(dir, &["data", "stats", name, "--no-symmetry"])
    };
    let good = ("NaCl".to_owned(), cif("NaCl", 3.5, &[("Na", [0.0; 3]), ("Cl", [0.5; 3])]));
    stats("plain.csv.gz", b"material_id,cif\n").fails(2, &["plain.csv.gz", "not gzip"]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, csv(std::slice::from_ref(&good)).as_bytes()).unwrap();
    let gz = encoder.finish().unwrap();
    stats("cut.csv.gz", &gz[..gz.len() / 2]).fails(2, &["cut.csv.gz", "truncated"]);
    stats("no.csv", b"id,formula\na,NaCl\n").fails(2, &["no.csv", "cif"]);
    stats("empty.csv", b"material_id,cif\n").fails(2, &["empty.csv", "empty"]);
    let bad = |id: &str, text: String| {
        let rows = [good.clone(), (id.to_owned(), text)];
        let name = format!("{id}.csv");
        stats(&name, csv(&rows).as_bytes()).fails(2, &[&name, "row 2", id]);
        let share = druse(dir, &["data", "stats", &name, "--no-symmetry", "--max-skipped-share", "0.5"]).ok();
        assert!(share.stderr.contains("skipped") && share.stderr.contains(id), "{}", share.stderr);
    };
    bad("broken", "data_x\n_cell_length_a".into());
    bad("unknown", cif("x", 3.5, &[("Xx", [0.0; 3])]));
    bad("nan", cif("x", 3.5, &[("Na", [f64::NAN, 0.0, 0.0])]));
    bad("flat", cif("x", 0.0, &[("Na", [0.0; 3])]));
    bad("coincide", cif("x", 3.5, &[("Na", [0.0; 3]), ("Cl", [0.0; 3])]));
    let deuterium = csv(&[("LiD".into(), cif("LiD", 4.0, &[("Li", [0.0; 3]), ("D", [0.5; 3])]))]);
    let run = stats("deuterium.csv", deuterium.as_bytes()).ok();
    assert!(run.stdout.contains('H') && run.stderr.to_lowercase().contains("deuterium"), "{}", run.stderr);
}

#[test]
fn every_command_has_help_with_an_example() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        "train",
        "sample",
        "merge",
        "info",
        "export",
        "parity",
        "predict",
        "bench",
        "data stats",
        "data convert",
        "data split",
        "data fetch",
        "config schema",
        "config show",
        "config presets",
    ] {
        let arguments: Vec<&str> = words.split(' ').chain(["--help"]).collect();
        let help = druse(dir.path(), &arguments).ok().stdout;
        let (command, name) = (format!("druse {words}"), words.split(' ').next().unwrap());
        assert!(help.contains("Example") && help.matches(&command).count() >= 2, "{name}: {help}");
    }
    assert_eq!(druse(dir.path(), &["smaple"]).code, Some(2));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut child =
        command(dir.path()).args(["config", "schema"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
