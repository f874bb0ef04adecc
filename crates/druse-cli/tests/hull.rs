//! `druse hull` and `druse evaluate --task stability` through the binary.

mod common;

use std::fs;
use std::path::Path;

use common::{csv, druse, prototypes};
use serde_json::Value;

/// Lithium, oxygen and iron on a scale of total energies of one atom: −1.9, −4.9 and −8.
const TABLE: &str = "id,formula,energy_per_atom,above
li-bcc,Li,-1.9,0
li-fcc,Li,-1.88,0.02
oxygen,O2,-4.9,0
oxide,Li2O,-4.9,0
peroxide,Li2O2,-5.0,0.01
ozonide,LiO4,-4.7,0.25
iron,Fe,-8,0
";

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).unwrap();
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn close(value: &Value, want: f64) {
    let got = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((got - want).abs() < 1e-9, "{got} instead of {want}");
}

#[test]
fn a_system_is_printed_with_stable_phases_and_written_with_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "entries.csv", TABLE);
    let run = druse(dir, &["hull", "entries.csv", "--system", "O-Li"]).ok();
    for words in [
        "Li-O: 6 entries, 3 different compounds, 4 phases on the hull",
        "Li2O2",
        "peroxide",
        "optimistic",
        "ozonide",
    ] {
        assert!(run.stdout.contains(words), "`{words}` is not in: {}", run.stdout);
    }
    let run = druse(dir, &["hull", "entries.csv", "--system", "Li-O", "--json"]).ok();
    let found = json(&run.stdout);
    let stable: Vec<&str> =
        found["system"]["stable"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(stable, ["li-bcc", "oxide", "oxygen", "peroxide"]);
    let unstable = &found["system"]["unstable"];
    assert_eq!(unstable[1]["id"], "ozonide");
    close(&unstable[0]["e_above_hull"], 0.02);
    close(&unstable[1]["e_above_hull"], 0.24);
    close(&unstable[1]["decomposition"][0]["fraction"], 0.6);
    assert_eq!(unstable[1]["decomposition"][0]["id"], "oxygen");
    assert!(found["remarks"][0].as_str().unwrap().contains("lower bounds"));

    // What is written is a set of entries again, with the same hull.
    druse(dir, &["hull", "entries.csv", "--out", "above.csv"]).ok();
    let again =
        druse(dir, &["hull", "above.csv", "--energy", "energy_per_atom", "--system", "Li-O", "--json"]).ok();
    assert_eq!(json(&again.stdout)["system"], found["system"]);
    // So are total energies of the formulas, and lines of JSON.
    write(dir, "total.csv", "id,composition,energy\na,Li4,-7.6\nb,O2,-9.8\nc,Li4O2,-29.4\n");
    write(
        dir,
        "lines.jsonl",
        "{\"id\":\"a\",\"formula\":\"Li\",\"energy_per_atom\":-1.9}\n{\"id\":\"b\",\"formula\":\"O\",\"energy_per_atom\":-4.9}\n{\"id\":\"c\",\"formula\":\"Li2O\",\"energy_per_atom\":-4.9}\n",
    );
    for name in ["total.csv", "lines.jsonl"] {
        let run = druse(dir, &["hull", name, "--system", "Li-O", "--json"]).ok();
        close(&json(&run.stdout)["system"]["stable"][2]["formation_energy_per_atom"], -2.0);
    }
}

