//! `druse evaluate`, `compare`, `featurize` and `match` through the binary, on small sets.

mod common;

use std::fs;
use std::path::Path;

use common::{cif, command, csv, druse, prototypes};
use serde_json::Value;

/// A table of prototypes, and a generated set: them, slightly larger, with one row that is no crystal and one with two
/// atoms on one spot.
fn sets(dir: &Path) {
    fs::write(dir.join("reference.csv"), csv(&prototypes())).unwrap();
    let mut lines = vec![
        r#"{"id":"negative","lengths":[-4,4,4],"angles":[90,90,90],"atom_types":[55,17],"frac_coords":[[0,0,0],[0.5,0.5,0.5]],"gap":1.0}"#.to_owned(),
        r#"{"id":"one-spot","lengths":[4,4,4],"angles":[90,90,90],"atom_types":[55,17],"frac_coords":[[0,0,0],[0,0,0]],"gap":2.0}"#.to_owned(),
    ];
    for (k, (id, text)) in prototypes().into_iter().enumerate() {
        let larger = text.replace("_cell_length_a ", "_cell_length_a 1");
        let text = if k == 7 { larger } else { text };
        let line = serde_json::json!({ "id": id, "cif": text, "gap": k as f64 / 2.0, "start": k % 2 });
        lines.push(line.to_string());
    }
    fs::write(dir.join("generated.jsonl"), lines.join("\n") + "\n").unwrap();
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

const EVALUATE: [&str; 4] = ["evaluate", "generated.jsonl", "--reference", "reference.csv"];

fn evaluate(dir: &Path, more: &[&str]) -> common::Run {
    druse(dir, &[&EVALUATE[..], more].concat())
}

#[test]
fn every_row_counts_and_every_metric_says_its_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    let run = evaluate(dir, &["--json", "a.json", "--html", "a.html", "--train", "reference.csv"]).ok();
    for words in [
        "Composition validity",
        "COV-R",
        "EMD of density",
        "Unique and novel",
        "structures: 2 of 10",
        "negative",
        "one-spot",
    ] {
        assert!(run.stdout.contains(words), "`{words}` is not in: {}", run.stdout);
    }
    let e = json(&dir.join("a.json"));
    let metric = |key: &str| e["metrics"][key].as_f64().unwrap_or_else(|| panic!("{key}: {}", e["metrics"]));
    assert_eq!(metric("comp_valid"), 1.0, "an impossible cell has a composition");
    assert_eq!((metric("struct_valid"), metric("valid")), (0.8, 0.8));
    assert_eq!((metric("cov_recall"), metric("unique")), (1.0, 0.9));
    assert_eq!(
        (metric("novel"), metric("valid_unique_novel")),
        (0.2, 0.1),
        "two atoms on one spot are novel, not valid"
    );
    for figure in e["figures"].as_array().unwrap() {
        assert!(!figure["protocol"].as_str().unwrap().is_empty() && figure["of"].is_u64(), "{figure}");
    }
    let ids: Vec<&str> = e["invalid"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["negative", "one-spot"]);
    assert!(
        e["figures"]
            .as_array()
            .unwrap()
            .iter()
            .any(|f| f["key"] == "cov_recall" && f["interval"].is_object())
    );
    assert!(e["remarks"].to_string().contains("only 8 generated structures are valid"), "{}", e["remarks"]);
}

#[test]
fn the_result_does_not_depend_on_threads_or_cache() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    let first = evaluate(dir, &["--json", "--threads", "1"]).ok();
    let cached = evaluate(dir, &["--json", "--threads", "2"]).ok();
    let without = evaluate(dir, &["--json", "--no-cache"]).ok();
    assert_eq!(first.stdout, cached.stdout);
    assert_eq!(first.stdout, without.stdout);
    // A damaged cache costs a warning.
    let cache = dir.join(".cache");
    let files: Vec<_> = fs::read_dir(&cache).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }
    let repaired = evaluate(dir, &["--json"]).ok();
    assert_eq!(repaired.stdout, first.stdout);
    assert!(repaired.stderr.contains("damaged"), "{}", repaired.stderr);
    assert!(!evaluate(dir, &["--json"]).ok().stderr.contains("damaged"));
    // So does one that cannot be written.
    fs::write(dir.join("file"), "").unwrap();
    let output = command(dir).env("DRUSE_CACHE", dir.join("file/below")).args(EVALUATE).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.contains("the feature cache is not written"), "{stderr}");
}

