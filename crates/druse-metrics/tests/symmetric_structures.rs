//! Public data sets as space groups and distinct sites, and back.

use std::collections::BTreeMap;

use druse_crystal::{Structure, SymmetricStructure, symmetry};
use druse_data::{Cache, LoadOptions, Split, Splits};
use druse_metrics::matcher::StructureMatcher;
use druse_testkit::reference::shared_dir;
use rayon::prelude::*;

/// What becomes of a structure.
fn outcome(structure: &Structure, symprec: f64, matcher: Option<&StructureMatcher>) -> Result<(), String> {
    let reduced = SymmetricStructure::from_structure(structure, symprec).map_err(|e| e.kind().to_owned())?;
    let group = reduced.group();
    let primitive = reduced.primitive();
    let found =
        symmetry::analyze(&reduced.conventional(), symprec.min(1e-3)).map_err(|e| format!("again: {e}"))?;
    if !group.is_contained_in(&found.operations) {
        return Err(format!("group {} became {}", group.number(), found.number));
    }
    if let Some(matcher) = matcher
        && !matcher.fit(&matcher.prepare(structure), &matcher.prepare(&primitive))
    {
        return Err(format!("{group}: regenerated cell does not match"));
    }
    Ok(())
}

fn structures(name: &str, split: Split) -> Option<Vec<Structure>> {
    let path = shared_dir()?.join("data").join(name);
    let options = LoadOptions { niggli: false, cache: Cache::Off, ..LoadOptions::default() };
    let data = Splits::open(&path).unwrap().load(split, &options).unwrap();
    Some(data.entries.into_iter().map(|e| e.structure).collect())
}

fn check(structures: &[Structure], what: &str, matcher: Option<&StructureMatcher>) {
    for symprec in [0.1, 0.01] {
        let outcomes: Vec<_> = structures.par_iter().map(|s| outcome(s, symprec, matcher)).collect();
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in outcomes.iter().filter_map(|o| o.as_ref().err()) {
            *reasons.entry(reason).or_insert(0) += 1;
        }
        let failed: usize = reasons.values().sum();
        let share = 100.0 * (1.0 - failed as f64 / structures.len() as f64);
        let count = structures.len();
        assert!(share >= 99.8, "{what}, symprec {symprec} Å: {share:.2} % of {count} come back: {reasons:?}");
    }
}

#[test]
fn structures_match_what_their_distinct_sites_generate() {
    for name in ["mp_20_bt", "mpts_52"] {
        let Some(all) = structures(name, Split::Val) else { return };
        let some: Vec<Structure> = all.into_iter().filter(|s| s.len() <= 20).step_by(4).collect();
        check(&some, name, Some(&StructureMatcher::default()));
    }
}

#[test]
#[ignore = "minutes: whole training sets"]
fn training_sets_come_back() {
    for name in ["mp_20_bt", "mpts_52"] {
        let Some(all) = structures(name, Split::Train) else { return };
        check(&all, name, None);
    }
}
