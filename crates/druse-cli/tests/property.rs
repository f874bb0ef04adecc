//! `druse train` of a property predictor and `druse predict` on the real binary.

mod common;

use std::fs;
use std::path::Path;

use common::{cif, druse, write_data};

const SIZES: &str = "model.network={hidden=8, interaction=4, basis=4, output_embedding=8, blocks=1, num_spherical=3, num_radial=3, cutoff=7.0, before_skip=1, after_skip=1, output_layers=1}";

/// Rows of a table of caesium chloride cells, whose property is the length of the cell.
fn table(from: u32, rows: u32) -> String {
    let mut text = "material_id,length,label,same,cif\n".to_owned();
    for i in from..from + rows {
        let a = 3.0 + 0.05 * f64::from(i);
        let sites = [("Cs", [0.0; 3]), ("Cl", [0.5; 3])];
        text += &format!("cell-{i},{a},word,1.5,\"{}\"\n", cif("CsCl", a, &sites));
    }
    text
}

fn write_tables(dir: &Path) {
    let data = dir.join("cells");
    fs::create_dir_all(&data).unwrap();
    for (name, from, rows) in [("train", 0, 24), ("val", 30, 4), ("test", 40, 5)] {
        fs::write(data.join(format!("{name}.csv")), table(from, rows)).unwrap();
    }
}

fn train<'a>(data: &'a str, out: &'a str, property: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let base = ["train", "--preset", "property-small", "--data", data, "--out", out, "--set", property];
    [&base[..], &["--set", SIZES, "--set", "train.epochs=2", "--set", "train.batch_size=8"], more].concat()
}

#[test]
fn trains_reports_the_error_and_predicts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_tables(dir);
    let run = druse(dir, &train("cells", "runs/a", "model.property=length", &[])).ok();
    assert!(run.stderr.contains("MAE"), "{}", run.stderr);
    let log = fs::read_to_string(dir.join("runs/a/metrics.jsonl")).unwrap();
    assert!(log.lines().any(|l| l.contains("\"epoch\"") && l.contains("\"mae\"")), "{log}");

    let whole = druse(dir, &["predict", "runs/a", "cells"]).ok();
    assert!(whole.stderr.contains("length of cells/test: MAE"), "{}", whole.stderr);
    let lines: Vec<&str> = whole.stdout.lines().collect();
    assert_eq!(lines[0], "id,prediction,reference,error");
    assert_eq!(lines.len(), 6);
    for (i, line) in lines[1..].iter().enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!((fields[0], fields[3]), (format!("cell-{}", 40 + i).as_str(), ""));
        assert!(fields[1].parse::<f64>().unwrap().is_finite() && fields[2].parse::<f64>().is_ok(), "{line}");
    }
    // The same numbers from a file, on one thread.
    let file = druse(dir, &["predict", "runs/a", "cells/test.csv", "--out", "p.csv", "--threads", "1"]).ok();
    assert!(file.stdout.is_empty());
    assert_eq!(fs::read_to_string(dir.join("p.csv")).unwrap(), whole.stdout);
    let other = druse(dir, &["predict", "runs/a", "cells", "--split", "val"]).ok();
    assert_eq!(other.stdout.lines().count(), 5);
    // The set with the predictions is one that `evaluate` compares by them.
    let arguments = ["predict", "runs/a", "cells/test.csv", "--out", "p.csv", "--structures", "p.jsonl"];
    druse(dir, &arguments).ok();
    let set = fs::read_to_string(dir.join("p.jsonl")).unwrap();
    assert_eq!(set.lines().filter(|l| l.contains("\"predicted_length\":")).count(), 5, "{set}");
    let figures =
        ["evaluate", "p.jsonl", "--reference", "p.jsonl", "--property", "predicted_length", "--json", "-"];
    assert!(druse(dir, &figures).ok().stdout.contains("wdist_predicted_length"));
    let again = ["predict", "runs/a", "p.jsonl", "--structures", "q.jsonl"];
    druse(dir, &again).fails(2, &["predicted_length", "--column"]);
    druse(dir, &[&again[..], &["--column", "second"]].concat()).ok();
    // Structures without the property, and one that cannot be read.
    write_data(dir);
    let sites = [("Fm", [0.0; 3]), ("Cl", [0.5; 3])];
    fs::write(dir.join("fm.cif"), cif("FmCl", 4.0, &sites)).unwrap();
    let bare = druse(dir, &["predict", "runs/a", "fm.cif"]).ok();
    assert!(bare.stdout.contains("Fm") && bare.stderr.contains("no length to compare"), "{}", bare.stderr);
}

#[test]
fn data_that_cannot_be_learned_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_tables(dir);
    for (property, words) in [
        ("model.property=gap", ["gap", "length, same"]),
        ("model.property=label", ["label", "no number"]),
        ("model.property=same", ["same", "1.5"]),
        ("model.property=", ["property is empty", "column"]),
    ] {
        druse(dir, &train("cells", "runs/x", property, &[])).fails(2, &words);
    }
    fs::write(dir.join("one.csv"), table(0, 1)).unwrap();
    let one = train("one.csv", "runs/x", "model.property=length", &["--set", "data.validation_share=0"]);
    druse(dir, &one).fails(2, &["length", "too few"]);
}

#[test]
fn models_are_used_for_what_they_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_tables(dir);
    write_data(dir);
    druse(dir, &train("cells", "runs/a", "model.property=length", &[])).ok();
    druse(dir, &["sample", "--model", "runs/a", "--formula", "CsCl", "--out", "s"])
        .fails(2, &["property", "does not generate"]);
    common::train_tiny(dir, "runs/g", "1").ok();
    druse(dir, &["predict", "runs/g", "cells"]).fails(2, &["gemsdiff", "does not predict"]);
    druse(dir, &["predict", "nowhere", "cells"]).fails(2, &["nowhere"]);
}
