//! The public data sets of the shared folder, read whole.

mod common;

use common::plain;
use druse_data::{DatasetStats, LoadOptions, Split, Splits, StatsOptions, load};
use druse_testkit::reference::{json_lines, shared_dir};

/// Set and rows of train, val, test, as the data's README states them.
const SETS: [(&str, [usize; 3]); 4] = [
    ("perov_5", [3400, 387, 1892]),
    ("carbon_24", [1830, 202, 1015]),
    ("mp_20_bt", [9500, 758, 2000]),
    ("mpts_52", [9191, 500, 2000]),
];

#[test]
fn every_row_of_every_set_loads() {
    let Some(shared) = shared_dir() else { return };
    let options = LoadOptions { niggli: false, max_skipped_share: 1.0, ..plain() };
    for (name, rows) in SETS {
        let splits = Splits::open(&shared.join("data").join(name)).unwrap();
        assert_eq!(splits.available(), Split::ALL);
        for (split, rows) in Split::ALL.into_iter().zip(rows) {
            let data = splits.load(split, &options).unwrap();
            assert!(
                data.skipped.is_empty(),
                "{name} {split}: {} skipped, {}",
                data.skipped.len(),
                data.skipped[0]
            );
            assert_eq!(data.len(), rows, "{name} {split}");
            assert_eq!(data.name, format!("{name}/{split}"));
        }
    }
}

#[test]
fn columns_of_mp_20_bt_have_their_types() {
    let Some(shared) = shared_dir() else { return };
    let data = load(&shared.join("data/mp_20_bt/val.csv.gz"), &plain()).unwrap();
    let first = &data.entries[0];
    assert_eq!(first.id, "mp-20332");
    assert_eq!(first.structure.len(), 9);
    assert_eq!(first.structure.properties["pretty_formula"], "GdMgPd");
    assert_eq!(first.structure.properties["elements"], "['Gd', 'Mg', 'Pd']");
    assert_eq!(first.structure.properties["formation_energy_per_atom"], -0.6840024999999998);
    assert_eq!(first.structure.properties["spacegroup.number"], 189.0);
    assert!(data.property_names().values().all(|&n| n == data.len()), "{:?}", data.property_names());
}

#[test]
fn reduced_cells_are_those_of_the_reference() {
    let Some(shared) = shared_dir() else { return };
    let read = |name: &str| load(&shared.join("golden").join(name), &plain());
    // Objects with a `cif` member: JSON Lines are a data set too.
    let data = read("structures.jsonl.gz").unwrap();
    assert_eq!((data.len(), data.skipped.len()), (250, 0));
    let references = json_lines(&shared.join("golden/niggli.jsonl.gz"));
    for (entry, reference) in data.entries.iter().zip(&references) {
        assert_eq!(reference["id"], entry.id.as_str());
        let expected = reference["niggli_params_exact"].as_array().unwrap();
        for (got, expected) in entry.structure.lattice.parameters().iter().zip(expected) {
            let expected = expected.as_f64().unwrap();
            assert!((got - expected).abs() < 1e-4 * expected, "{}: {got} against {expected}", entry.id);
        }
    }
}

#[test]
fn space_groups_agree_with_the_tables_column() {
    let Some(shared) = shared_dir() else { return };
    let data = load(&shared.join("data/mp_20_bt/val.csv.gz"), &plain()).unwrap();
    let stats = DatasetStats::compute(&data, StatsOptions::default()).unwrap();
    assert_eq!(stats.count, 758);
    assert_eq!(stats.space_groups.iter().map(|g| g.count).sum::<usize>() + stats.space_group_failures, 758);
    assert_eq!(stats.atoms_histogram.values().sum::<usize>(), 758);
    assert!(stats.atoms.max <= 20.0 && stats.element_counts.keys().all(|n| (1..=3).contains(n)));
    // The column was made with another tolerance and program version, so single structures differ.
    let mut column = std::collections::BTreeMap::new();
    for entry in &data.entries {
        *column
            .entry(entry.structure.properties["spacegroup.number"].as_f64().unwrap() as u16)
            .or_insert(0usize) += 1;
    }
    let common: usize =
        stats.space_groups.iter().map(|g| g.count.min(column.get(&g.number).copied().unwrap_or(0))).sum();
    assert!(common as f64 > 0.97 * 758.0, "only {common} of 758 in common");
}