#[test]
fn reference_rows_that_lack_something_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    // The roles changed: the reference has a row that is no crystal and one without a fingerprint.
    let run =
        druse(dir, &["evaluate", "reference.csv", "--reference", "generated.jsonl", "--json", "a.json"]).ok();
    assert!(run.stdout.contains("reference rows left out: 2 of 10"), "{}", run.stdout);
    let e = json(&dir.join("a.json"));
    let rows = e["left_out"].as_array().unwrap();
    assert!(rows[0]["reason"].as_str().unwrap().contains("must be positive"), "{rows:?}");
    assert!(
        rows[1]["id"] == "one-spot" && rows[1]["reason"].as_str().unwrap().contains("no fingerprint"),
        "{rows:?}"
    );
    let figure =
        |key: &str| e["figures"].as_array().unwrap().iter().find(|f| f["key"] == key).unwrap().clone();
    assert_eq!(
        (figure("cov_recall")["of"].as_u64(), figure("wdist_density")["against"].as_u64()),
        (Some(8), Some(9))
    );
}

#[test]
fn results_replace_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    evaluate(dir, &["--json", "a.json", "--bootstrap", "0"]).ok();
    let before = fs::read(dir.join("a.json")).unwrap();
    druse(dir, &["compare", "--json", "a.json", "a.json", "a.json"]).fails(2, &["a.json", "put --json last"]);
    evaluate(dir, &["--json=reference.csv"]).fails(2, &["`reference.csv` holds no result of druse"]);
    evaluate(dir, &["--html", "reference.csv"]).fails(2, &["`reference.csv` would be replaced"]);
    assert_eq!(fs::read(dir.join("a.json")).unwrap(), before);
}

/// Checks that the tags of a page are balanced, and that nothing is loaded from elsewhere. What draws crystals stands once at
/// the end and is looked at by the tests in a browser.
fn check_page(page: &str) {
    let (page, scripts) = page.split_once("<style>/* A crystal in a page").unwrap_or((page, ""));
    let page = &match scripts {
        "" => page.to_owned(),
        scripts => {
            assert!(scripts.ends_with("</script>\n</main></body></html>\n"), "the scripts come last");
            page.replace("<script type=\"application/json\">", "<json-data>")
                .replace("</script>", "</json-data>")
                + "</main></body></html>"
        }
    };
    for word in ["http://", "https://", "src=", "<link", "@import", "url(", "<script"] {
        assert!(!page.contains(word), "the page contains {word}");
    }
    let mut open: Vec<String> = Vec::new();
    let mut rest = page.as_str();
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').expect("a tag that does not end");
        let tag = &rest[at + 1..end];
        let name = tag.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric() || *c == '-');
        let name: String = name.collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "at {}", &rest[at..(at + 80).min(rest.len())]);
        } else if !tag.ends_with('/') && !tag.starts_with('!') && !["meta", "br"].contains(&name.as_str()) {
            open.push(name);
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "a number is not finite");
}

