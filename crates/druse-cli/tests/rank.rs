//! `druse rank` on the real binary: candidates in the order of probability and energy, and what cannot be ordered.

mod common;

use std::fs;
use std::path::Path;

use common::{Run, druse};
use serde_json::{Value, json};

fn call(dir: &Path, line: &str) -> Run {
    druse(dir, &line.split_whitespace().collect::<Vec<_>>())
}

/// A cubic cell of NaCl in the structure of caesium chloride.
fn candidate(id: &str, edge: f64, properties: Value) -> String {
    let lattice = [[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]];
    let structure =
        json!({ "lattice": lattice, "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]] });
    json!({ "id": id, "formula": "NaCl", "structure": structure, "properties": properties }).to_string()
}

#[test]
fn candidates_are_put_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let of =
        |rank: u64, p: f64, e: f64| json!({ "rank": rank, "log_probability": p, "relax_energy_per_atom": e });
    let lines = [
        candidate("a", 3.4, of(1, -0.1, -3.0)),
        candidate("b", 3.5, of(2, -1.0, -3.1)),
        candidate("c", 3.6, json!({ "rank": 3 })),
    ];
    fs::write(dir.join("relaxed.jsonl"), lines.join("\n")).unwrap();

    let run = call(dir, "rank relaxed.jsonl --out ranked.jsonl").ok();
    assert!(run.stderr.contains("1 of 3 rows have no structure or no energy"), "{}", run.stderr);
    let text = fs::read_to_string(dir.join("ranked.jsonl")).unwrap();
    let found: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let order: Vec<&str> = found.iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(order, ["b", "a", "c"]);
    let p = &found[0]["properties"];
    assert_eq!(
        (&p["rank"], &p["model_rank"], &p["energy_above_lowest"]),
        (&1.into(), &2.into(), &0.0.into())
    );
    assert!((p["rank_score"].as_f64().unwrap() + 1.0).abs() < 1e-9);
    assert!((found[1]["properties"]["rank_score"].as_f64().unwrap() + 2.1).abs() < 1e-9);

    call(dir, "rank relaxed.jsonl --out ranked.jsonl").fails(2, &["ranked.jsonl"]);
    call(dir, "rank relaxed.jsonl --out ranked.jsonl --overwrite --weight 0 --keep 1").ok();
    let text = fs::read_to_string(dir.join("ranked.jsonl")).unwrap();
    assert!(text.lines().count() == 1 && text.contains("\"a\""), "{text}");
    call(dir, "rank relaxed.jsonl --out best --format cif --keep 2").ok();
    assert_eq!(fs::read_dir(dir.join("best")).unwrap().count(), 2);

    fs::write(dir.join("bare.jsonl"), candidate("a", 3.4, json!({}))).unwrap();
    call(dir, "rank bare.jsonl --out none.jsonl").fails(2, &["energy_per_atom"]);
    call(dir, "rank relaxed.jsonl --out x.jsonl --energy rank_of").fails(2, &["rank_of"]);
    call(dir, "rank relaxed.jsonl --out x.jsonl --weight -1").fails(2, &["not negative"]);
    call(dir, "rank relaxed.jsonl --out x.nothing").fails(2, &["--format"]);
}
