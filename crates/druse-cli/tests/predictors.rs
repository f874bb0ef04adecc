//! The predictors CGCNN and ALIGNN, the weights that ship, and Fréchet distances of vectors, on the real binary.

mod common;

use std::fs;
use std::path::Path;

use common::{cif, druse};
use serde_json::Value;

/// Cells of caesium chloride from an edge of `from` Å on, whose property is the edge.
fn table(from: f64, rows: u32) -> String {
    let mut text = "material_id,length,cif\n".to_owned();
    for i in 0..rows {
        let a = from + 0.05 * f64::from(i);
        let cation = ["Cs", "K", "Na"][i as usize % 3];
        let sites = [(cation, [0.0; 3]), ("Cl", [0.5; 3])];
        text += &format!("cell-{i},{a},\"{}\"\n", cif(&format!("{cation}Cl"), a, &sites));
    }
    text
}

fn write_sets(dir: &Path) {
    fs::write(dir.join("a.csv"), table(3.4, 40)).unwrap();
    fs::write(dir.join("b.csv"), table(3.9, 40)).unwrap();
}

fn metric(text: &str, key: &str) -> Option<Value> {
    let evaluation: Value = serde_json::from_str(text).unwrap();
    evaluation["figures"].as_array().unwrap().iter().find(|m| m["key"] == key).cloned()
}

const EVALUATE: [&str; 8] =
    ["evaluate", "a.csv", "--reference", "b.csv", "--no-cache", "--bootstrap", "0", "--json"];

#[test]
fn weights_that_ship_predict_formation_energies() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let salt = [("Na", [0.0; 3]), ("Cl", [0.5, 0.5, 0.5])];
    fs::write(dir.join("salt.cif"), cif("NaCl", 3.45, &salt)).unwrap();
    let run = druse(dir, &["predict", "cgcnn", "salt.cif", "--embeddings", "v.csv"]).ok();
    let energy: f64 = run.stdout.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
    // Rock salt has -2.1 eV/atom by experiment; the structure of caesium chloride is some 0.1 eV above.
    assert!((-2.6..-1.4).contains(&energy), "{energy}");
    let vectors = fs::read_to_string(dir.join("v.csv")).unwrap();
    let lines: Vec<Vec<&str>> = vectors.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((lines.len(), lines[0].len(), lines[1].len()), (2, 34, 34));
    assert_eq!([lines[0][0], lines[0][1], lines[0][32], lines[0][33]], ["id", "e0", "e31", "error"]);
    assert!(lines[1][1..33].iter().all(|x| x.parse::<f64>().unwrap() >= 0.0));
    let lead = [("Lr", [0.0; 3]), ("Cl", [0.5; 3])];
    fs::write(dir.join("heavy.cif"), cif("LrCl", 4.0, &lead)).unwrap();
    let run = druse(dir, &["predict", "cgcnn", "heavy.cif", "--embeddings", "v.csv"]).ok();
    assert!(run.stdout.contains("Lr (Z = 103)"), "{}", run.stdout);
    assert!(fs::read_to_string(dir.join("v.csv")).unwrap().contains("Lr (Z = 103)"));
}

#[test]
fn elements_that_a_predictor_was_not_trained_on_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_sets(dir);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/alignn-small-mp-20.safetensors");
    let network = "model.network={hidden=8, embedding=6, alignn_layers=1, gcn_layers=1, distance_bins=12, angle_bins=8, cutoff=8.0, neighbors=6}";
    let train = ["train", "--preset", "property-alignn-small", "--data", "a.csv", "--out", "own"];
    let settings = ["--set", "model.property=length", "--set", "train.epochs=1", "--set", network];
    druse(dir, &[&train[..], &settings].concat()).ok();
    let salt = |cation| cif("salt", 4.1, &[(cation, [0.0; 3]), ("Cl", [0.5; 3])]);
    fs::create_dir(dir.join("cells")).unwrap();
    for cation in ["Cs", "Fr", "Rb"] {
        fs::write(dir.join(format!("cells/{cation}Cl.cif")), salt(cation)).unwrap();
    }
    for (model, unseen, words) in
        [(Path::new("own"), &["Fr", "Rb"][..], "(Rb, Fr)"), (&shipped, &["Fr"], "(Fr)")]
    {
        let arguments = ["predict", model.to_str().unwrap(), "cells", "--json"];
        let run = druse(dir, &arguments).ok();
        let count = format!("{} of 3 structures (first `FrCl`)", unseen.len());
        assert!(run.stderr.contains(&count) && run.stderr.contains(words), "{}", run.stderr);
        let answer: Value = serde_json::from_str(&run.stdout).unwrap();
        let rows = answer["rows"].as_array().unwrap();
        let named: Vec<&str> = rows.iter().filter_map(|row| row["unseen"][0].as_str()).collect();
        assert_eq!(named, unseen);
        assert!(rows.iter().all(|row| row["prediction"].is_f64()));
    }
    // Weights that others have published do not tell what they were trained on.
    let run = druse(dir, &["predict", "cgcnn", "cells"]).ok();
    assert!(!run.stderr.contains("trained on"), "{}", run.stderr);
}

