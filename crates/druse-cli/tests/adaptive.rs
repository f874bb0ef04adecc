//! Asking for crystals by space group and sites, on the real binary.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, druse, write_data};
use druse_crystal::formats::{self, Format};
use druse_crystal::symmetry;
use serde_json::Value;

fn call(dir: &Path, line: &str) -> Run {
    druse(dir, &line.split_whitespace().collect::<Vec<_>>())
}

/// A folder with data and a tiny model `m` of adaptive cells. Small steps of the cell: it has learned next to nothing.
fn with_model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    let train = "train --preset adaptive-small --data data --out m --set train.epochs=2 --set train.batch_size=4 --set \
        model.network={hidden=8,interaction=4,basis=4,output_embedding=8,blocks=1,num_spherical=3,num_radial=3,output_layers=1} \
        --set model.neighbors=12 --set sampling.steps_per_level=1 --set sampling.cell_step=1e-4";
    call(dir.path(), train).ok();
    dir
}

fn lines(dir: &Path, out: &str, file: &str) -> Vec<Value> {
    let text = fs::read_to_string(dir.join(out).join(file)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn structures(dir: &Path, out: &str) -> Vec<Value> {
    lines(dir, out, "structures.jsonl")
}

#[test]
fn groups_and_sites_are_asked_for_and_found() {
    let dir = with_model();
    let dir = dir.path();
    call(dir, "sample --model m --space-group 221 --wyckoff Cs:1a,Cl:1b --count 3 --out cscl").ok();
    let made = structures(dir, "cscl");
    assert_eq!(made.len() + lines(dir, "cscl", "failures.jsonl").len(), 3);
    assert!(!made.is_empty());
    for record in &made {
        let p = &record["properties"];
        assert_eq!((&p["space_group"], &p["wyckoff"]), (&221.into(), &"Cl:1b,Cs:1a".into()), "{p}");
        assert_eq!(p["space_group_found"], serde_json::json!([221, 221]));
    }
    // Files of their own state the symmetry, and are read back with all atoms.
    let cif = fs::read_dir(dir.join("cscl")).unwrap().map(|e| e.unwrap().path());
    let cif = cif.into_iter().find(|path| path.extension().is_some_and(|e| e == "cif")).unwrap();
    let text = fs::read_to_string(&cif).unwrap();
    assert!(text.contains("_atom_site_Wyckoff_symbol") && text.contains("221"), "{text}");
    let read = formats::read_str(&text, Format::Cif).unwrap().remove(0).structure;
    assert_eq!(read.len(), 2);
    assert_eq!(symmetry::analyze(&read, 0.01).unwrap().number, 221);

    // Sites without letters: the group is there, whatever the positions.
    call(dir, "sample --model m --space-group 221 --sites Ba:1,O:1 --count 2 --out free --format jsonl").ok();
    for record in structures(dir, "free") {
        let found = &record["properties"]["space_group_found"][0];
        assert!(found.as_u64().is_some_and(|n| n >= 221), "{record}");
    }
}

#[test]
fn formulas_become_templates_and_data_sets_their_sites() {
    let dir = with_model();
    let dir = dir.path();
    let run = call(dir, "sample --model m --formula CsI --max-templates 3 --out salts --format jsonl");
    // The model never saw iodine.
    run.fails(2, &["element I", "Cs"]);
    let run = call(dir, "sample --model m --formula CsBr --out salts --format jsonl").ok();
    // Caesium on the corner or in the middle, in the one group that holds them: 229 has no two positions of one atom.
    assert!(run.stderr.contains("2 ways to place Cs1 Br1"), "{}", run.stderr);
    let mut all = structures(dir, "salts");
    all.extend(lines(dir, "salts", "failures.jsonl"));
    assert_eq!(all.len(), 2);
    let one = call(dir, "sample --model m --formula CsBr --max-templates 1 --out one --format jsonl").ok();
    assert!(one.stderr.contains("1 more are left out"), "{}", one.stderr);
    // The first is that of caesium chloride, which the training data have most often.
    let first = all.iter().find(|r| r["properties"]["index"] == 0 || r["index"] == 0).unwrap();
    assert!(first["properties"]["wyckoff"].as_str().unwrap().contains("1a"), "{first}");
    for record in structures(dir, "salts") {
        let species = record["structure"]["species"].as_array().unwrap();
        let count = |symbol: &str| species.iter().filter(|s| *s == symbol).count();
        assert_eq!(count("Cs"), count("Br"), "{record}");
    }
    call(dir, "sample --model m --like data/train.csv --out like --format jsonl").ok();
    let like = structures(dir, "like");
    assert_eq!(like.len() + lines(dir, "like", "failures.jsonl").len(), 8);
    assert!(like.iter().all(|r| r["properties"]["like"].is_string()));
    let free = "sample --model m --like data/train.csv --free-positions --out free --format jsonl";
    call(dir, free).ok();
    assert_eq!(structures(dir, "free").len() + lines(dir, "free", "failures.jsonl").len(), 8);
}

#[test]
fn mistakes_are_named() {
    let dir = with_model();
    let dir = dir.path();
    let sample = |arguments: &str| call(dir, &format!("sample --model m --out o {arguments}"));
    assert_eq!(sample("--space-group 231 --sites Na:1").code, Some(2));
    sample("--space-group 221").fails(2, &["--sites", "--wyckoff"]);
    assert_eq!(sample("--sites Cs:1").code, Some(2));
    sample("--space-group 221 --wyckoff Cs:1a,Cl:1q").fails(2, &["q", "221", "1a"]);
    sample("--space-group 221 --wyckoff Cs:1a,Cl:1a").fails(2, &["1a", "2 times"]);
    sample("--space-group 221 --wyckoff Cs:2a").fails(2, &["multiplicity 1", "2"]);
    sample("--space-group 221 --sites Cs").fails(2, &["`Cs`", "Na:1"]);
    sample("--space-group 194 --sites Cs:1").fails(2, &["194", "221"]);
    sample("--space-group 221 --formula Cs2Br1").fails(2, &["221", "Cs2Br"]);
    sample("--formula CsCl --latents z").code.filter(|&code| code == 2).unwrap();
    sample("").fails(2, &["--space-group"]);
    // Other models say who can.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/gemsdiff-small-mp-20.safetensors");
    let line = format!("sample --model {other} --space-group 221 --sites Cs:1,Cl:1 --out o");
    call(dir, &line).fails(2, &["adaptive", "orbit"]);
    assert!(!dir.join("o/structures.jsonl").exists());
}