#[test]
fn without_a_system_there_are_numbers_and_a_check() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "entries.csv", TABLE);
    let run = druse(dir, &["hull", "entries.csv", "--energy", "energy_per_atom", "--check", "above"]).ok();
    for words in [
        "7 of",
        "stable          2: 2 of 2 elements",
        "0 of 1 systems hold fewer",
        "check against `above` of 7",
    ] {
        assert!(run.stdout.contains(words), "`{words}` is not in: {}", run.stdout);
    }
    let run = druse(dir, &["hull", "entries.csv", "--check", "above", "--json"]).ok();
    let check = &json(&run.stdout)["check"];
    close(&check["bias"], 0.02 / 7.0);
    assert_eq!(check["above"], 0);
    let at_zero = &check["agreement"][0];
    assert_eq!((&at_zero["ours"], &at_zero["theirs"], &at_zero["both"]), (&5.into(), &4.into(), &4.into()));
    close(&at_zero["precision"], 0.8);
    close(&at_zero["recall"], 1.0);
    druse(dir, &["hull", "entries.csv", "--check", "nothing"]).fails(2, &["`nothing`"]);

    // A system with one compound of three elements.
    write(dir, "few.csv", "id,formula,formation_energy_per_atom\nx,LiFeO2,-1.5\n");
    let run = druse(dir, &["hull", "few.csv"]).ok();
    assert!(
        run.stdout.contains("1 of 1 systems hold fewer compounds than elements, such as Fe-Li-O (1)"),
        "{}",
        run.stdout
    );
}

#[test]
fn queries_are_placed_a_row_each() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "entries.csv", TABLE);
    write(
        dir,
        "queries.csv",
        "id,formula,energy_per_atom\nbelow,Li3O2,-5.5\nbad,Li3Q2,-5\nnan,Li3O2,NaN\nsodium,NaO,-4\nsame,Li2O,-4.9\n",
    );
    let run = druse(dir, &["hull", "entries.csv", "--query", "queries.csv", "--json"]).ok();
    assert!(run.stderr.contains("3 of 5 phases have an `error`"), "{}", run.stderr);
    let rows = &json(&run.stdout)["query"];
    close(&rows[0]["e_above_hull"], -5.5 + 0.6 * 4.9 + 0.4 * 5.0);
    assert!(rows[1]["error"].as_str().unwrap().contains("`Li3Q2`"), "{rows}");
    assert!(rows[2]["error"].as_str().unwrap().contains("energy_per_atom"), "{rows}");
    assert!(rows[3]["error"].as_str().unwrap().contains("no entry of the element Na"), "{rows}");
    close(&rows[4]["e_above_hull"], 0.0);
    assert_eq!(rows[0]["compounds"], 3);

    druse(dir, &["hull", "entries.csv", "--query", "queries.csv", "--out", "placed.csv"]).ok();
    let table = fs::read_to_string(dir.join("placed.csv")).unwrap();
    assert!(
        table.starts_with("id,formula,energy_per_atom,formation_energy_per_atom,e_above_hull,"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 6, "{table}");
    druse(dir, &["hull", "entries.csv", "--query", "queries.csv", "--out", "placed.jsonl"]).ok();
    assert_eq!(fs::read_to_string(dir.join("placed.jsonl")).unwrap().lines().count(), 5);
}

#[test]
fn bad_entries_are_refused_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let refused = |rows: &str, more: &[&str], words: &[&str]| {
        write(dir, "entries.csv", &format!("id,formula,energy_per_atom\n{rows}"));
        druse(dir, &[&["hull", "entries.csv"], more].concat()).fails(2, words);
    };
    let good = "a,Li,-1.9\nb,O2,-4.9\n";
    refused(&format!("{good}c,LiFeO2,-6\n"), &["--system", "Li-Fe-O"], &["element Fe", "hint:"]);
    refused(&format!("{good}c,LiO,NaN\n"), &[], &["entries.csv, row 3", "energy_per_atom"]);
    refused(&format!("{good}c,LiO,inf\n"), &[], &["row 3"]);
    refused(&format!("{good}c,LiO,much\n"), &[], &["row 3", "`much`"]);
    refused(&format!("{good}c,L1O,-5\n"), &[], &["row 3", "`L1O`"]);
    refused(
        &format!("{good}a,Li,-1.8\n"),
        &[],
        &["`a` contradicts itself", "row 1", "row 3", "--contradictions"],
    );
    refused(good, &["--energy", "e"], &["no column `e`", "energy_per_atom"]);
    refused(good, &["--system", "Li-Xx"], &["Xx"]);
    write(dir, "two.csv", "id,formula,energy_per_atom,energy\na,Li,-1.9,-1.9\n");
    druse(dir, &["hull", "two.csv"]).fails(2, &["several columns", "--energy"]);
    write(dir, "none.csv", "id,energy_per_atom\na,-1.9\n");
    druse(dir, &["hull", "none.csv"]).fails(2, &["neither", "formula"]);

    // The first or the lowest counts where that was asked for; polymorphs are no contradiction.
    write(dir, "entries.csv", &format!("id,formula,energy_per_atom\n{good}a,Li,-2.0\n"));
    for (choice, energy) in [("first", -1.9), ("lowest", -2.0)] {
        let run =
            druse(dir, &["hull", "entries.csv", "--contradictions", choice, "--system", "Li", "--json"]).ok();
        close(&json(&run.stdout)["system"]["stable"][0]["energy_per_atom"], energy);
    }
}

