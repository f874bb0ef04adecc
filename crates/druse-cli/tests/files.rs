//! Files as people have them through the binary: every command reads what the others read, and says the same about it.

mod common;

use std::fs;
use std::io::Write;

use common::{cif, druse, write_data};
use druse_crystal::formats::{self, Format};
use druse_crystal::{Lattice, Structure};
use druse_testkit::prototype;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const CSCL: [(&str, [f64; 3]); 2] = [("Cs", [0.0; 3]), ("Cl", [0.5; 3])];

#[test]
fn commands_agree_on_what_they_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = format!("# Müller, 90°\n{}", cif("CsCl", 4.12, &CSCL));
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let s = prototype("CsCl");
    let poscar = formats::write(&s, Format::Poscar, "CsCl");
    let dict: Value = serde_json::from_str(&formats::write(&s, Format::PymatgenJson, "")).unwrap();
    let documents = json!({"data": [{"material_id": "mp-22865", "structure": dict}]}).to_string();
    let wide: Vec<u8> =
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let files: [(&str, Vec<u8>); 7] = [
        ("latin.cif", latin.clone()),
        ("latin.cif.GZ", gzip(&latin)),
        ("wide.cif", wide),
        ("CONTCAR.gz", gzip(poscar.as_bytes())),
        ("unnamed", poscar.into_bytes()),
        ("docs.json", documents.clone().into_bytes()),
        ("docs.json.gz", gzip(documents.as_bytes())),
    ];
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
        let info = druse(dir, &["info", name]).ok();
        assert!(info.stdout.contains(": CsCl (2 atoms)"), "{name}: {}", info.stdout);
        let stats = druse(dir, &["data", "stats", "--no-symmetry", name]).ok();
        assert!(stats.stdout.contains("1 (0 skipped)"), "{name}: {}", stats.stdout);
        let features = rows(&druse(dir, &["featurize", name, "--features", "validity"]).ok().stdout);
        assert!(features[0]["error"].is_null(), "{name}: {features:?}");
        let same = druse(dir, &["match", name, name]).ok();
        assert!(same.stdout.contains("fit  yes"), "{name}: {}", same.stdout);
    }
    fs::write(dir.join("binary.cif"), b"data_x\n\0\0").unwrap();
    for arguments in [&["info", "binary.cif"][..], &["data", "stats", "binary.cif"]] {
        druse(dir, arguments).fails(2, &["binary.cif", "no text"]);
    }
}

/// A crystal of one hand is written as that, though its cell has the other.
#[test]
fn a_left_handed_cell_keeps_the_hand_of_its_crystal() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let right = druse_testkit::prototypes::quartz();
    let rows = right.lattice.rows().map(|[x, y, z]| [x, y, -z]);
    let left = Structure { lattice: Lattice::from_rows(rows).unwrap(), ..right };
    fs::write(dir.join("quartz.vasp"), formats::write(&left, Format::Poscar, "quartz")).unwrap();
    let group = |path: &str| {
        let features = druse(dir, &["featurize", path, "--features", "symmetry"]).ok().stdout;
        let features: Value = serde_json::from_str(features.trim()).unwrap();
        features["symmetry"]["symprec_0.01"]["number"].as_u64()
    };
    assert_eq!(group("quartz.vasp"), Some(152));
    for (out, format) in [("cifs", "cif"), ("q.csv.gz", "csv.gz"), ("q.jsonl", "jsonl"), ("posc", "poscar")] {
        druse(dir, &["data", "convert", "quartz.vasp", out, "--format", format]).ok();
        assert_eq!(group(out), Some(152), "{out}");
    }
}