#[test]
fn reports_open_without_network() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    // An identifier that would end an element if it were not escaped.
    let text = fs::read_to_string(dir.join("generated.jsonl")).unwrap();
    fs::write(dir.join("generated.jsonl"), text.replace("one-spot", "<b>one&spot")).unwrap();
    evaluate(dir, &["--html", "a.html", "--json", "a.json"]).ok();
    let page = fs::read_to_string(dir.join("a.html")).unwrap();
    check_page(&page);
    assert!(page.contains("&lt;b&gt;one&amp;spot") && page.contains("role=\"img\""));
    for part in [
        "beside the nearest known crystal",
        "Invalid crystals",
        "Drawn at random",
        "class=\"pair\"",
        "data-crystal",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("3Dmol.js 2.5.5, BSD-3-Clause").count(), 1, "the viewer is embedded once");
    for title in [
        "Density (g/cm³)",
        "Volume per atom",
        "Number of elements",
        "Cell length a",
        "Cell angle γ",
        "Space group",
        "contain the element",
    ] {
        assert!(page.contains(title), "{title}");
    }
    druse(dir, &["compare", "a.json", "a.json", "--html", "c.html"]).ok();
    check_page(&fs::read_to_string(dir.join("c.html")).unwrap());
}

#[test]
fn sets_that_do_not_fit_are_errors_with_words() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    let bad = r#"{"id":"x","lengths":[-1,1,1],"angles":[90,90,90],"atom_types":[1],"frac_coords":[[0,0,0]]}"#;
    fs::write(dir.join("bad.jsonl"), format!("{bad}\n")).unwrap();
    fs::write(dir.join("empty.jsonl"), "\n").unwrap();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["evaluate", "empty.jsonl", "--reference", "reference.csv"], &["empty.jsonl", "no structure"]),
        (&["evaluate", "generated.jsonl", "--reference", "empty.jsonl"], &["empty.jsonl", "no structure"]),
        (
            &["evaluate", "generated.jsonl", "--reference", "bad.jsonl"],
            &["none of the 1 rows of the reference set", "must be positive"],
        ),
        (&["evaluate", "generated.jsonl", "--reference", "none.csv"], &["none.csv"]),
        (
            &["evaluate", "generated.jsonl", "--reference", "reference.csv", "--cutoffs", "mp"],
            &["--cutoffs `mp`", "0.4,10"],
        ),
        (
            &["evaluate", "generated.jsonl", "--reference", "reference.csv", "--property", "gap"],
            &["reference set", "`gap`"],
        ),
        (
            &[
                "evaluate",
                "generated.jsonl",
                "--reference",
                "reference.csv",
                "--task",
                "reconstruction",
                "--pair",
                "order",
            ],
            &["cannot be paired"],
        ),
        (&["compare", "generated.jsonl", "reference.csv"], &["generated.jsonl", "no evaluation"]),
    ];
    for (arguments, words) in cases {
        druse(dir, arguments).fails(2, words);
    }
    // A generated set without a single crystal has metrics.
    let run = druse(dir, &["evaluate", "bad.jsonl", "--reference", "reference.csv", "--json"]).ok();
    let e: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(e["metrics"]["valid"].as_f64(), Some(0.0));
    assert!(e["metrics"]["cov_recall"].is_null());
    assert!(e["remarks"].to_string().contains("no element in common"), "{}", e["remarks"]);
}

#[test]
fn properties_and_optimization() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    let run = druse(
        dir,
        &[
            "evaluate",
            "generated.jsonl",
            "--filter",
            "start>=0",
            "--reference",
            "generated.jsonl",
            "--property",
            "gap",
            "--optimize",
            "gap",
            "--start",
            "start",
            "--json",
        ],
    )
    .ok();
    let e: Value = serde_json::from_str(&run.stdout).unwrap();
    let figure =
        |key: &str| e["figures"].as_array().unwrap().iter().find(|f| f["key"] == key).unwrap().clone();
    assert!((figure("wdist_gap")["value"].as_f64().unwrap() - 0.15).abs() < 0.3);
    assert_eq!(figure("sr5")["of"], 2);
    assert_eq!(figure("sr5")["value"].as_f64(), Some(0.5), "one start reaches the lowest gap");
}

