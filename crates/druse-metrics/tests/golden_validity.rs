//! Validity verdicts against the reference implementations, to the last structure.

use std::{collections::HashMap, path::Path};

use druse_crystal::{
    Composition, Element, Structure,
    formats::{Format, read_str},
};
use druse_metrics::validity::{self, CompositionRule, StructureRule};
use druse_testkit::reference::{crystal, field, golden, json, read_text, shared_dir, structure};
use serde_json::Value;

const RULES: [(&str, CompositionRule); 3] = [
    ("comp_valid", CompositionRule::Cdvae),
    ("comp_valid_smact402_smact14", CompositionRule::Smact14),
    ("comp_valid_smact402_icsd24", CompositionRule::Icsd24),
];

fn composition(record: &Value) -> Composition {
    let elements = field::<Vec<u8>>(record, "elems").into_iter().map(|z| Element::from_z(z).unwrap());
    Composition::from_counts(elements.zip(field::<Vec<u32>>(record, "counts")))
}

fn assert_composition_verdicts(record: &Value) {
    for (name, rule) in RULES {
        let c = composition(record);
        assert_eq!(validity::composition(&c, rule), record[name], "{} {c} {name}", record["id"]);
        // Amounts of a whole cell mean the same.
        assert_eq!(validity::composition(&c.multiplied(6).unwrap(), rule), record[name], "{c} {name}");
    }
}

#[test]
fn chosen_structures() {
    let (Some(records), Some(structures)) = (golden("validity.jsonl"), golden("structures.jsonl.gz")) else {
        return;
    };
    assert_eq!(records.len(), structures.len());
    for (record, given) in records.iter().zip(&structures) {
        assert_eq!(record["id"], given["id"]);
        assert_composition_verdicts(record);
        let s = structure(given);
        let v = validity::structure(&s);
        assert_eq!(v.is_valid(StructureRule::Cdvae), record["struct_valid"], "{}", record["id"]);
        assert_eq!(Composition::from_species(&s.species).reduced().0, composition(record));
        let close =
            |got: f64, want: f64| assert!((got - want).abs() < 2e-6, "{}: {got} {want}", record["id"]);
        close(v.min_distance_any(), field(given, "min_dist"));
        match (v.min_distance, field::<Option<f64>>(given, "min_dist_distinct_sites")) {
            (Some(got), Some(want)) => close(got, want),
            (got, want) => assert_eq!(got.is_some(), want.is_some(), "{}", record["id"]),
        }
    }
}

/// The structures of a data set's files that are here, by the identifier the golden files give them.
fn data_set(shared: &Path, folder: &str, prefix: &str) -> HashMap<String, Structure> {
    let mut found = HashMap::new();
    for split in ["train", "val", "test"] {
        let path = shared.join("data").join(folder).join(format!("{split}.csv.gz"));
        if !path.exists() {
            continue;
        }
        let text = read_text(&path);
        let mut rows = csv::Reader::from_reader(text.as_bytes());
        let headers = rows.headers().unwrap().clone();
        let column = |name| headers.iter().position(|h| h == name).unwrap();
        let (id, cif) = (column("material_id"), column("cif"));
        for row in rows.records() {
            let row = row.unwrap();
            let parsed = read_str(&row[cif], Format::Cif).unwrap();
            found.insert(format!("{prefix}:{}", &row[id]), parsed[0].structure.clone());
        }
    }
    found
}

#[test]
fn whole_test_sets() {
    let (Some(records), Some(shared)) = (golden("validity_test_sets.jsonl.gz"), shared_dir()) else { return };
    let rates = json(&shared.join("golden/rates.json"));
    for (prefix, folder, at_least) in
        [("perov_5", "perov_5", 900), ("carbon_24", "carbon_24", 500), ("mp_20_biternary", "mp_20_bt", 2400)]
    {
        let structures = data_set(&shared, folder, prefix);
        let (mut n, mut here, mut counts) = (0u64, 0, [0u64; 3]);
        for record in records.iter().filter(|r| r["id"].as_str().unwrap().starts_with(prefix)) {
            assert_composition_verdicts(record);
            let c = composition(record);
            let comp_valid = validity::composition(&c, CompositionRule::Cdvae);
            let id: String = field(record, "id");
            let struct_valid = match structures.get(&id) {
                Some(s) => {
                    here += 1;
                    assert_eq!(Composition::from_species(&s.species).reduced().0, c, "{id}");
                    assert_eq!(s.len(), field::<usize>(record, "n_sites"), "{id}");
                    let v = validity::structure(s);
                    if let Some(want) = field::<Option<f64>>(record, "min_dist_distinct_sites") {
                        assert!((v.min_distance.unwrap() - want).abs() < 2e-6, "{id}");
                    }
                    v.is_valid(StructureRule::Cdvae)
                }
                None => field(record, "struct_valid"),
            };
            assert_eq!(struct_valid, record["struct_valid"], "{id}");
            assert_eq!(comp_valid && struct_valid, record["valid"], "{id}");
            n += 1;
            for (sum, x) in counts.iter_mut().zip([comp_valid, struct_valid, comp_valid && struct_valid]) {
                *sum += u64::from(x);
            }
        }
        assert!(here >= at_least, "{prefix}: {here} structures");
        let part = &rates[prefix]["this_part"];
        assert_eq!(part["n"], n, "{prefix}");
        for (name, count) in ["comp_valid", "struct_valid", "valid"].into_iter().zip(counts) {
            assert_eq!(part["counts"][name], count, "{prefix} {name}");
        }
    }
}

#[test]
fn damaged_crystals() {
    for case in ["e2e_perov5", "e2e_carbon24", "e2e_mp20", "e2e_mp20_degraded"] {
        let Some(records) = golden(&format!("{case}.jsonl.gz")) else { return };
        for record in records {
            let species: Vec<Element> = field::<Vec<u8>>(&record, "atom_types")
                .into_iter()
                .map(|z| Element::from_z(z).unwrap())
                .collect();
            let c = Composition::from_species(&species);
            assert_eq!(validity::composition(&c, CompositionRule::Cdvae), record["comp_valid"], "{c}");
            let valid =
                crystal(&record).is_some_and(|s| validity::structure(&s).is_valid(StructureRule::Cdvae));
            assert_eq!(valid, record["struct_valid"], "{case} {} {}", record["id"], record["degraded"]);
        }
    }
}
