//! `druse screen` from end to end.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{command, druse};
use druse_crystal::{Lattice, Structure};
use druse_data::{JsonlRecord, write_jsonl_record};
use druse_testkit::prototypes::{cesium_chloride, element, quartz, rock_salt};
use serde_json::{Value, json};

fn line(id: &str, structure: Structure, formation: Option<f64>) -> String {
    let properties = formation.map(|e| ("formation_energy_per_atom".to_owned(), json!(e)));
    let record = JsonlRecord {
        id: id.to_owned(),
        formula: String::new(),
        structure,
        properties: properties.into_iter().collect(),
    };
    let mut out = Vec::new();
    write_jsonl_record(&mut out, &record).unwrap();
    String::from_utf8(out).unwrap()
}

fn alone(symbol: &str, edge: f64) -> Structure {
    Structure::new(Lattice::cubic(edge).unwrap(), vec![element(symbol)], vec![[0.0; 3]]).unwrap()
}

/// A structure of the same atoms elsewhere in the cell.
fn moved(mut structure: Structure) -> Structure {
    structure.frac_coords.iter_mut().flatten().for_each(|x| *x = druse_crystal::wrap_unit(*x + 0.13));
    structure
}

fn write_sets(dir: &Path) {
    let overlapping = Structure::new(
        Lattice::cubic(4.0).unwrap(),
        vec![element("Na"), element("Cl")],
        vec![[0.0; 3], [0.05, 0.0, 0.0]],
    );
    let candidates = [
        line("salt", rock_salt("Na", "Cl", 5.5), None),
        line("again", moved(rock_salt("Na", "Cl", 5.6)), None),
        line("overlap", overlapping.unwrap(), None),
        "{\"id\": \"broken\", \"lattice\": 7}\n".to_owned(),
        line("other", cesium_chloride("Na", "Cl", 3.4), None),
        line("francium", rock_salt("Fr", "Cl", 6.8), None),
    ];
    fs::write(dir.join("candidates.jsonl"), candidates.concat()).unwrap();
    let reference = [
        line("mp-na", alone("Na", 3.4), Some(0.0)),
        line("mp-nacl", moved(rock_salt("Na", "Cl", 5.6)), Some(-2.0)),
        line("mp-mgo", rock_salt("Mg", "O", 4.2), Some(-3.0)),
    ];
    fs::write(dir.join("reference.jsonl"), reference.concat()).unwrap();
}

const BASE: [&str; 8] = [
    "screen",
    "candidates.jsonl",
    "--reference",
    "reference.jsonl",
    "--potential",
    "spheres",
    "--fmax",
    "0.0001",
];

