//! Fréchet distances of given vectors against reference values.

use std::collections::BTreeMap;

use druse_metrics::distribution::frechet_distance;
use druse_metrics::features::Features;
use druse_metrics::generation::{Population, embedding_metric};
use druse_testkit::reference::{field, golden_path, json};
use serde_json::Value;

#[test]
fn distances_of_activations_agree() {
    let Some(path) = golden_path("surrogates/cgcnn/golden.json.gz") else { return };
    let frechet = &json(&path)["frechet"];
    let sets: BTreeMap<String, BTreeMap<String, Value>> = field(frechet, "sets");
    let pairs: Vec<BTreeMap<String, Value>> = field(frechet, "pairs");
    let rows = |set: &str, column: &str| -> Vec<Vec<f64>> {
        serde_json::from_value(sets[set][column].clone()).unwrap()
    };
    let softplus = |rows: Vec<Vec<f64>>| -> Vec<Vec<f64>> {
        rows.into_iter().map(|row| row.into_iter().map(|x| x.exp().ln_1p()).collect()).collect()
    };
    assert!(!pairs.is_empty());
    for pair in &pairs {
        let names: [String; 2] = serde_json::from_value(pair["sets"].clone()).unwrap();
        let columns = [
            ("fd_penultimate_32", "penultimate", false),
            ("fd_pooled_64", "pooled", false),
            ("fd_pooled_softplus_64", "pooled", true),
        ];
        for (key, column, activated) in columns {
            let [a, b] = names.each_ref().map(|set| {
                let rows = rows(set, column);
                if activated { softplus(rows) } else { rows }
            });
            let reference = pair[key].as_f64().unwrap();
            let features = |rows: &[Vec<f64>]| Features::from_rows(rows).unwrap();
            let found = frechet_distance(&features(&a), &features(&b)).unwrap();
            assert!((found / reference - 1.0).abs() < 1e-6, "{key} of {names:?}: {found} {reference}");
            let members: Vec<usize> = (0..a.len()).collect();
            let [a, b] = [a, b].map(|rows| rows.into_iter().map(Ok).collect::<Vec<_>>());
            let metric = embedding_metric("cgcnn", "", (&a, Population::All, &members), &b);
            assert_eq!(metric.value, Some(found));
        }
    }
}
