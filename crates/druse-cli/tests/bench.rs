//! `druse bench` on the real binary: what it reports, not how fast this machine is.

mod common;

use std::path::Path;

use common::{TINY, druse, write_data};
use serde_json::Value;

fn bench(dir: &Path, arguments: &str) -> common::Run {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    druse(dir, &[&["bench", "--seconds", "0", "--batch-size", "3"], &arguments[..], &TINY[..]].concat())
}

fn json(dir: &Path, arguments: &str) -> Value {
    serde_json::from_str(&bench(dir, &format!("{arguments} --json")).ok().stdout).unwrap()
}

#[test]
fn every_section_reports_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let report = json(dir, "--threads 2 --threads-scaling");
    assert_eq!((&report["structures"], &report["atoms"]), (&3.into(), &15.into()));
    assert_eq!((&report["device"], &report["threads"]), (&"cpu".into(), &2.into()));
    assert_eq!(report["precision"], "f32");
    for key in ["product_gflops", "memory_gb_per_s"] {
        assert!(report["limits"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    let common = [
        "seconds",
        "structures_per_second",
        "one_structure_seconds",
        "one_thread_seconds",
        "threads_speedup",
    ];
    let networks = ["product_gflop", "share"];
    let sections: [(&str, &[&str], &[&str]); 5] = [
        ("train", &networks, &[]),
        ("sample", &networks, &["sampling_steps"]),
        ("forward", &networks, &[]),
        ("graph", &[], &["edges", "ns_per_edge", "prepare_seconds"]),
        ("evaluate", &[], &["matcher_pairs_per_second"]),
    ];
    for (section, products, own) in sections {
        let measured = &report[section];
        for key in common.iter().chain(products).chain(own) {
            assert!(measured[key].as_f64().is_some_and(|x| x > 0.0), "{section}.{key}: {measured}");
        }
        assert_eq!(measured["share"].is_null(), products.is_empty(), "{section}: {measured}");
        assert!(measured["repetitions"].as_u64().unwrap() >= 3);
        if cfg!(target_os = "linux") {
            assert!(measured["peak_memory_bytes"].as_u64().unwrap() > 1 << 20, "{section}: {measured}");
        }
    }
    // A training step computes forwards and backwards.
    let gflop = |section: &str| report[section]["product_gflop"].as_f64().unwrap();
    assert!(gflop("train") > 2.0 * gflop("forward"), "{report}");
}

#[test]
fn sections_are_chosen_and_data_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let report = json(dir, "graph sample --data data");
    let measured: Vec<&str> = ["train", "sample", "forward", "graph", "evaluate"]
        .into_iter()
        .filter(|s| !report[s].is_null())
        .collect();
    assert_eq!(measured, ["sample", "graph"]);
    assert!(report["sample"]["threads_speedup"].is_null());
    let table = bench(dir, "forward evaluate").ok().stdout;
    assert!(table.contains("forward") && table.contains("pairs/s") && !table.contains("train"), "{table}");

    bench(dir, "--data nowhere").fails(2, &["nowhere"]);
    bench(dir, "--device tpu").fails(2, &["tpu", "cpu"]);
    assert_eq!(bench(dir, "speed").code, Some(2));
    druse(dir, &["bench", "--batch-size", "0"]).fails(2, &["--batch-size", "at least 1"]);
    druse(dir, &["bench", "--seconds=-1"]).fails(2, &["--seconds", "from 0"]);
}

/// The script that measures GPUs, on the CPU.
#[cfg(unix)]
#[test]
fn the_script_for_gpus_measures_any_device() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/gpu/run.sh");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new("sh");
        command.arg(&script).args(["--druse", env!("CARGO_BIN_EXE_druse")]).args(arguments);
        let output = command.current_dir(dir).env("DRUSE_CACHE", dir.join(".cache")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let quick = &["--device", "cpu", "--data", "data", "--sizes", "1 3", "--seconds", "0"][..];
    let (code, stderr) = run(&[quick, &["--peak-tflops", "0.1", "--out", "r"], &TINY[..]].concat());
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<Value> = std::fs::read_to_string(dir.join("r/results.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = lines.iter().map(|l| l["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["device", "loss", "bench", "bench", "end"]);
    assert_eq!(lines[1]["relative_difference"], 0, "the CPU agrees with itself");
    assert!(lines[3]["report"]["train"]["structures_per_second"].as_f64().unwrap() > 0.0);
    let table = std::fs::read_to_string(dir.join("r/results.md")).unwrap();
    let row = table.lines().find(|l| l.starts_with("| 3 |")).unwrap();
    assert_eq!(row.matches(" %").count(), 2, "{table}");
    assert!(row.split('|').skip(2).take(6).all(|cell| cell.chars().any(|c| c.is_ascii_digit())), "{table}");

    // What fails is said, in the exit code and in the table.
    let (code, stderr) = run(&[quick, &["--out", "bad", "--set", "train.micro_batch_atoms=0"]].concat());
    assert!(code == Some(1) && stderr.contains("log"), "{stderr}");
    assert_eq!(run(&quick[2..]).0, Some(2));
    assert_eq!(run(&["--device", "cpu", "--out", "r"]).0, Some(2), "a folder is not written twice");
}
