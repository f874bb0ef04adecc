//! Substitution on the real binary: built, asked, measured beside predictions.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, druse, write_data};
use serde_json::Value;

fn call(dir: &Path, line: &str) -> Run {
    druse(dir, &line.split_whitespace().collect::<Vec<_>>())
}

fn lines(dir: &Path, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A folder with eight crystals and the model `m` of them.
fn with_model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    let run = call(dir.path(), "train --preset substitute --data data --out m").ok();
    assert!(run.stderr.contains("nothing to train"), "{}", run.stderr);
    dir
}

#[test]
fn formulas_are_answered_in_order_and_then_refused() {
    let dir = with_model();
    let dir = dir.path();
    // CsCl, NiAl and CsBr are one template, so that there is one candidate.
    let run = call(dir, "sample --model m --formula RbBr --count 2 --out rbbr").ok();
    assert!(run.stderr.contains("no further candidate for Rb1 Br1"), "{}", run.stderr);
    let made = lines(dir, "rbbr/structures.jsonl");
    assert_eq!(made.len(), 1);
    let p = &made[0]["properties"];
    assert_eq!((&p["rank"], &p["parent"], &p["parent_formula"]), (&1.into(), &"CsBr".into(), &"CsBr".into()));
    assert_eq!(p["template"], "221 (Pm-3m): Br:1b,Rb:1a");
    assert!(p["distance"].as_f64().unwrap() > 0.0);
    assert_eq!(lines(dir, "rbbr/failures.jsonl").len(), 1);

    // A data set: the first candidate of each row, then the second of each.
    let run = call(dir, "sample --model m --like data/val.csv --count 6 --out like --format jsonl").ok();
    let made = lines(dir, "like/structures.jsonl");
    assert_eq!(made.len(), 3, "{}", run.stderr);
    assert!(made.iter().all(|record| record["properties"]["distance"] == 0.0));
    assert_eq!(lines(dir, "like/failures.jsonl").len(), 3);

    call(dir, "sample --model m --formula CaHfO3 --space-group 221 --out group").ok();
    assert_eq!(lines(dir, "group/structures.jsonl")[0]["properties"]["space_group_found"][0], 221);
    let run = call(dir, "sample --model m --formula CaHfO3 --space-group 62 --out other");
    run.fails(1, &["every structure failed"]);
    let run = call(dir, "sample --model m --formula Ca2Br2 --out twice");
    run.fails(1, &["2 + 2", "CaBr"]);
    // No model of a set has cells larger than its own.
    call(dir, "sample --model m --formula Ca4Br4 --out large").fails(2, &["8 atoms", "at most 5"]);

    // Compositions of a system that nobody has the counts of are listed as failures.
    call(dir, "sample --model m --system K-Cl --max-atoms 4 --out system --format jsonl").ok();
    assert!(!lines(dir, "system/structures.jsonl").is_empty());
    assert!(!lines(dir, "system/failures.jsonl").is_empty());
}

#[test]
fn a_model_is_one_small_file_that_can_be_exported_and_not_trained_again() {
    let dir = with_model();
    let dir = dir.path();
    assert!(fs::metadata(dir.join("m/checkpoints/last.safetensors")).unwrap().len() < 20_000);
    call(dir, "train --preset substitute --data data --out m").fails(2, &["already holds a training run"]);
    call(dir, "train --data data --out m --resume").ok();
    call(dir, "export m --out small.safetensors").ok();
    call(dir, "info small.safetensors").ok();
    call(dir, "sample --model small.safetensors --formula RbBr --out a --format jsonl").ok();
    call(dir, "sample --model m --formula RbBr --out b --format jsonl").ok();
    assert_eq!(lines(dir, "a/structures.jsonl"), lines(dir, "b/structures.jsonl"));
    fs::write(dir.join("empty.csv"), "material_id,cif\n").unwrap();
    call(dir, "train --preset substitute --data empty.csv --out none").fails(2, &["empty.csv"]);
}

#[test]
fn predictions_are_measured_beside_substitution() {
    let dir = with_model();
    let dir = dir.path();
    call(dir, "sample --model m --like data/val.csv --out like --format jsonl").ok();
    let evaluate = "evaluate like --reference data/val.csv --task prediction --group-by like --train data/train.csv \
        --no-cache --bootstrap 0 --json e.json";
    call(dir, evaluate).ok();
    let e: Value = serde_json::from_slice(&fs::read(dir.join("e.json")).unwrap()).unwrap();
    let m = &e["metrics"];
    for key in ["match_rate_k1", "rms_dist_k1", "crmse_k1", "match_rate_without_validity"] {
        // The predictions are those of the baseline.
        assert_eq!(m[key], m[format!("substitute_{key}")], "{key}: {m}");
    }
    assert_eq!(m["substitute_match_rate_without_validity"], 1.0);
    assert!(e["train"]["structures"] == 8, "{}", e["train"]);
    let remarks = e["remarks"].to_string();
    assert!(remarks.contains("substitutes elements in the 8 structures"), "{remarks}");
    // It can be left out, and needs a training set.
    call(dir, &format!("{} --baseline none", evaluate.replace("e.json", "n.json"))).ok();
    let none = fs::read_to_string(dir.join("n.json")).unwrap();
    assert!(!none.contains("substitute"), "{none}");
    let without = evaluate.replace("--train data/train.csv", "--baseline substitute");
    call(dir, &without).fails(2, &["--train"]);
    let generation = "evaluate like --reference data/val.csv --train data/train.csv --baseline substitute";
    call(dir, generation).fails(2, &["--task prediction"]);
}

#[test]
fn the_crystals_that_a_model_keeps_are_a_data_set() {
    let dir = with_model();
    let dir = dir.path();
    call(dir, "export m --structures known.jsonl").ok();
    let known = lines(dir, "known.jsonl");
    let train = fs::read_to_string(dir.join("data/train.csv")).unwrap();
    assert!(known.len() > 1);
    for record in &known {
        assert!(train.contains(record["id"].as_str().unwrap()), "{record}");
    }
    call(dir, "data stats known.jsonl").ok();
    call(dir, "export m --structures known.jsonl").fails(2, &["known.jsonl", "exists"]);
    call(dir, "export m --structures known.jsonl --overwrite --out again.safetensors").ok();
    assert!(dir.join("again.safetensors").exists());
    call(dir, "export m --structures known").fails(2, &["does not tell a format"]);
    call(dir, "export m").fails(2, &["--out"]);

    let run = call(dir, "train --preset gemsdiff-small --data data --out other --set train.epochs=1").ok();
    assert_eq!(run.code, Some(0));
    call(dir, "export other --structures none.jsonl").fails(2, &["gemsdiff", "keeps no structures"]);
}
