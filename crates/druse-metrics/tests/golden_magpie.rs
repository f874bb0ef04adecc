//! Magpie features against matminer.

use druse_crystal::{Composition, Element};
use druse_metrics::fingerprint::magpie;
use druse_testkit::reference::{field, golden};
use serde_json::Value;
use std::collections::BTreeMap;

fn assert_features(what: &Value, c: &Composition, want: &[Option<f64>]) {
    let got = magpie::features(c);
    assert_eq!(want.len(), magpie::LEN);
    for ((got, want), label) in got.iter().zip(want).zip(magpie::labels()) {
        match want {
            Some(want) => {
                let close = (got - want).abs() <= 1e-6 * want.abs().max(1e-3);
                assert!(close, "{what} {c} {label}: {got} against {want}");
            }
            None => assert!(got.is_nan(), "{what} {c} {label}: {got} against none"),
        }
    }
}

#[test]
fn chosen_structures() {
    let Some(records) = golden("magpie.jsonl.gz") else { return };
    for record in records {
        let amounts: BTreeMap<String, f64> = field(&record, "composition");
        let c = Composition::from_counts(
            amounts.iter().map(|(s, n)| (Element::from_symbol(s).unwrap(), *n as u32)),
        );
        assert_features(&record["id"], &c, &field::<Vec<Option<f64>>>(&record, "features"));
    }
}

#[test]
fn end_to_end_cases() {
    for case in ["e2e_perov5", "e2e_carbon24", "e2e_mp20", "e2e_mp20_degraded"] {
        let Some(records) = golden(&format!("{case}.jsonl.gz")) else { return };
        for record in records.iter().filter(|r| !r["comp_fp"].is_null()) {
            let species: Vec<Element> = field::<Vec<u8>>(record, "atom_types")
                .into_iter()
                .map(|z| Element::from_z(z).unwrap())
                .collect();
            let c = Composition::from_species(&species);
            assert_features(&record["id"], &c, &field::<Vec<Option<f64>>>(record, "comp_fp"));
        }
    }
}
