//! Crystals on Wyckoff orbits, on the real binary: trained, asked for compositions, groups and sites.

mod common;

use std::collections::BTreeSet;
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

const TINY: &str = "--set model.network={width=8,layers=1,heads=2,pair_width=8,radial=8} \
    --set model.judge.hidden=8 --set train.batch_size=4 \
    --set model.tolerance=0.01 --set sampling.evaluations=2";

/// A folder with data and a tiny model `m`.
fn with_model() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    call(dir.path(), &format!("train --preset orbit-small --data data --out m --set train.epochs=3 {TINY}"))
        .ok();
    dir
}

#[test]
fn compositions_get_templates_in_order() {
    let dir = with_model();
    let dir = dir.path();
    call(dir, "sample --model m --formula RbBr --out rbbr").ok();
    let made = lines(dir, "rbbr/structures.jsonl");
    let p = &made[0]["properties"];
    assert_eq!((&p["rank"], &p["parent"]), (&1.into(), &"CsBr".into()), "{p}");
    assert_eq!(p["template"], "221 (Pm-3m): Br:1b,Rb:1a");
    assert!(p["log_probability"].as_f64().is_some_and(|x| x <= 0.0));
    let cell = made[0]["structure"]["lattice"].as_array().unwrap();
    assert_eq!(cell.len(), 3);

    // Perovskites have a second way to be filled, which no known crystal proposes.
    call(dir, "sample --model m --formula CaHfO3 --count 9 --out perovskites --format jsonl").ok();
    let made = lines(dir, "perovskites/structures.jsonl");
    let ranks: Vec<u64> = made.iter().map(|s| s["properties"]["rank"].as_u64().unwrap()).collect();
    assert!(made.len() >= 2 && ranks.is_sorted() && ranks[0] == 1, "{ranks:?}");
    let is_other = |s: &&Value| s["properties"]["log_probability"].is_null();
    let other = made.iter().find(is_other).expect("a perovskite filled site by site");
    assert!(other["properties"]["parent"].is_string() && other["properties"]["distance"].is_f64());
    let mut templates: Vec<&Value> = made.iter().map(|s| &s["properties"]["template"]).collect();
    templates.dedup();
    assert_eq!(templates.len(), made.len());

    call(dir, "sample --model m --formula CaHfO3 --space-group 221 --out group --format jsonl").ok();
    let p = &lines(dir, "group/structures.jsonl")[0]["properties"];
    assert_eq!((&p["space_group"], &p["space_group_found"][0]), (&221.into(), &221.into()));
    let run = call(dir, "sample --model m --formula CaHfO3 --space-group 140 --out none");
    run.fails(2, &["140", "CaHfO3", "primitive cell"]);
    // What no known crystal has a template for is drawn atom by atom, or refused.
    call(dir, "sample --model m --formula Ca2HfO2 --out odd --format jsonl").ok();
    let p = &lines(dir, "odd/structures.jsonl")[0]["properties"];
    assert!(p["remark"].as_str().is_some_and(|remark| remark.contains("no known crystal")), "{p}");
    assert!(p["template"].as_str().is_some_and(|template| template.starts_with("1 (P1)")), "{p}");
    let run = call(dir, "sample --model m --formula Ca2HfO2 --set sampling.templates_only=true --out none4");
    run.fails(1, &["1 + 2 + 2"]);
    call(dir, "sample --model m --formula Ca2HfO2 --templates-only --out none5").fails(1, &["1 + 2 + 2"]);
    call(dir, "sample --model m --formula Ca3Hf4O --out large").fails(1, &["8 atoms", "at most 5"]);

    // The same seed gives the same structures, whatever the number of threads.
    let again =
        call(dir, "sample --model m --formula CaHfO3 --count 9 --out again --threads 1 --format jsonl").ok();
    assert_eq!(made, lines(dir, "again/structures.jsonl"));
    // What is asked for beyond the candidates is listed, and told once.
    assert!(made.len() < 8, "{}", made.len());
    assert_eq!(again.stderr.matches("no further template").count(), 1, "{}", again.stderr);
    assert_eq!(lines(dir, "again/failures.jsonl").len(), 9 - made.len());
}