#[test]
fn predictions_find_their_references() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    // Same file: every structure is its own reconstruction.
    let run = druse(
        dir,
        &["evaluate", "reference.csv", "--reference", "reference.csv", "--task", "reconstruction", "--json"],
    )
    .ok();
    let e: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((e["metrics"]["match_rate"].as_f64(), e["metrics"]["metre"].as_f64()), (Some(1.0), Some(1.0)));
    assert!(e["metrics"]["rms_dist"].as_f64().unwrap() < 1e-4);
    assert!(e["remarks"].to_string().contains("by identifier"));
    // Two candidates each, the right one second.
    let list = prototypes();
    let lines: Vec<String> = (0..list.len() * 2)
        .map(|k| {
            let (of, own) = (k / 2, k % 2 == 1);
            let text = if own { &list[of].1 } else { &list[(of + 1) % list.len()].1 };
            serde_json::json!({ "id": format!("c{k}"), "prompt": list[of].0, "cif": text }).to_string()
        })
        .collect();
    fs::write(dir.join("candidates.jsonl"), lines.join("\n") + "\n").unwrap();
    let arguments = [
        "evaluate",
        "candidates.jsonl",
        "--reference",
        "reference.csv",
        "--task",
        "prediction",
        "--group-by",
        "prompt",
        "--json",
    ];
    let e: Value = serde_json::from_str(&druse(dir, &arguments).ok().stdout).unwrap();
    let metric = |key: &str| e["metrics"][key].as_f64();
    assert_eq!(
        (metric("match_rate_k1"), metric("match_rate_k2"), metric("match_rate")),
        (Some(0.0), Some(1.0), Some(1.0))
    );
    assert_eq!((metric("metre"), metric("crmse_k1")), (Some(1.0), Some(0.5)));
}

#[test]
fn comparisons_rank_what_can_be_ranked() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    evaluate(dir, &["--json", "a.json"]).ok();
    druse(dir, &["evaluate", "reference.csv", "--reference", "reference.csv", "--json", "b.json"]).ok();
    evaluate(dir, &["--protocol", "strict", "--json", "c.json"]).ok();
    let two: Value =
        serde_json::from_str(&druse(dir, &["compare", "a.json", "b.json", "--json"]).ok().stdout).unwrap();
    let row = |c: &Value, key: &str| {
        c["comparison"]["rows"].as_array().unwrap().iter().find(|r| r["key"] == key).unwrap().clone()
    };
    assert_eq!(row(&two, "valid")["best"], serde_json::json!([1]));
    let three = druse(dir, &["compare", "a.json", "b.json", "c.json"]).ok();
    assert!(three.stdout.contains("not ranked: protocols differ"), "{}", three.stdout);
    assert!(three.stdout.contains('*') && three.stdout.contains("samples of 8, 10"));
    let (cdvae, strict): (Value, Value) = (json(&dir.join("a.json")), json(&dir.join("c.json")));
    assert_ne!(
        cdvae["figures"][2]["protocol"], strict["figures"][2]["protocol"],
        "the rules are part of the protocol"
    );
    // Sets are evaluated on the way.
    let sets = druse(
        dir,
        &["compare", "generated.jsonl", "reference.csv", "--reference", "reference.csv", "--bootstrap", "0"],
    )
    .ok();
    assert!(sets.stdout.contains("0.8000") && sets.stdout.contains("1.0000*"), "{}", sets.stdout);
}