#[test]
fn energies_on_different_scales_are_refused_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(dir, "entries.csv", TABLE);
    write(
        dir,
        "queries.csv",
        "id,formula,formation_energy_per_atom,energy_per_atom,potential\nx,Li2O,-2,-4.8,seven\n",
    );
    let query = ["hull", "entries.csv", "--query", "queries.csv"];
    let with = |more: &[&str]| druse(dir, &[&query[..], more].concat());
    with(&["--query-energy", "formation_energy_per_atom"])
        .fails(2, &["formation energies", "total energies", "--force-scale"]);
    // A named method is not an unnamed one.
    with(&[]).fails(2, &["total energies of seven", "unnamed"]);
    with(&["--energy-scale", "eight"]).fails(2, &["seven", "eight"]);
    with(&["--energy-scale", "seven"]).ok();
    let run = with(&["--force-scale", "--json"]).ok();
    assert!(run.stderr.contains("no energies above hull of one method"), "{}", run.stderr);
    close(&json(&run.stdout)["query"][0]["e_above_hull"], 0.1);
    write(dir, "mixed.csv", "id,formula,energy_per_atom,energy_scale\na,Li,-1.9,x\nb,O2,-4.9,y\n");
    druse(dir, &["hull", "mixed.csv"]).fails(2, &["several methods, x and y"]);
}

