//! Statistics of small sets with known answers.

mod common;

use common::{cif, cscl, csv_text, halides, plain, put, rock_salt};
use druse_data::{DatasetStats, Quantiles, Split, SplitStats, Splits, StatsOptions, load};
use tempfile::tempdir;

#[test]
fn quantiles_interpolate() {
    let q = Quantiles::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
    assert_eq!((q.min, q.q25, q.median, q.mean, q.q75, q.max), (1.0, 1.75, 2.5, 2.5, 3.25, 4.0));
    assert!((q.q05 - 1.15).abs() < 1e-12 && (q.q95 - 3.85).abs() < 1e-12);
    assert_eq!(Quantiles::of(vec![7.0]).unwrap().q95, 7.0);
    assert!(Quantiles::of(Vec::new()).is_none());
}

#[test]
fn halides_have_textbook_statistics() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "halides.csv", halides()), &plain()).unwrap();
    let stats = DatasetStats::compute(&data, StatsOptions::default()).unwrap();
    assert_eq!((stats.count, stats.skipped, stats.formulas), (4, 0, 4));
    assert_eq!(stats.atoms_histogram.into_iter().collect::<Vec<_>>(), [(2, 1), (8, 3)]);
    assert_eq!(stats.element_counts.into_iter().collect::<Vec<_>>(), [(2, 4)]);
    assert_eq!((stats.elements["Cl"], stats.elements["F"], stats.elements.len()), (3, 1, 6));
    let groups: Vec<_> = stats.space_groups.iter().map(|g| (g.number, g.symbol.as_str(), g.count)).collect();
    assert_eq!(groups, [(225, "Fm-3m", 3), (221, "Pm-3m", 1)]);
    let sites = stats.distinct_sites.unwrap();
    assert_eq!((sites.reduced, sites.orthorhombic_and_higher, sites.monoclinic_and_triclinic), (4, 4, 0));
    assert_eq!((sites.sites.unwrap().max, sites.not_reduced.len()), (2.0, 0));
    assert!((stats.density.max - 3.997).abs() < 0.01, "CsCl: {}", stats.density.max);
    assert_eq!(stats.properties["band_gap"].count, 3);
    assert_eq!(stats.properties["band_gap"].numbers.unwrap().max, 8.7);
    assert_eq!(stats.properties["pretty_formula"].distinct, 4);
    assert_eq!((stats.duplicates.ids, stats.duplicates.identical, stats.duplicates.alike), (0, 0, Some(0)));
}

#[test]
fn duplicates_are_counted_by_the_stated_rules() {
    let folder = tempdir().unwrap();
    let row = |id: &str, cif: String| vec![id.to_owned(), cif];
    let cell = [4.12, 4.12, 4.12, 90.0, 90.0, 90.0];
    let rows = [
        row("first", cscl("Cs", "Cl", 4.12)),
        // The same cell with its sites in another order and a coordinate of 0.99999 for 0.
        row("same", cif("CsCl", cell, " Cl Cl0 0.5 0.5 0.5\n Cs Cs1 0.99999 0 0\n")),
        // Shifted by half a cell: alike, not identical.
        row("first", cif("CsCl", cell, " Cs Cs0 0.5 0.5 0.5\n Cl Cl1 0 0 0\n")),
        // 2 % more volume: neither.
        row("larger", cscl("Cs", "Cl", 4.12 * 1.02f64.cbrt())),
        // Another structure type: neither.
        row("rock salt", rock_salt("Cs", "Cl", 4.12 * 2.0)),
    ];
    let data =
        load(&put(folder.path(), "t.csv", csv_text(&["material_id", "cif"], &rows)), &plain()).unwrap();
    assert_eq!(data.warnings.len(), 1, "a repeated identifier is worth a warning: {:?}", data.warnings);
    let stats = DatasetStats::compute(&data, StatsOptions::default()).unwrap();
    assert_eq!((stats.duplicates.ids, stats.duplicates.identical, stats.duplicates.alike), (1, 1, Some(2)));
    // One site on the other's place, which no space group can have.
    let twice = cif("CsCl", cell, " Cl Cl0 0 0 0\n Cl Cl1 0 0 0.005\n Cs Cs2 0.5 0.5 0.5\n");
    let close = load(
        &put(folder.path(), "close.csv", csv_text(&["material_id", "cif"], &[row("x", twice)])),
        &plain(),
    );
    let close = DatasetStats::compute(&close.unwrap(), StatsOptions::default()).unwrap();
    let table = close.to_string();
    let line = "0 structures reduce to theirs; 1 do not: sites closer than the tolerance (1)";
    assert!(table.contains(line), "{table}");
    let sites = close.distinct_sites.unwrap();
    assert_eq!(sites.reduced, 0);
    assert_eq!(sites.not_reduced["sites closer than the tolerance"], 1);
    let quick = DatasetStats::compute(&data, StatsOptions { symprec: None }).unwrap();
    assert_eq!((quick.duplicates.alike, quick.space_groups.len(), quick.space_group_failures), (None, 0, 0));
}

#[test]
fn the_table_and_the_json_say_the_same() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "halides.csv", halides()), &plain()).unwrap();
    let stats = DatasetStats::compute(&data, StatsOptions::default()).unwrap();
    let table = stats.to_string();
    for part in [
        "structures      4 (0 skipped)",
        "225 Fm-3m (3), 221 Pm-3m (1)",
        "4 structures reduce to theirs: mean 2.00, at most 2; 2 different",
        "adaptive cells as published can use 4; 0 are",
        "Cl (3)",
        "band_gap",
        "8.700",
        &data.content_hash,
    ] {
        assert!(table.contains(part), "`{part}` is not in\n{table}");
    }
    let json = serde_json::to_string(&stats).unwrap();
    assert_eq!(serde_json::from_str::<DatasetStats>(&json).unwrap(), stats);
}

#[test]
fn splits_are_described_one_by_one_and_together() {
    let folder = tempdir().unwrap();
    let rows = |ids: &[&str]| -> Vec<Vec<String>> {
        ids.iter().map(|id| vec![(*id).to_owned(), cscl("Cs", "Cl", 4.12)]).collect()
    };
    for (split, ids) in [("train", &["a", "b", "c"][..]), ("val", &["d"]), ("test", &["e", "a"])] {
        let text = csv_text(&["material_id", "cif"], &rows(ids));
        put(folder.path(), &format!("{split}.csv"), text);
    }
    let splits = Splits::open(folder.path()).unwrap();
    let sets = splits.load_all(&plain()).unwrap();
    let stats = SplitStats::compute(splits.name(), sets, StatsOptions::default()).unwrap();
    let counts: Vec<(Split, usize)> = stats.splits.iter().map(|(split, s)| (*split, s.count)).collect();
    assert_eq!(counts, [(Split::Train, 3), (Split::Val, 1), (Split::Test, 2)]);
    assert_eq!((stats.whole.count, stats.whole.duplicates.ids, stats.whole.duplicates.identical), (6, 1, 5));
    assert_eq!(stats.to_string().matches("content hash").count(), 4);
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!((&json["splits"]["val"]["count"], &json["whole"]["count"]), (&1.into(), &6.into()));
}