/// Crystals without a composition: each a draw, with what was asked for and its probability.
#[test]
fn crystals_are_drawn() {
    let dir = with_model();
    let dir = dir.path();
    let drawn = |options: &str, out: &str| -> Vec<Value> {
        call(dir, &format!("sample --model m {options} --out {out} --format jsonl")).ok();
        assert_eq!(fs::read_to_string(dir.join(out).join("failures.jsonl")).unwrap_or_default(), "");
        lines(dir, &format!("{out}/structures.jsonl"))
    };
    let all = drawn("--count 40", "all");
    assert_eq!(all.len(), 40);
    let kinds: BTreeSet<&str> = all.iter().map(|s| s["properties"]["template"].as_str().unwrap()).collect();
    assert!(kinds.len() >= 5, "{kinds:?}");
    for s in &all {
        let p = &s["properties"];
        assert!(p["parent"].is_string() && p["distance"].is_f64() && p["rank"].is_null(), "{p}");
        assert!(p["log_probability"].as_f64().is_some_and(|x| x < 0.0), "{p}");
    }
    // Whatever the threads and the shards.
    assert_eq!(all, drawn("--count 40 --threads 1", "again"));
    call(dir, "sample --model m --count 40 --shard 0/2 --out half0 --format jsonl").ok();
    call(dir, "sample --model m --count 40 --shard 1/2 --out half1 --format jsonl").ok();
    call(dir, "merge half0 half1 --out whole").ok();
    assert_eq!(all, lines(dir, "whole/structures.jsonl"));
    assert_ne!(all, drawn("--count 40 --seed 1", "other"));
}

/// What no known crystal can be is refused before anything is drawn, with what is there.
#[test]
fn conditions_are_met_or_refused() {
    let dir = with_model();
    let dir = dir.path();
    let species = |s: &Value| -> BTreeSet<String> {
        let species = s["structure"]["species"].as_array().unwrap().iter();
        species.map(|e| e.as_str().unwrap().to_owned()).collect()
    };
    call(dir, "sample --model m --system K-Br --count 12 --out salts --format jsonl").ok();
    let made = lines(dir, "salts/structures.jsonl");
    assert!(made.len() == 12 && made.iter().all(|s| species(s) == ["Br", "K"].map(str::to_owned).into()));
    call(dir, "sample --model m --atoms 5 --space-group 221 --count 6 --out five --format jsonl").ok();
    for s in lines(dir, "five/structures.jsonl") {
        assert_eq!(s["structure"]["species"].as_array().unwrap().len(), 5);
        assert_eq!(s["properties"]["space_group_found"][0], 221);
    }
    let line = "sample --model m --system K-Ta-O --atoms 5 --space-group 221 --count 2 --out perovskite --format jsonl";
    call(dir, line).ok();
    assert_eq!(lines(dir, "perovskite/structures.jsonl").len(), 2);

    let refused = |options: &str, words: &[&str]| {
        call(dir, &format!("sample --model m {options} --out refused")).fails(2, words);
        assert!(!dir.join("refused/structures.jsonl").exists(), "{options}");
    };
    refused("--atoms 3", &["3 atoms", "there are", "5"]);
    refused("--atoms 1000000000", &["1000000000"]);
    refused("--space-group 62", &["62", "221"]);
    // fcc positions of 227 hold 2, 4, 8 and more.
    refused("--atoms 3 --space-group 227", &["227", "3 atoms", "2, 4"]);
    refused("--system Cs-Br-Cl-O", &["4 elements"]);
    refused("--formula CaHfO3 --system Ca-O", &["Ca-Hf-O", "Ca-O"]);
    refused("--formula CaHfO3 --atoms 10", &["5 atoms", "10"]);
    refused("--system Cs-Br --sites Cs:1", &[]);
    // The list of all compositions is still there.
    let run = call(dir, "sample --model m --system K-Br --max-atoms 2 --out list --format jsonl").ok();
    assert!(run.stderr.contains("compositions of K-Br"), "{}", run.stderr);
}

/// Candidates in the order of probability and energy, relaxed or as they come, beside those in the order of the likelihood.
#[test]
fn a_potential_orders_candidates() {
    let dir = with_model();
    let dir = dir.path();
    for by in ["potential", "energy"] {
        let line = format!("sample --model m --formula CsBr --count 3 --rank {by} --out {by} --format jsonl");
        call(dir, &line).ok();
        let (made, ranked) =
            (lines(dir, &format!("{by}/structures.jsonl")), lines(dir, &format!("{by}/ranked.jsonl")));
        assert!(!made.is_empty() && made.len() == ranked.len());
        for (i, s) in ranked.iter().enumerate() {
            let p = &s["properties"];
            assert_eq!(p["rank"], i + 1);
            assert!(p["rank_score"].is_f64() && p["model_rank"].is_u64(), "{p}");
            assert!(p["energy_above_lowest"].as_f64().is_some_and(|e| e >= 0.0), "{p}");
            let model_rank = made.iter().position(|m| m["properties"]["template"] == p["template"]);
            assert_eq!(p["model_rank"].as_u64(), model_rank.map(|i| i as u64 + 1), "{p}");
            // Energies alone move nothing.
            let same = made.iter().any(|m| m["structure"] == s["structure"]);
            assert!(same || by == "potential", "{s}");
        }
    }
    let part = "sample --model m --formula CsBr --rank potential --shard 0/2 --out part";
    call(dir, part).fails(2, &["shard", "druse rank"]);
}