fn rows(folder: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(folder.join("screen.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect()
}

/// All files below a folder.
fn output(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap().map(Result::unwrap).filter(|e| e.file_name() != ".lock") {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(output(&entry.path()).into_iter().map(|(k, v)| (format!("{name}/{k}"), v)));
        } else {
            found.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn every_candidate_has_its_place_or_the_gate_where_it_fell() {
    let dir = tempfile::tempdir().unwrap();
    write_sets(dir.path());
    let run = druse(dir.path(), &[&BASE[..], &["--out", "out"]].concat()).ok();
    let rows = rows(&dir.path().join("out"));
    assert_eq!(rows.len(), 6);
    let gate = |id: &str| rows[id]["fell"]["gate"].as_str();
    assert_eq!(gate("salt"), None);
    assert_eq!(gate("other"), None);
    assert_eq!(gate("again"), Some("duplicate"));
    assert_eq!(rows["again"]["same_as"], "salt");
    assert_eq!(gate("overlap"), Some("validity"));
    assert!(rows["overlap"]["fell"]["reason"].as_str().unwrap().contains("0.200 Å"), "{}", rows["overlap"]);
    assert_eq!(gate("broken"), Some("read"));
    // An element that no crystal is known of is named, not guessed.
    assert_eq!(gate("francium"), Some("hull"));
    assert!(rows["francium"]["fell"]["reason"].as_str().unwrap().contains("element Fr"));
    assert!(run.stderr.contains("no crystal of Fr"), "{}", run.stderr);

    // The known structure lies where its own copy in the reference lies; the other one is new, and their energies above hull
    // differ as their energies do.
    let number = |id: &str, name: &str| rows[id][name].as_f64().unwrap();
    let summary = fs::read_to_string(dir.path().join("out/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let terminals = &summary["references"]["terminals"];
    let elements = ["Na", "Cl"].map(|e| terminals[e]["energy_per_atom"].as_f64().unwrap());
    let salt = number("salt", "energy_per_atom") - (elements[0] + elements[1]) / 2.0;
    assert!((number("salt", "formation_energy_per_atom") - salt).abs() < 1e-9, "{}", rows["salt"]);
    assert!((number("salt", "e_above_hull") - salt.max(0.0)).abs() < 1e-4, "{}", rows["salt"]);
    assert_eq!((&rows["salt"]["novel"], &rows["salt"]["known_as"]), (&json!(false), &json!("mp-nacl")));
    assert_eq!(rows["other"]["novel"], true);
    let difference = number("other", "energy_per_atom") - number("salt", "energy_per_atom");
    assert!((number("other", "e_above_hull") - number("salt", "e_above_hull") - difference).abs() < 1e-9);
    let formation =
        number("other", "formation_energy_per_atom") - number("salt", "formation_energy_per_atom");
    assert!((formation - difference).abs() < 1e-9, "counted from the same elements");
    let mut ranked = [("salt", number("salt", "e_above_hull")), ("other", number("other", "e_above_hull"))];
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    for (rank, (id, _)) in (1..).zip(ranked) {
        assert_eq!(rows[id]["rank"], rank);
    }
    assert_eq!(fs::read_dir(dir.path().join("out/best")).unwrap().count(), 2);
    assert_eq!(fs::read_to_string(dir.path().join("out/screen.csv")).unwrap().lines().count(), 7);
    for words in ["no corrections", "over 1 compounds", "lower bounds", "report.html"] {
        assert!(run.stderr.contains(words), "`{words}`: {}", run.stderr);
    }
    assert!(run.stdout.contains("1 atoms closer than 0.5 Å"), "{}", run.stdout);
    assert_eq!(rows["salt"]["within"], number("salt", "e_above_hull") <= 0.1);
    // The terminal phases are the potential's: of the reference or of the table, whichever is lower.
    assert!(terminals["Cl"]["id"].as_str().unwrap().starts_with("element:Cl:"), "{terminals}");
    assert_eq!(summary["references"]["entries"], 2);
    // What was ranked and the hull are sets for other commands, on one scale.
    let arguments = ["evaluate", "out/ranked.jsonl", "--reference", "out/entries.csv", "--task", "stability"];
    let more = ["--train", "reference.jsonl", "--submitted", "6", "--json", "s.json"];
    druse(dir.path(), &[&arguments[..], &more].concat()).ok();
    let found: Value = serde_json::from_str(&fs::read_to_string(dir.path().join("s.json")).unwrap()).unwrap();
    let judged = found["stability"]["rows"].as_array().unwrap();
    for row in judged {
        let (own, id) = (row["e_above_hull"].as_f64().unwrap(), row["id"].as_str().unwrap());
        assert!((own - number(id, "e_above_hull")).abs() < 1e-9, "{row}");
        assert_eq!(row["novel"], rows[id]["novel"]);
    }
    assert_eq!(judged.len(), 2);
    // The page is whole and asks for nothing.
    let page = fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(page.ends_with("</html>\n") && page.contains("<svg") && page.contains("mp-nacl"));
    // What draws crystals stands once, at the end.
    let (page, scripts) = page.split_once("<style>/* A crystal in a page").unwrap();
    for outside in ["http", "src=", "url(", "<script>", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(scripts.len() > 100_000 && page.len() < 100_000, "{} {}", scripts.len(), page.len());
    for part in ["The best crystals", "Fell at the gate", "class=\"funnel\"", "Lattice and sites"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn energies_of_the_reference_are_computed_once() {
    let dir = tempfile::tempdir().unwrap();
    write_sets(dir.path());
    let screen =
        |out: &str, more: &[&str]| druse(dir.path(), &[&BASE[..], more, &["--out", out]].concat()).ok();
    let kept = || -> usize {
        let files = fs::read_dir(dir.path().join(".cache/energies")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap().lines().count()).sum()
    };
    screen("first", &[]);
    let lines = kept();
    // Crystals of Na, Cl and Fr, and two rows of the reference; the compound of other elements is not needed.
    assert!(lines >= 4, "{lines}");
    screen("second", &[]);
    assert_eq!(kept(), lines);
    assert_eq!(output(&dir.path().join("first")), output(&dir.path().join("second")));
    // The structures as they are are another way.
    screen("single", &["--references", "as-they-are"]);
    assert_eq!(kept(), lines + 2);
    // Half a line of a process that was killed is no line.
    let file = fs::read_dir(dir.path().join(".cache/energies")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, &text[..text.len() - 20]).unwrap();
    screen("third", &[]);
    assert_eq!(output(&dir.path().join("first")), output(&dir.path().join("third")));
    // Beside the results, where there is to be no cache.
    screen("alone", &["--no-cache"]);
    let mut alone = output(&dir.path().join("alone"));
    alone.retain(|name, _| !name.starts_with("references/"));
    assert_eq!(alone, output(&dir.path().join("first")));
}

#[test]
fn given_energies_are_another_scale_and_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    write_sets(dir.path());
    let screen = |more: &[&str]| druse(dir.path(), &[&BASE[..], &["--references", "given"], more].concat());
    let run = screen(&["--out", "out"]).ok();
    assert!(run.stderr.contains("two energy scales"), "{}", run.stderr);
    let found = rows(&dir.path().join("out"));
    // The hull at NaCl is at the given −2 eV/atom.
    let salt = &found["salt"];
    let number = |name: &str| salt[name].as_f64().unwrap();
    assert!((number("e_above_hull") - number("formation_energy_per_atom") - 2.0).abs() < 1e-9, "{salt}");
    screen(&["--formation-energy", "enthalpy", "--out", "none"])
        .fails(2, &["`enthalpy`", "formation_energy_per_atom"]);
    assert!(!dir.path().join("none/screen.json").exists());
}

#[test]
fn corrections_of_oxides_move_their_formation_energies() {
    let dir = tempfile::tempdir().unwrap();
    let candidates =
        [line("oxide", rock_salt("Fe", "O", 4.3), None), line("salt", rock_salt("Na", "Cl", 5.6), None)];
    fs::write(dir.path().join("candidates.jsonl"), candidates.concat()).unwrap();
    fs::write(dir.path().join("reference.jsonl"), line("mp-mgo", rock_salt("Mg", "O", 4.2), Some(-3.0)))
        .unwrap();
    let formation = |out: &str, corrections: &str| {
        druse(dir.path(), &[&BASE[..], &["--corrections", corrections, "--out", out]].concat()).ok();
        let found = rows(&dir.path().join(out));
        ["oxide", "salt"].map(|id| found[id]["formation_energy_per_atom"].as_f64().unwrap())
    };
    let (plain, corrected) = (formation("plain", "none"), formation("corrected", "mp2020"));
    assert!((corrected[0] - plain[0] + (2.256 + 0.687) / 2.0).abs() < 1e-9, "{plain:?} {corrected:?}");
    assert!((corrected[1] - plain[1] + 0.614 / 2.0).abs() < 1e-9, "{plain:?} {corrected:?}");
}

#[test]
fn a_symmetry_within_the_tolerance_is_made_exact() {
    let dir = tempfile::tempdir().unwrap();
    write_sets(dir.path());
    let mut structure = rock_salt("Na", "Cl", 5.5);
    structure.frac_coords[0] = [0.008, 0.005, 0.0];
    fs::write(dir.path().join("candidates.jsonl"), line("moved", structure, None)).unwrap();
    let screen = |more: &[&str]| druse(dir.path(), &[&BASE[..], &["--steps", "0"], more].concat());
    screen(&["--out", "as-it-is"]).ok();
    screen(&["--out", "exact", "--symmetrize"]).ok();
    let [plain, exact] = ["as-it-is", "exact"].map(|out| rows(&dir.path().join(out))["moved"].clone());
    assert_eq!((&plain["space_group"], &exact["space_group"]), (&Value::Null, &json!(225)));
    assert_ne!(plain["energy_per_atom"], exact["energy_per_atom"]);
    screen(&["--out", "none", "--symmetrize=-1"]).fails(2, &["--symmetrize"]);
}

#[test]
fn shards_are_put_together_to_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    write_sets(dir.path());
    let screen = |more: &[&str]| druse(dir.path(), &[&BASE[..], more].concat());
    screen(&["--out", "whole"]).ok();
    for (out, shard) in [("part0", "0/2"), ("part1", "1/2")] {
        let run = screen(&["--out", out, "--shard", shard]).ok();
        assert!(run.stderr.contains("druse merge") && !dir.path().join(out).join("screen.csv").exists());
    }
    let run = druse(dir.path(), &["merge", "part1", "part0", "--out", "merged"]).ok();
    assert!(run.stderr.contains("--resume"), "{}", run.stderr);
    screen(&["--out", "merged", "--resume"]).ok();
    assert_eq!(output(&dir.path().join("merged")), output(&dir.path().join("whole")));
    // What is missing of the shards is relaxed then.
    druse(dir.path(), &["merge", "part0", "--out", "half"]).ok();
    screen(&["--out", "half", "--resume"]).ok();
    assert_eq!(output(&dir.path().join("half")), output(&dir.path().join("whole")));
    screen(&["--out", "other", "--shard", "0/2", "--steps", "7"]).ok();
    druse(dir.path(), &["merge", "part1", "other", "--out", "mixed"]).fails(2, &["different screenings"]);
    screen(&["--out", "part2", "--shard", "2/2"]).fails(2, &["no shard"]);
}

#[test]
fn a_threshold_marks_and_a_flag_lets_fall() {
    let dir = tempfile::tempdir().unwrap();
    write_sets(dir.path());
    let reference = fs::read_to_string(dir.path().join("reference.jsonl")).unwrap();
    // Known structures of their own: nothing of the candidates is among them.
    fs::write(dir.path().join("train.jsonl"), reference.lines().last().unwrap()).unwrap();
    let more = ["--train", "train.jsonl", "--max-e-above-hull", "-5", "--keep", "1", "--out", "out"];
    let run = druse(dir.path(), &[&BASE[..], &more].concat()).ok();
    let found = rows(&dir.path().join("out"));
    assert_eq!((&found["salt"]["novel"], &found["salt"]["within"]), (&json!(true), &json!(false)));
    assert_eq!(fs::read_dir(dir.path().join("out/best")).unwrap().count(), 1);
    assert!(run.stdout.contains("0 within -5 eV/atom"), "{}", run.stdout);

    let species = ["Na", "Cl", "Cl"].map(element).to_vec();
    let odd =
        Structure::new(Lattice::cubic(5.0).unwrap(), species, vec![[0.0; 3], [0.5; 3], [0.5, 0.0, 0.0]]);
    let metal = line("odd", odd.unwrap(), None);
    fs::write(dir.path().join("candidates.jsonl"), metal).unwrap();
    druse(dir.path(), &[&BASE[..], &["--charge-neutral", "--out", "neutral"]].concat())
        .fails(1, &["no candidate reached the ranking"]);
    let found = rows(&dir.path().join("neutral"));
    assert_eq!(found["odd"]["fell"]["kind"], "not charge-neutral");
    assert_eq!(found["odd"]["charge_neutral"], false);
}

#[test]
fn mistakes_are_said_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    write_sets(dir.path());
    let screen = |more: &[&str]| druse(dir.path(), &[&BASE[..], more, &["--out", "out"]].concat());
    screen(&["--steps", "5", "--max-e-above-hull", "nan"]).fails(2, &["--max-e-above-hull"]);
    screen(&["--train", "none.csv"]).fails(2, &["none.csv"]);
    assert!(!dir.path().join("out").exists());
    screen(&[]).ok();
    screen(&[]).fails(2, &["already holds screened candidates", "--resume"]);
    screen(&["--resume", "--keep", "3"]).fails(2, &["was started with settings"]);
    let more = line("more", rock_salt("Mg", "O", 4.2), None);
    let reference = dir.path().join("reference.jsonl");
    fs::write(&reference, fs::read_to_string(&reference).unwrap() + &more).unwrap();
    screen(&["--resume"]).fails(2, &["the reference's hash"]);
}

#[test]
fn an_interrupted_screening_is_continued_to_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let (cations, anions) =
        (["Si", "Ge", "Ti", "Zr", "Hf", "Sn", "Pb", "V"], ["O", "S", "Se", "Te", "F", "Cl"]);
    let mut candidates = String::new();
    for (i, cation) in cations.iter().enumerate() {
        for (j, anion) in anions.iter().enumerate() {
            let mut structure = quartz();
            let old = structure.species[0];
            structure.species.iter_mut().for_each(|e| {
                *e = element(if *e == old { cation } else { anion });
            });
            for (k, x) in structure.frac_coords.iter_mut().flatten().enumerate() {
                let noise = ((100 * i + 10 * j + k) as f64 * 12.9898).sin() * 43_758.545 % 1.0;
                *x = druse_crystal::wrap_unit(*x + 0.01 * noise);
            }
            candidates += &line(&format!("{cation}-{anion}"), structure, None);
        }
    }
    fs::write(dir.path().join("set.jsonl"), candidates).unwrap();
    let reference: String =
        cations.iter().chain(&anions).map(|symbol| line(symbol, alone(symbol, 3.0), None)).collect();
    fs::write(dir.path().join("elements.jsonl"), reference).unwrap();
    let arguments = |out| {
        let fixed = ["screen", "set.jsonl", "--reference", "elements.jsonl", "--potential", "spheres"];
        [&fixed[..], &["--fmax", "1e-9", "--steps", "300", "--out", out]].concat()
    };
    druse(dir.path(), &arguments("whole")).ok();
    let whole = output(&dir.path().join("whole"));
    assert!(whole.contains_key("screen.csv") && whole.contains_key("report.html"));
    druse(dir.path(), &[&arguments("whole")[..], &["--resume"]].concat()).ok();
    assert_eq!(output(&dir.path().join("whole")), whole);

    for (out, signal, code) in [("killed", "-KILL", None), ("stopped", "-INT", Some(130))] {
        let lines = dir.path().join(out).join("relaxed/structures.jsonl");
        let count = || fs::read_to_string(&lines).map_or(0, |text| text.lines().count());
        let mut child = command(dir.path()).args(arguments(out)).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while count() < 3 && begun.elapsed() < Duration::from_secs(120) {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), code);
        assert!(!dir.path().join(out).join("screen.csv").exists());
        druse(dir.path(), &[&arguments(out)[..], &["--resume"]].concat()).ok();
        assert_eq!(output(&dir.path().join(out)), whole);
    }
}
