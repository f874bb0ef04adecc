//! `druse evaluate`, `featurize` and `match` through the binary against the reference values.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::druse;
use druse_testkit::reference::json_lines;
use serde_json::{Value, json};

/// The folder of reference data; `None` skips the test, but not under `CI`.
fn golden() -> Option<PathBuf> {
    Some(druse_testkit::shared_dir()?.join("golden").canonicalize().unwrap())
}

fn write_lines(path: &Path, rows: impl IntoIterator<Item = Value>) {
    let text: String = rows.into_iter().map(|row| format!("{row}\n")).collect();
    fs::write(path, text).unwrap();
}

fn close(key: &str, got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{key}: {got} against {want}");
}

fn generation(case: &str, cutoffs: &str, overrides: &str) {
    let Some(golden) = golden() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = golden.join(format!("e2e_{case}.jsonl.gz"));
    let file = file.to_str().unwrap();
    let run = druse(
        dir.path(),
        &[
            "evaluate",
            file,
            "--filter",
            "role=gen",
            "--reference",
            file,
            "--reference-filter",
            "role=gt",
            "--cutoffs",
            cutoffs,
            "--samples",
            "0",
            "--bootstrap",
            "0",
            "--no-symmetry",
            "--no-unique",
            "--json",
        ],
    )
    .ok();
    let got: Value = serde_json::from_str(&run.stdout).unwrap();
    let want: Value =
        serde_json::from_slice(&fs::read(golden.join(format!("e2e_{case}_metrics.json"))).unwrap()).unwrap();
    let mut metrics = want["metrics"].clone();
    if let Some(changed) = want[overrides].as_object() {
        metrics.as_object_mut().unwrap().extend(changed.clone());
    }
    let mut compared = 0;
    for (key, want) in metrics.as_object().unwrap() {
        if key.starts_with("n_") || key == "cutoffs" {
            continue;
        }
        let got = got["metrics"][key].as_f64().unwrap_or_else(|| panic!("{case} {key}"));
        close(&format!("{case} {key}"), got, want.as_f64().unwrap(), 1e-3);
        compared += 1;
    }
    assert!(compared >= 13, "{compared}");
}

#[test]
fn perov5_has_the_reference_figures() {
    generation("perov5", "perov-5", "");
}

#[test]
fn carbon24_has_the_reference_figures() {
    generation("carbon24", "carbon-24", "");
}

#[test]
fn mp20_has_the_reference_figures() {
    generation("mp20", "mp-20", "");
}

#[test]
fn degraded_mp20_has_the_reference_figures() {
    generation("mp20_degraded", "0.4,10", "metrics_changed_if_coincident_fail");
}

#[test]
fn reconstruction_has_the_reference_figures() {
    let Some(golden) = golden() else { return };
    let dir = tempfile::tempdir().unwrap();
    let pairs = json_lines(&golden.join("e2e_recon.jsonl.gz"));
    for role in ["pred", "gt"] {
        let rows = pairs.iter().map(|p| {
            let mut row = p[role].clone();
            row["id"] = p["id"].clone();
            row
        });
        write_lines(&dir.path().join(format!("{role}.jsonl")), rows);
    }
    let arguments = [
        "evaluate",
        "pred.jsonl",
        "--reference",
        "gt.jsonl",
        "--task",
        "reconstruction",
        "--pair",
        "order",
        "--bootstrap",
        "0",
        "--json",
    ];
    let got: Value = serde_json::from_str(&druse(dir.path(), &arguments).ok().stdout).unwrap();
    let want: Value =
        serde_json::from_slice(&fs::read(golden.join("e2e_recon_metrics.json")).unwrap()).unwrap();
    for key in ["match_rate", "rms_dist"] {
        close(key, got["metrics"][key].as_f64().unwrap(), want[key].as_f64().unwrap(), 1e-3);
    }
}

#[test]
fn pairs_have_the_reference_verdicts() {
    let Some(golden) = golden() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = golden.join("match_pairs.jsonl.gz");
    let want = json_lines(&file);
    for preset in ["cdvae", "default"] {
        druse(
            dir.path(),
            &["match", "--pairs", file.to_str().unwrap(), "--preset", preset, "--out", "v.jsonl"],
        )
        .ok();
        let got = json_lines(&dir.path().join("v.jsonl"));
        assert_eq!(got.len(), want.len());
        let (mut same, mut near, mut matched) = (0, 0, 0);
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got["pair"], want["pair"]);
            same += usize::from(got["fit"] == want[format!("{preset}_fit")]);
            if let (Some(a), Some(b)) = (got["rms"].as_f64(), want[format!("{preset}_rms_dist")][0].as_f64())
            {
                matched += 1;
                near += usize::from((a - b).abs() < 1e-3);
            }
        }
        assert!(same * 1000 >= want.len() * 995, "{preset}: {same} of {}", want.len());
        assert!(near * 100 >= matched * 99, "{preset}: {near} of {matched}");
    }
}

