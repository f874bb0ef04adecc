//! SevenNet against values of the published code.

#[allow(dead_code, reason = "shared by several files of tests")]
mod common;

use std::path::Path;

use common::recorded;
use druse_crystal::Structure;
use druse_nn::weights::WeightFile;
use druse_nn::weights::torch::TorchFile;
use druse_potential::SevenNet;
use druse_potential::sevennet::{Digits, Radial, Weights, published};
use druse_relax::{GIGAPASCAL, Potential};
use druse_testkit::reference::{field, golden_path, json};
use serde_json::Value;

/// Largest differences: energy (eV/atom), forces (eV/Å), stress (GPa).
type Errors = [f64; 3];

fn largest(a: impl Iterator<Item = f64>, b: impl Iterator<Item = f64>) -> f64 {
    a.zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn errors(potential: &SevenNet, records: &[Value]) -> Errors {
    let crystals: Vec<Structure> = records.iter().map(recorded).collect();
    let mut worst = [0.0_f64; 3];
    for (record, got) in records.iter().zip(potential.evaluate(&crystals)) {
        let (got, wanted) = (got.unwrap_or_else(|e| panic!("{}: {e}", record["id"])), &record["f64"]);
        let energy: f64 = field(wanted, "energy");
        let forces: Vec<[f64; 3]> = field(wanted, "forces");
        let stress: [[f64; 3]; 3] = field(wanted, "stress_gpa");
        assert_eq!(forces.len(), got.forces.len(), "{}", record["id"]);
        let found = [
            (energy - got.energy).abs() / forces.len() as f64,
            largest(forces.into_iter().flatten(), got.forces.into_iter().flatten()),
            largest(stress.into_iter().flatten(), got.stress.into_iter().flatten().map(|s| s * GIGAPASCAL)),
        ];
        assert!(found.iter().all(|x| x.is_finite()), "{}", record["id"]);
        worst = std::array::from_fn(|k| worst[k].max(found[k]));
    }
    worst
}

fn records(name: &str) -> Option<Vec<Value>> {
    let records: Vec<Value> = field(&json(&golden_path(name)?), "structures");
    assert!(!records.is_empty());
    Some(records)
}

fn assert_within(found: Errors, bars: Errors, what: &str) {
    eprintln!("{what}: {:.1e} {:.1e} {:.1e} eV/atom, eV/Å, GPa; bars {bars:?}", found[0], found[1], found[2]);
    assert!(found.iter().zip(bars).all(|(f, bar)| *f <= bar), "{what}: {found:?}, bars {bars:?}");
}

#[test]
fn in_64_bits_with_the_networks_the_published_values() {
    let Some(records) = records("sevennet/static.json.gz") else { return };
    assert_eq!(records.len(), 47);
    let potential = SevenNet::new(&SevenNet::shipped_weights(), Radial::Exact, Digits::Double);
    assert_within(errors(&potential, &records), [1e-10; 3], "64 bits, networks");
}

#[test]
fn in_32_bits_the_published_values_within_its_rounding() {
    let Some(records) = records("sevennet/static.json.gz") else { return };
    let weights = SevenNet::shipped_weights();
    let networks = SevenNet::new(&weights, Radial::Exact, Digits::Single);
    assert_within(errors(&networks, &records), [4e-6, 5e-5, 1e-4], "32 bits, networks");
    assert_within(errors(&SevenNet::shipped(), &records), [4e-6, 6e-5, 1e-4], "32 bits, tables");
}

#[test]
fn shorter_pieces_of_tables_are_as_exact_as_stated() {
    let Some(records) = records("sevennet/static.json.gz") else { return };
    let weights = SevenNet::shipped_weights();
    for (step, bars) in [
        (0.05, [1e-5, 3e-3, 6e-3]),
        (0.025, [1e-6, 3e-4, 1e-3]),
        (0.0125, [3e-8, 3e-5, 1e-4]),
        (0.00625, [3e-9, 3e-6, 2e-5]),
    ] {
        let potential = SevenNet::new(&weights, Radial::Tables { step }, Digits::Double);
        assert_within(errors(&potential, &records), bars, &format!("pieces of {step} Å"));
    }
}

#[test]
fn shipped_weights_are_the_published_ones_bit_for_bit() {
    let Some(path) = golden_path("sevennet/weights.safetensors") else { return };
    let published = WeightFile::read(&path).unwrap();
    let weights = SevenNet::shipped_weights();
    assert_eq!(weights.count(), 842_623);
    for (name, (_, values)) in &weights.file().tensors {
        let wanted: Vec<u32> = published.tensors[name].1.iter().map(|x| x.to_bits()).collect();
        assert_eq!(values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), wanted, "{name}");
    }
    // What is left out is empty, constant, or made again: coefficients, masks.
    let left_out = published.tensors.iter().filter(|(name, _)| !weights.file().tensors.contains_key(*name));
    for (name, (_, values)) in left_out {
        let constant = ["_w3j_", "output_mask"].iter().any(|part| name.contains(part))
            || values.iter().all(|&x| x == 1.0);
        assert!(constant, "{name}");
    }
}

/// The checkpoint that a variable of the environment names, which is not part of the reference data: it is in the wheel of
/// the published code.
fn checkpoint(variable: &str, name: &str) -> Option<Weights> {
    let Some(path) = std::env::var_os(variable) else {
        eprintln!("skipped: {variable} names no checkpoint");
        return None;
    };
    let file = TorchFile::read(Path::new(&path)).unwrap();
    assert!(published::is_checkpoint(&file));
    Some(published::import(&file, name).unwrap())
}

#[test]
fn the_published_checkpoint_gives_the_shipped_weights() {
    let Some(weights) = checkpoint("DRUSE_SEVENNET_0", "sevennet") else { return };
    let shipped = SevenNet::shipped_weights();
    assert_eq!(weights.config(), shipped.config());
    assert_eq!(weights.file().tensors, shipped.file().tensors);
}

#[test]
fn l3i5_is_the_same_code() {
    let Some(records) = records("sevennet/static_l3i5.json.gz") else { return };
    let Some(weights) = checkpoint("DRUSE_SEVENNET_L3I5", "sevennet-l3i5") else { return };
    assert_eq!(weights.config().channels, [128, 64, 32, 32]);
    let wide = SevenNet::new(&weights, Radial::Exact, Digits::Double);
    assert_within(errors(&wide, &records), [1e-10; 3], "l3i5 in 64 bits");
    let narrow = SevenNet::new(&weights, Radial::default(), Digits::Single);
    assert_within(errors(&narrow, &records), [4e-6, 1e-4, 1e-4], "l3i5 in 32 bits");
}