/// Relaxed prototypes with energies, twice the first of them, one without energy and one row that is no crystal.
fn relaxed(dir: &Path) {
    let mut lines = Vec::new();
    let energies = [Some(0.0), Some(0.05), Some(-0.6), Some(-0.3), Some(-0.2), Some(-1.0), None, Some(-2.0)];
    for ((id, cif), energy) in prototypes().into_iter().zip(energies) {
        lines.push(
            serde_json::json!({ "id": id, "cif": cif, "formation_energy_per_atom": energy }).to_string(),
        );
    }
    let (_, cif) = &prototypes()[2];
    lines.push(
        serde_json::json!({ "id": "again", "cif": cif, "formation_energy_per_atom": -0.5 }).to_string(),
    );
    lines.push(r#"{"id":"broken","lengths":[-4,4,4],"angles":[90,90,90],"atom_types":[55,17],"frac_coords":[[0,0,0],[0.5,0.5,0.5]]}"#.to_owned());
    write(dir, "relaxed.jsonl", &(lines.join("\n") + "\n"));
    write(
        dir,
        "entries.csv",
        "id,formula,formation_energy_per_atom\nc,CsCl,-0.55\nb,CsBr,-0.5\ns,SrTiO3,-1.05\nn,NiAl,-0.2\n",
    );
    write(dir, "train.csv", &csv(&prototypes()[5..6]));
}

#[test]
fn stability_is_evaluated_by_definitions() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    relaxed(dir);
    let base = [
        "evaluate",
        "relaxed.jsonl",
        "--reference",
        "entries.csv",
        "--task",
        "stability",
        "--train",
        "train.csv",
    ];
    let evaluate = |more: &[&str]| druse(dir, &[&base[..], more].concat());
    let run = evaluate(&["--submitted", "20", "--json", "a.json", "--html", "a.html"]).ok();
    for words in [
        "S.U.N.",
        "task       stability, protocol mattergen",
        "<= 0.1 eV/atom",
        "hull of",
        "all 20 submitted",
        "optimistic",
    ] {
        assert!(run.stdout.contains(words), "`{words}` is not in: {}", run.stdout);
    }
    let page = fs::read_to_string(dir.join("a.html")).unwrap();
    for words in
        ["<h2>Stability</h2>", "<dt>Submitted</dt><dd>20</dd>", "The lowest 8 of 8", "Energy above hull"]
    {
        assert!(page.contains(words), "`{words}` is not in the page");
    }
    let e = json(&fs::read_to_string(dir.join("a.json")).unwrap());
    let value = |key: &str, want: f64| close(&e["metrics"][key], want);
    // Po 0, Fe 0.05, CsCl −0.05, NiAl −0.1, CsBr 0.3, SrTiO3 0.05, KTaO3 −2, CsCl again 0.05; BaTiO3 has no energy.
    value("evaluated", 8.0 / 20.0);
    value("stable", 7.0 / 20.0);
    value("unique", 7.0 / 8.0);
    value("novel", 7.0 / 8.0);
    value("sun", 5.0 / 20.0);
    value("e_above_hull", (0.0 + 0.05 - 0.05 - 0.1 + 0.3 + 0.05 - 2.0 + 0.05) / 8.0);
    let rows = e["stability"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 10);
    assert_eq!(
        (&rows[8]["id"], &rows[8]["unique"], &rows[8]["stable"]),
        (&"again".into(), &false.into(), &true.into())
    );
    assert!(rows[6]["problem"].as_str().unwrap().contains("formation_energy_per_atom"), "{}", rows[6]);
    assert!(fs::read_to_string(dir.join("a.html")).unwrap().contains("S.U.N."));

    evaluate(&["--definition", "strict", "--json", "b.json"]).ok();
    let e = json(&fs::read_to_string(dir.join("b.json")).unwrap());
    assert!(e["metrics"]["msun"].is_number() && e["metrics"]["valid"].is_number(), "{}", e["metrics"]);
    let remarks = e["remarks"].to_string();
    assert!(remarks.contains("6 of 8 structures are in chemical systems with fewer compounds"), "{remarks}");
    let run = evaluate(&["--definition", "lemat"]).ok();
    for words in ["2 potentials or more; those of 1", "as they were generated", "ltol 0.1"] {
        assert!(run.stdout.contains(words), "`{words}` is not in: {}", run.stdout);
    }
    // Both evaluations stand side by side.
    druse(dir, &["compare", "a.json", "b.json"]).ok();
}

#[test]
fn stability_is_refused_where_it_means_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    relaxed(dir);
    let base = ["evaluate", "relaxed.jsonl", "--reference", "entries.csv"];
    let evaluate = |more: &[&str]| druse(dir, &[&base[..], more].concat());
    let task = ["--task", "stability"];
    evaluate(&["--submitted", "20"]).fails(2, &["--task stability"]);
    evaluate(&[&task[..], &["--ltol", "0.3"]].concat()).fails(2, &["--definition"]);
    evaluate(&[&task[..], &["--submitted", "3"]].concat()).fails(2, &["10 rows"]);
    evaluate(&[&task[..], &["--energy", "energy"]].concat()).fails(2, &["no column `energy`"]);
    evaluate(&[&task[..], &["--energy-scale", "seven"]].concat()).fails(2, &["seven", "unnamed"]);
    evaluate(&[&task[..], &["--unrelaxed", "train.csv"]].concat()).fails(2, &["is none of"]);
    // Total energies without an entry of an element: structures are counted, energies are not.
    write(dir, "entries.csv", "id,formula,energy_per_atom\nc,CsCl,-0.55\n");
    let run = evaluate(
        &[
            &task[..],
            &[
                "--energy",
                "formation_energy_per_atom",
                "--hull-energy",
                "energy_per_atom",
                "--force-scale",
                "--json",
            ],
        ]
        .concat(),
    )
    .ok();
    let e = json(&run.stdout);
    assert!(e["metrics"]["sun"].is_null() && e["metrics"]["unique"].is_number(), "{}", e["metrics"]);
    assert!(e["figures"].to_string().contains("no entry of the element"), "{}", e["figures"]);
}
