//! CGCNN with its published weights against reference values.

use std::path::PathBuf;

use druse_crystal::Structure;
use druse_models::Predictor;
use druse_models::Trainable;
use druse_models::property::cgcnn::{CgcnnConfig, CgcnnEdges, CgcnnPredictor, nearest_edges};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::weights::torch::TorchFile;
use druse_testkit::reference::{field, golden_path, json, structure};
use serde_json::Value;

const NETWORKS: [&str; 3] = ["formation-energy-per-atom", "band-gap", "final-energy-per-atom"];

fn path(file: &str) -> Option<PathBuf> {
    golden_path(&format!("surrogates/cgcnn/{file}"))
}

fn read(file: &str) -> (CgcnnPredictor, Params) {
    let file = TorchFile::read(&path(file).unwrap()).unwrap();
    let read = CgcnnPredictor::from_published(&file, &CgcnnConfig::default()).unwrap();
    let params = Params::from_host(read.model.parameters(), &read.weights, &cpu());
    (read.model, params)
}

/// Largest difference over the largest reference value.
fn relative(ours: &[f64], reference: &[f64]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let scale = reference.iter().fold(0f64, |m, x| m.max(x.abs()));
    ours.iter().zip(reference).fold(0f64, |m, (a, b)| m.max((a - b).abs())) / scale
}

fn host(t: &burn::tensor::Tensor<2>) -> Vec<f64> {
    t.to_data().try_into_vec::<f32>().unwrap().into_iter().map(f64::from).collect()
}

fn records() -> Option<Vec<Value>> {
    Some(field(&json(&path("golden.json.gz")?), "structures"))
}

fn crystal(record: &Value) -> Structure {
    structure(&record["structure"])
}

fn edges(record: &Value) -> CgcnnEdges {
    let (neighbors, distances): (Vec<Vec<u32>>, _) =
        (field(record, "neighbour_index"), field::<Vec<Vec<f64>>>(record, "neighbour_distance"));
    CgcnnEdges::from_lists(&neighbors, &distances).unwrap()
}

#[test]
fn networks_agree_on_the_given_neighbors() {
    let Some(records) = records() else { return };
    for network in NETWORKS {
        let (model, params) = read(&format!("{network}.safetensors"));
        let mut worst = 0f64;
        for record in &records {
            let crystal = crystal(record);
            let input = model.network().input(&[&crystal], &[edges(record)]).unwrap();
            let trace = model.network().trace(&params, &input);
            let expected = &record["outputs"][network];
            let (mean, std) = {
                let statistics = &model.statistics()["property"];
                (statistics["mean"][0].as_f64().unwrap(), statistics["std"][0].as_f64().unwrap())
            };
            let raw = host(&trace.output);
            let prediction = raw[0] * std + mean;
            // Energies per atom are some eV; a prediction near zero is no smaller a scale.
            let reference: f64 = field(expected, "prediction");
            let found = [
                (raw[0] - field::<f64>(expected, "raw")).abs(),
                (prediction - reference).abs(),
                relative(&host(&trace.pooled), &field::<Vec<f64>>(expected, "pooled")),
                relative(&host(&trace.penultimate), &field::<Vec<f64>>(expected, "penultimate")),
            ];
            worst = found.into_iter().fold(worst, f64::max);
            // Where a network goes far beyond its data, an activation is the exponential of a large negative number.
            let limits = [1e-5, 1e-5, 1e-5, 1e-4];
            let within = found.iter().zip(limits).all(|(x, limit)| *x < limit);
            assert!(within, "{network} {}: {found:?}", record["id"]);
            if let Some(layers) = record.get("layers_formation_energy").filter(|_| network == NETWORKS[0]) {
                let layers: Vec<Vec<Vec<f64>>> = serde_json::from_value(layers.clone()).unwrap();
                assert_eq!(layers.len(), trace.atoms.len());
                for (ours, reference) in trace.atoms.iter().zip(layers) {
                    assert!(relative(&host(ours), &reference.concat()) < 1e-5);
                }
            }
        }
        eprintln!("{network}: largest difference {worst:.1e}");
    }
}

#[test]
fn original_checkpoints_are_the_converted_ones() {
    if records().is_none() {
        return;
    }
    for network in NETWORKS {
        let (a, weights) = read(&format!("{network}.safetensors"));
        let (b, original) = read(&format!("{network}.pth.tar"));
        assert_eq!(weights.to_host(), original.to_host());
        let numbers = |model: &CgcnnPredictor| model.statistics()["property"]["std"][0].as_f64().unwrap();
        assert!((numbers(&a) - numbers(&b)).abs() < 1e-12);
        assert_eq!(a.config(), b.config());
    }
}

#[test]
fn neighbors_are_those_of_the_reference_where_nothing_ties() {
    let Some(records) = records() else { return };
    let mut compared = 0;
    for record in &records {
        let (crystal, expected) = (crystal(record), edges(record));
        let ours = nearest_edges(&crystal, 12, 8.0).unwrap();
        // Ties within the list may come in any order.
        let sorted = |edges: &CgcnnEdges| {
            let mut rows: Vec<(u32, u32, i64)> = (0..edges.len())
                .map(|e| (edges.center[e], edges.neighbor[e], (edges.distance[e] * 1e6).round() as i64))
                .collect();
            rows.sort_by_key(|&(i, j, d)| (i, d / 10, j, d));
            rows
        };
        if record["tied_at_12"] == Value::Bool(false) {
            assert!(ours.weight.iter().all(|&w| w == 1.0));
            let (ours, expected) = (sorted(&ours), sorted(&expected));
            assert_eq!(ours.len(), expected.len());
            let pairs = |rows: &[(u32, u32, i64)]| {
                let mut pairs: Vec<(u32, u32)> = rows.iter().map(|r| (r.0, r.1)).collect();
                pairs.sort_unstable();
                pairs
            };
            assert_eq!(pairs(&ours), pairs(&expected), "{}", record["id"]);
            compared += 1;
        }
        let lengths = |edges: &CgcnnEdges| -> f64 {
            edges.distance.iter().zip(&edges.weight).map(|(d, &w)| d * f64::from(w)).sum()
        };
        assert!(
            (lengths(&ours) - lengths(&expected)).abs() < 1e-5 * expected.len() as f64,
            "{}",
            record["id"]
        );
    }
    assert!(compared > 5);
}

#[test]
fn predictions_agree_within_the_spread_of_ties() {
    let Some(records) = records() else { return };
    for network in NETWORKS {
        let (model, params) = read(&format!("{network}.safetensors"));
        for record in &records {
            let ours = model.predict(&params, &[&crystal(record)]).unwrap()[0];
            let reference: f64 = field(&record["outputs"][network], "prediction");
            let spread = record["tie_spread"][network].as_f64().unwrap_or(0.0);
            let difference = (ours - reference).abs();
            assert!(difference < 1e-5 + spread, "{network} {}: {difference:e}, {spread:e}", record["id"]);
        }
    }
}
