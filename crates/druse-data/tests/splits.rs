//! Splits: found as files, or made by hash.

mod common;

use std::collections::BTreeSet;

use common::{cscl, csv_text, gzip, halides, plain, put};
use druse_crystal::Composition;
use druse_data::{DataError, Entry, Split, SplitBy, SplitOptions, Splits};
use tempfile::tempdir;

fn table(rows: usize) -> String {
    let rows: Vec<Vec<String>> = (0..rows).map(|k| vec![format!("m{k}"), cscl("Cs", "Cl", 4.12)]).collect();
    csv_text(&["material_id", "cif"], &rows)
}

#[test]
fn files_are_found_whatever_their_format() {
    let folder = tempdir().unwrap();
    put(folder.path(), "train.csv.gz", gzip(halides().as_bytes()));
    put(folder.path(), "validation/a.cif", cscl("Cs", "Cl", 4.12));
    put(folder.path(), "test.txt", "no data");
    let splits = Splits::open(folder.path()).unwrap();
    assert!(!splits.is_hashed());
    assert_eq!(splits.available(), [Split::Train, Split::Val]);
    assert_eq!(splits.load(Split::Train, &plain()).unwrap().len(), 4);
    assert_eq!(splits.load(Split::Val, &plain()).unwrap().entries[0].id, "a");
    let error = splits.load(Split::Test, &plain()).unwrap_err();
    assert!(matches!(error, DataError::MissingSplit { split: Split::Test, .. }), "{error}");
    assert!(error.to_string().contains("train, val"), "{error}");

    put(folder.path(), "train.csv", halides());
    let error = Splits::open(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::AmbiguousSplit { split: Split::Train, .. }), "{error}");
    assert!(matches!(Splits::open(&folder.path().join("nowhere")), Err(DataError::File(_))));
}

#[test]
fn a_single_file_is_divided_without_overlap_or_loss() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "all.csv", table(600));
    let splits = Splits::open(&path).unwrap();
    assert!(splits.is_hashed());
    let parts: Vec<BTreeSet<String>> = Split::ALL
        .into_iter()
        .map(|s| splits.load(s, &plain()).unwrap().entries.into_iter().map(|e| e.id).collect())
        .collect();
    assert_eq!(parts.iter().map(BTreeSet::len).sum::<usize>(), 600);
    assert_eq!(parts.iter().flatten().collect::<BTreeSet<_>>().len(), 600);
    // Four standard deviations of the binomial distribution.
    assert!((440..=520).contains(&parts[0].len()), "{}", parts[0].len());
    assert!((30..=90).contains(&parts[1].len()), "{}", parts[1].len());

    // A structure's part does not depend on the others.
    let shorter = Splits::open(&put(folder.path(), "half.csv", table(300))).unwrap();
    for entry in shorter.load(Split::Val, &plain()).unwrap().entries {
        assert!(parts[1].contains(&entry.id), "{}", entry.id);
    }
    let other = Splits::open_with(&path, SplitOptions { seed: 1, ..SplitOptions::default() }).unwrap();
    let other: BTreeSet<String> =
        other.load(Split::Val, &plain()).unwrap().entries.into_iter().map(|e| e.id).collect();
    assert_ne!(other, parts[1]);
    let whole = Splits::open(&path).unwrap().load(Split::Train, &plain()).unwrap();
    assert!(whole.name.ends_with("/all/train"), "{}", whole.name);
    assert_eq!(whole.content_hash, splits.load(Split::Train, &plain()).unwrap().content_hash);
}

#[test]
fn a_composition_stays_in_one_part() {
    let anions = ["F", "Cl", "Br", "I", "O", "S", "Se", "N", "P", "As"];
    let rows =
        (0..60).map(|k| vec![format!("m{k}"), cscl("Cs", anions[k % anions.len()], 4.0 + 0.01 * k as f64)]);
    let rows: Vec<Vec<String>> = rows.collect();
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "all.csv", csv_text(&["material_id", "cif"], &rows));
    let parts = |by| {
        let options = SplitOptions { by, fractions: [0.5, 0.0, 0.5], ..SplitOptions::default() };
        let splits = Splits::open_with(&path, options).unwrap();
        [Split::Train, Split::Test].map(|split| splits.load(split, &plain()).unwrap().entries)
    };
    let formulas = |entries: &[Entry]| -> BTreeSet<String> {
        entries.iter().map(|e| Composition::from_species(&e.structure.species).reduced_formula()).collect()
    };
    let [train, test] = parts(SplitBy::Formula);
    assert!(formulas(&train).is_disjoint(&formulas(&test)));
    assert_eq!([train.len() + test.len(), train.len() % 6, test.len() % 6], [60, 0, 0]);
    let [train, test] = parts(SplitBy::Id);
    assert!(!formulas(&train).is_disjoint(&formulas(&test)));
}

#[test]
fn fractions_can_be_chosen_and_are_checked() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "all.csv", table(50));
    let with = |fractions| Splits::open_with(&path, SplitOptions { fractions, ..SplitOptions::default() });
    let all = with([1.0, 0.0, 0.0]).unwrap();
    assert_eq!(all.available(), [Split::Train]);
    assert_eq!(all.load(Split::Train, &plain()).unwrap().len(), 50);
    assert_eq!(with([0.0, 0.0, 2.0]).unwrap().load(Split::Test, &plain()).unwrap().len(), 50);
    for bad in [[0.0; 3], [-1.0, 1.0, 1.0], [f64::NAN, 1.0, 1.0]] {
        assert!(matches!(with(bad), Err(DataError::SplitFractions { .. })), "{bad:?}");
    }
    let tiny = Splits::open(&put(folder.path(), "one.csv", table(1))).unwrap();
    let empty = Split::ALL.into_iter().filter(|&s| tiny.load(s, &plain()).is_err()).count();
    assert_eq!(empty, 2, "one structure is in one part, the others say that they are empty");
}