/// A draw is the same whatever the format, in the order of the set, and never larger than it.
#[test]
fn structures_are_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let entry = |i: usize| cif(&format!("c{i}"), 4.0 + i as f64 / 10.0, &[("Po", [0.0; 3])]);
    fs::create_dir(dir.join("set")).unwrap();
    (10..40).for_each(|i| fs::write(dir.join(format!("set/c{i}.cif")), entry(i)).unwrap());
    let ids = |path: &str| -> Vec<String> {
        let written = druse(dir, &["data", "convert", path, "--out", "-", "--format", "jsonl"]).ok().stdout;
        rows(&written).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let convert = |more: &[&str]| druse(dir, &[&["data", "convert", "set"], more].concat());
    for out in ["a.csv", "b.jsonl", "c.druse"] {
        let said = convert(&[out, "--random", "7"]).ok().stderr;
        assert!(said.contains("7 structures") && !said.contains("filters"), "{said}");
        assert_eq!(ids(out), ids("a.csv"), "{out}");
    }
    let drawn = ids("a.csv");
    assert!(drawn.len() == 7 && drawn.is_sorted());
    let streamed = convert(&["--random", "7", "--out", "-", "--format", "jsonl"]).ok().stdout;
    assert_eq!(rows(&streamed).iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), drawn);
    convert(&["other.csv", "--random", "7", "--seed", "1"]).ok();
    assert_ne!(ids("other.csv"), drawn);
    convert(&["images.safetensors", "--random", "3"]).ok();
    assert_eq!(ids("images.safetensors").len(), 3);
    convert(&["d.csv", "--random", "31"]).fails(2, &["30 structures", "31"]);
    convert(&["d.csv", "--seed", "1"]).fails(2, &["--random"]);
    assert!(!dir.join("d.csv").exists());
}

/// A guess is said with the structure, and refused when asked to.
#[test]
fn doubts_are_said_and_strict_reading_refuses_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // Without a type symbol, `CO1` may be cobalt or a carbon of that name.
    let doubt =
        cif("x", 4.0, &[("Co", [0.0; 3])]).replace("_atom_site_type_symbol\n", "").replace("Co0 Co", "CO1");
    fs::write(dir.join("doubt.cif"), &doubt).unwrap();
    let info = druse(dir, &["info", "doubt.cif"]).ok();
    assert!(
        info.stdout.contains("Co (1 atoms)") && info.stderr.matches("CO1").count() == 1,
        "{}",
        info.stderr
    );
    let features = rows(&druse(dir, &["featurize", "doubt.cif", "--features", "validity"]).ok().stdout);
    assert!(features[0]["warnings"][0].as_str().unwrap().contains("CO1"));
    druse(dir, &["info", "doubt.cif", "--strict"]).fails(2, &["--strict", "CO1"]);
    druse(dir, &["match", "doubt.cif", "doubt.cif", "--strict"]).fails(2, &["--strict", "CO1"]);
    druse(dir, &["data", "stats", "doubt.cif", "--strict"]).fails(2, &["--strict", "CO1"]);
    let strict =
        rows(&druse(dir, &["featurize", "doubt.cif", "--features", "validity", "--strict"]).ok().stdout);
    assert!(strict[0]["error"].as_str().unwrap().contains("--strict"));
    let pair = json!({"s1": {"cif": doubt}, "s2": {"cif": doubt}}).to_string();
    fs::write(dir.join("pairs.jsonl.gz"), gzip(pair.as_bytes())).unwrap();
    let verdict = |more: &[&str]| {
        rows(&druse(dir, &[&["match", "--pairs", "pairs.jsonl.gz"], more].concat()).ok().stdout).remove(0)
    };
    let plain = verdict(&[]);
    let said = plain["warnings"].as_array().unwrap().iter().filter(|w| w.as_str().unwrap().contains("CO1"));
    assert_eq!((&plain["fit"], said.count()), (&true.into(), 2));
    assert!(verdict(&["--strict"])["error"].as_str().unwrap().contains("--strict"));
}