#[test]
fn distances_of_vectors_name_their_weights() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_sets(dir);
    let evaluate = |more: &[&str]| druse(dir, &[&EVALUATE[..], more].concat());
    assert_eq!(metric(&evaluate(&[]).ok().stdout, "frechet_cgcnn"), None);
    let found = metric(&evaluate(&["--embedder=cgcnn"]).ok().stdout, "frechet_cgcnn").unwrap();
    assert!(found["value"].as_f64().unwrap() > 0.0, "{found}");
    let protocol = found["protocol"].as_str().unwrap();
    for words in ["32 activations", "formation_energy_per_atom", "Xie and Grossman", "weights "] {
        assert!(protocol.contains(words), "`{words}` is not in {protocol}");
    }
    let adaptive = |more: &[&str]| evaluate(&[&["--protocol=adaptive"], more].concat()).ok().stdout;
    assert!(metric(&adaptive(&[]), "frechet_cgcnn").is_some());
    assert_eq!(metric(&adaptive(&["--embedder=none"]), "frechet_cgcnn"), None);
    let same = ["evaluate", "b.csv", "--reference", "b.csv", "--no-cache", "--json", "--embedder=cgcnn"];
    let found = metric(&druse(dir, &same).ok().stdout, "frechet_cgcnn").unwrap();
    assert!(found["value"].as_f64().unwrap() < 1e-6, "{found}");
    evaluate(&["--embedder=cgcnn", "--embedder=cgcnn"]).fails(2, &["cgcnn", "one of the kind"]);
    evaluate(&["--embedder=cgcnn", "--embedder=none"]).fails(2, &["none"]);
    evaluate(&["--embedder=nowhere"]).fails(2, &["nowhere"]);
    evaluate(&["--embedder=cgcnn", "--task=reconstruction"]).fails(2, &["--embedder"]);
}

#[test]
fn both_are_trained_and_compare_sets() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_sets(dir);
    let cgcnn = "model.network={atom=8, convolutions=2, hidden=6, hidden_layers=1, neighbors=8, cutoff=8.0, spacing=0.5}";
    let alignn = "model.network={hidden=8, embedding=6, alignn_layers=1, gcn_layers=1, distance_bins=12, angle_bins=8, cutoff=8.0, neighbors=6}";
    for (preset, kind, sizes) in
        [("property-cgcnn", "cgcnn", cgcnn), ("property-alignn-small", "alignn", alignn)]
    {
        let out = format!("runs/{kind}");
        let base = ["train", "--preset", preset, "--data", "a.csv", "--out", &out, "--set", sizes];
        let settings = [
            "model.property=length",
            "train.epochs=40",
            "train.batch_size=16",
            "optim.warmup_steps=0",
            "optim.lr=0.01",
        ];
        let settings = settings.iter().flat_map(|s| ["--set", s]).collect::<Vec<_>>();
        druse(dir, &[&base[..], &settings].concat()).ok();
        let log = fs::read_to_string(dir.join(&out).join("metrics.jsonl")).unwrap();
        let losses: Vec<f64> = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter_map(|line| line["train_loss"].as_f64())
            .collect();
        assert!(losses.len() == 40 && losses[39] < 0.6 * losses[0], "{losses:?}");
        let run = druse(dir, &["predict", &out, "b.csv", "--embeddings", "v.csv"]).ok();
        assert!(run.stderr.contains("length of") && run.stderr.contains("/b: MAE"), "{}", run.stderr);
        let embedder = format!("--embedder={out}");
        let figures = druse(dir, &[&EVALUATE[..], &[&embedder]].concat()).ok().stdout;
        let found = metric(&figures, &format!("frechet_{kind}")).unwrap();
        assert!(found["value"].as_f64().unwrap() > 0.0, "{found}");
        assert!(found["protocol"].as_str().unwrap().contains("length"), "{found}");
    }
}