/// An element that is in no known crystal is named.
#[test]
fn unknown_elements_get_a_remark() {
    let dir = with_model();
    let dir = dir.path();
    for (options, out) in [("--formula FrBr", "formula"), ("--system Fr-Br", "system")] {
        call(dir, &format!("sample --model m {options} --out {out} --format jsonl")).ok();
        let remark = &lines(dir, &format!("{out}/structures.jsonl"))[0]["properties"]["remark"];
        assert!(remark.as_str().is_some_and(|r| r.contains("Fr") && r.contains("nearness to")), "{remark}");
    }
    call(dir, "sample --model m --formula CsBr --out known --format jsonl").ok();
    assert!(lines(dir, "known/structures.jsonl")[0]["properties"]["remark"].is_null());
}

#[test]
fn sites_and_data_sets_are_taken() {
    let dir = with_model();
    let dir = dir.path();
    call(dir, "sample --model m --space-group 221 --wyckoff Cs:1a,Cl:1b --count 2 --out cscl --format jsonl")
        .ok();
    for record in lines(dir, "cscl/structures.jsonl") {
        let p = &record["properties"];
        assert_eq!((&p["wyckoff"], &p["space_group_found"][1]), (&"Cl:1b,Cs:1a".into(), &221.into()), "{p}");
    }
    call(dir, "sample --model m --space-group 221 --wyckoff Cs:1a,Cl:1a --out twice")
        .fails(2, &["1a", "221"]);
    call(dir, "sample --model m --like data/val.csv --with-sites --out sites --format jsonl").ok();
    let made = lines(dir, "sites/structures.jsonl");
    assert!(made.iter().any(|s| s["properties"]["parent"].is_string()), "{made:?}");
    let drawn = "sample --model m --like data/val.csv --with-sites --set begin=anywhere --out drawn";
    call(dir, &format!("{drawn} --format jsonl")).ok();
    let drawn = lines(dir, "drawn/structures.jsonl");
    assert_eq!(drawn.len(), made.len());
    assert!(drawn.iter().all(|s| s["properties"]["parent"].is_null()));
    call(dir, "sample --model m --like data/val.csv --out like --format jsonl").ok();
    assert!(lines(dir, "like/structures.jsonl").iter().all(|s| s["properties"]["rank"] == 1));
}

#[test]
fn a_run_is_resumed_and_exported() {
    let dir = with_model();
    let dir = dir.path();
    call(dir, "train --data data --out m --resume --set train.epochs=4").ok();
    call(dir, "export m --out small.safetensors").ok();
    call(dir, "sample --model small.safetensors --formula RbBr --out a --format jsonl").ok();
    assert_eq!(lines(dir, "a/structures.jsonl").len(), 1);
    let bad = format!("train --preset orbit-small --data data --out n {TINY} --set model.judge.shown=1");
    call(dir, &bad).fails(2, &["judge.shown"]);
}

/// A model without a writer gets one: the phase begins anew, which is said, and ends before the run does.
#[test]
fn a_phase_begins_anew_and_ends_early() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write_data(dir);
    call(dir, &format!("train --preset orbit-small --data data --out m --set train.epochs=1 {TINY}")).ok();
    let with = format!("{TINY} --set model.writer.width=8 --set model.writer.epochs=2 --set train.epochs=3");
    let run = call(dir, &format!("train --preset orbit-small --data data --init m --out w {with}")).ok();
    assert!(run.stderr.contains("`writer`, which begins anew"), "{}", run.stderr);
    let steps = lines(dir, "w/metrics.jsonl");
    let steps: Vec<&Value> = steps.iter().filter(|m| m["kind"] == "step").collect();
    let has_writer = |m: &Value| !m["phases"]["writer"].is_null();
    assert!(!steps.is_empty());
    for step in steps {
        assert_eq!(has_writer(step), step["epoch"].as_u64().unwrap() <= 2, "{step}");
    }
    call(dir, "sample --model w --formula RbBr --count 3 --out a --format jsonl").ok();
    let likely = lines(dir, "a/structures.jsonl");
    assert!(likely.iter().all(|s| s["properties"]["log_probability"].is_number()), "{likely:?}");
    // The other way round, and of other sizes, nothing fits.
    let bad =
        format!("train --preset orbit-small --data data --init m --out v {TINY} --set model.judge.width=4");
    call(dir, &bad).fails(2, &["judge.names", "[119, 4]"]);
}