#[test]
fn one_unknown_identifier_does_not_change_how_the_others_are_paired() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let line = |id: &str, edge: f64| json!({"id": id, "cif": cif(id, edge, &CSCL)}).to_string();
    let write = |name: &str, lines: &[String]| fs::write(dir.join(name), lines.join("\n") + "\n").unwrap();
    let po = |id: &str| json!({"id": id, "cif": cif(id, 3.35, &[("Po", [0.0; 3])])}).to_string();
    write("reference.jsonl", &[line("A", 4.1), po("B"), line("C", 4.3)]);
    write("predicted.jsonl", &[po("B"), line("A", 4.1), line("X", 4.3)]);
    let evaluate = |more: &[&str]| {
        let arguments = [
            "evaluate",
            "predicted.jsonl",
            "--reference",
            "reference.jsonl",
            "--task",
            "reconstruction",
            "--bootstrap",
            "0",
        ];
        druse(dir, &[&arguments[..], more].concat())
    };
    let e: Value = serde_json::from_str(&evaluate(&["--json"]).ok().stdout).unwrap();
    let remark = e["remarks"][0].as_str().unwrap();
    assert!(
        remark.contains("by identifier; 1 of 3 predictions has the identifier of no reference"),
        "{remark}"
    );
    assert!(remark.contains("`X`") && remark.contains("`C`"), "{remark}");
    // A and B; C has no prediction.
    let rate = e["metrics"]["match_rate_without_validity"].as_f64().unwrap();
    assert!((rate - 2.0 / 3.0).abs() < 1e-9, "{}", e["metrics"]);
    assert!(evaluate(&[]).ok().stdout.contains("identifier of no reference"));
    assert!(evaluate(&["--pair", "order"]).ok().stdout.contains("paired in order"));
    write("predicted.jsonl", &[po("P"), line("A", 4.1), line("X", 4.3)]);
    evaluate(&[]).fails(2, &["only 1 of 3 predictions has the identifier", "--pair"]);
    write("reference.jsonl", &[line("A", 4.1), line("A", 4.2), line("C", 4.3)]);
    write("predicted.jsonl", &[line("A", 4.1), line("C", 4.1), line("X", 4.3)]);
    evaluate(&[]).fails(2, &["identifier `A` is that of two references"]);
}

#[test]
fn packed_stores_hold_what_their_sources_hold() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let hash = |path: &str| {
        let text = druse(dir, &["data", "stats", path, "--no-symmetry", "--json"]).ok().stdout;
        serde_json::from_str::<Value>(&text).unwrap()["content_hash"].clone()
    };
    druse(dir, &["data", "convert", "data/train.csv", "whole.druse", "--niggli"]).ok();
    assert_eq!(hash("whole.druse"), hash("data/train.csv"));
    // In parts: a folder of stores is one set.
    druse(dir, &["data", "split", "whole.druse", "--out", "parts", "--format", "store"]).ok();
    assert!(druse(dir, &["data", "stats", "parts", "--no-symmetry"]).ok().stdout.contains("8 (0 skipped)"));
    druse(dir, &["data", "convert", "whole.druse", "again.jsonl"]).ok();
    druse(dir, &["data", "convert", "data/train.csv", "direct.jsonl", "--niggli"]).ok();
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    assert_eq!(text("again.jsonl"), text("direct.jsonl"));
    let listed = druse(dir, &["featurize", "whole.druse", "--features", "validity"]).ok().stdout;
    assert_eq!(rows(&listed).len(), 8);
    let bytes = fs::read(dir.join("whole.druse")).unwrap();
    fs::write(dir.join("cut.druse"), &bytes[..bytes.len() / 2]).unwrap();
    for command in
        [&["data", "stats", "cut.druse"][..], &["featurize", "cut.druse", "--features", "validity"]]
    {
        druse(dir, command).fails(2, &["cut.druse", "cut off"]);
    }
    druse(dir, &["data", "stats", "whole.druse", "--strict"]).fails(2, &["whole.druse", "--strict"]);
    druse(dir, &["data", "convert", "whole.druse", "x.csv", "--with-cif"])
        .fails(2, &["--with-cif", "Parquet"]);
}

#[test]
fn parts_of_features_join_to_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    let featurize = |more: &[&str]| {
        let arguments = [&["featurize", "data/train.csv", "--features", "validity,magpie"], more].concat();
        druse(dir, &arguments).ok().stdout
    };
    let whole = featurize(&[]);
    assert_eq!(whole.lines().count(), 8);
    for count in [1, 3, 20] {
        let parts: String = (0..count).map(|k| featurize(&["--shard", &format!("{k}/{count}")])).collect();
        assert_eq!(parts, whole);
    }
}