#[test]
fn features_have_the_reference_values() {
    let Some(golden) = golden() else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let input = golden.join("structures.jsonl.gz");
    let features = ["magpie", "validity", "symmetry", "niggli", "neighbors"];
    for feature in features {
        druse(
            dir,
            &[
                "featurize",
                input.to_str().unwrap(),
                "--features",
                feature,
                "--out",
                &format!("{feature}.jsonl"),
            ],
        )
        .ok();
    }
    let read = |feature: &str| json_lines(&dir.join(format!("{feature}.jsonl")));
    for (got, want) in read("magpie").iter().zip(json_lines(&golden.join("magpie.jsonl.gz"))) {
        assert_eq!((&got["id"], &got["composition"]), (&want["id"], &want["composition"]));
        let all = want["features"].as_array().unwrap().iter().zip(got["magpie"].as_array().unwrap());
        for (w, g) in all {
            assert_eq!(w.is_null(), g.is_null());
            let (w, g) = (w.as_f64().unwrap_or(0.0), g.as_f64().unwrap_or(0.0));
            assert!((w - g).abs() <= 1e-6 * w.abs().max(1e-3), "{}: {g} against {w}", got["id"]);
        }
    }
    for (got, want) in read("validity").iter().zip(json_lines(&golden.join("validity.jsonl"))) {
        for key in [
            "id",
            "elems",
            "counts",
            "comp_valid",
            "comp_valid_smact402_smact14",
            "comp_valid_smact402_icsd24",
            "struct_valid",
            "fingerprint_ok",
            "valid",
        ] {
            let got = if key == "id" { &got[key] } else { &got["validity"][key] };
            assert_eq!(got, &want[key], "{} {key}", want["id"]);
        }
    }
    let mut agree = 0;
    let symmetry = read("symmetry");
    for (got, want) in symmetry.iter().zip(json_lines(&golden.join("symmetry.jsonl.gz"))) {
        agree += usize::from(got["symmetry"]["symprec_0.1"]["number"] == want["symprec_0.1"]["number"]);
    }
    assert!(agree * 100 >= symmetry.len() * 99, "{agree}");
    for (got, want) in read("niggli").iter().zip(json_lines(&golden.join("niggli.jsonl.gz"))) {
        for k in 0..6 {
            let key = "niggli_params_exact";
            close(key, got["niggli"][key][k].as_f64().unwrap(), want[key][k].as_f64().unwrap(), 1e-4);
        }
        assert_eq!(got["niggli"]["n_sites_primitive"], want["n_sites_primitive"], "{}", want["id"]);
    }
    for (got, want) in read("neighbors").iter().zip(json_lines(&golden.join("neighbours.jsonl.gz"))) {
        assert_eq!(got["neighbors"]["counts"], want["counts"], "{}", want["id"]);
    }
}

#[test]
fn coordination_has_the_reference_values() {
    let Some(golden) = golden() else { return };
    let dir = tempfile::tempdir().unwrap();
    let cells = json_lines(&golden.join("niggli.jsonl.gz"));
    let rows = cells.iter().map(|c| {
        let mut row = c["canonical"].clone();
        row["id"] = c["id"].clone();
        row
    });
    write_lines(&dir.path().join("cells.jsonl"), rows);
    druse(dir.path(), &["featurize", "cells.jsonl", "--features", "crystalnn", "--out", "f.jsonl"]).ok();
    let want = json_lines(&golden.join("crystalnn.jsonl.gz"));
    let (mut near, mut sites, mut same) = (0, 0, 0);
    for (got, want) in json_lines(&dir.path().join("f.jsonl")).iter().zip(&want) {
        assert_eq!((&got["id"], &got["error"]), (&want["id"], &json!(null)));
        let pairs = want["struct_fp"]
            .as_array()
            .unwrap()
            .iter()
            .zip(got["crystalnn"]["struct_fp"].as_array().unwrap());
        near +=
            usize::from(pairs.clone().all(|(w, g)| (w.as_f64().unwrap() - g.as_f64().unwrap()).abs() < 1e-3));
        for (got, want) in
            got["crystalnn"]["sites"].as_array().unwrap().iter().zip(want["sites"].as_array().unwrap())
        {
            sites += 1;
            same += usize::from(got["cn"] == want["cn"] && got["cn_graph"] == want["cn_graph"]);
        }
    }
    assert!(near * 100 >= want.len() * 98, "{near} of {}", want.len());
    assert!(same * 100 >= sites * 99, "{same} of {sites} sites");
}