#[test]
fn features_come_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sets(dir);
    let all = "crystalnn,magpie,validity,symmetry,niggli,neighbors";
    druse(dir, &["featurize", "generated.jsonl", "--features", all, "--out", "f.jsonl"]).ok();
    let rows: Vec<Value> = fs::read_to_string(dir.join("f.jsonl"))
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(rows.len(), 10);
    assert!(rows[0]["error"].as_str().unwrap().contains("not constructed"));
    let validity = &rows[0]["validity"];
    assert_eq!(
        (&validity["comp_valid"], &validity["struct_valid"], &rows[0]["crystalnn"]),
        (&true.into(), &false.into(), &Value::Null)
    );
    assert_eq!(rows[0]["composition"], serde_json::json!({"Cs": 1, "Cl": 1}));
    assert!(rows[1]["error"].as_str().unwrap().contains("crystalnn") && rows[1]["crystalnn"].is_null());
    let po = &rows[2];
    assert_eq!((po["id"].as_str(), &po["error"]), (Some("Po"), &Value::Null));
    assert_eq!(po["crystalnn"]["sites"][0]["cn"], 6);
    assert_eq!(po["symmetry"]["symprec_0.1"]["number"], 221);
    assert_eq!(po["neighbors"]["counts"]["4"], serde_json::json!([6]));
    assert_eq!(po["magpie"].as_array().unwrap().len(), 132);
    assert!((po["niggli"]["niggli_params_exact"][0].as_f64().unwrap() - 3.35).abs() < 1e-12);
    let stdout =
        druse(dir, &["featurize", "generated.jsonl", "--features", "neighbors", "--filter", "gap=0"])
            .ok()
            .stdout;
    let only: Value = serde_json::from_str(stdout.trim()).unwrap();
    let keys: Vec<&str> = only.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["composition", "error", "id", "neighbors", "warnings"]);
    assert_eq!(only["warnings"], serde_json::json!(["no symmetry given; read as P 1"]));
    druse(dir, &["featurize", "generated.jsonl", "--features", "color"])
        .fails(2, &["unknown feature `color`"]);
}

#[test]
fn structures_are_matched_one_by_one_and_in_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let list = prototypes();
    fs::write(dir.join("a.cif"), &list[2].1).unwrap();
    fs::write(dir.join("b.cif"), cif("b", 4.2, &[("Cl", [0.1, 0.1, 0.1]), ("Cs", [0.6, 0.6, 0.6])])).unwrap();
    fs::write(dir.join("c.cif"), &list[3].1).unwrap();
    let same = druse(dir, &["match", "a.cif", "b.cif"]).ok();
    assert!(same.stdout.starts_with("fit  yes") && same.stdout.contains("rms  0.0000"), "{}", same.stdout);
    let other = druse(dir, &["match", "a.cif", "c.cif", "--json"]).ok();
    assert_eq!(
        serde_json::from_str::<Value>(&other.stdout).unwrap(),
        serde_json::json!({
            "schema": 1, "command": "match", "druse": env!("CARGO_PKG_VERSION"), "warnings": [],
            "fit": false, "rms": null, "max": null, "unfinished": false,
        })
    );
    let pair = |a: usize, b: usize| serde_json::json!({"pair": format!("{a}-{b}"), "s1": {"cif": list[a].1}, "s2": {"cif": list[b].1}});
    let text =
        format!("{}\n{}\nnot json\n{{\"id\": 7, \"s1\": {{}}, \"s2\": {{}}}}\n", pair(2, 2), pair(2, 3));
    fs::write(dir.join("pairs.jsonl"), text).unwrap();
    druse(dir, &["match", "--pairs", "pairs.jsonl", "--preset", "cdvae", "--out", "v.jsonl"]).ok();
    let rows: Vec<Value> = fs::read_to_string(dir.join("v.jsonl"))
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(
        rows.iter().map(|r| r["fit"].as_bool().unwrap()).collect::<Vec<_>>(),
        [true, false, false, false]
    );
    assert_eq!((&rows[1]["pair"], &rows[2]["pair"], &rows[3]["pair"]), (&"2-3".into(), &3.into(), &7.into()));
    assert!(rows[2]["error"].as_str().unwrap().contains("line 3") && rows[0].get("error").is_none());
    druse(dir, &["match", "a.cif", "b.cif", "--stol", "0"]).fails(2, &["--stol"]);
    druse(dir, &["match", "a.cif", "missing.cif"]).fails(2, &["missing.cif"]);
}
