//! CHGNet against values of the published code.

#[allow(dead_code, reason = "shared by several files of tests")]
mod common;

use common::structure;
use druse_crystal::Structure;
use druse_nn::weights::WeightFile;
use druse_potential::CHGNet;
use druse_potential::chgnet::{Details, Weights};
use druse_potential::sevennet::Digits;
use druse_relax::{GIGAPASCAL, Potential};
use druse_testkit::reference::{field, golden_path, json};
use serde_json::Value;

/// Largest differences: energy (eV/atom), forces (eV/Å), stress (GPa), magnetic moments (Bohr magnetons).
type Errors = [f64; 4];

fn largest(a: impl IntoIterator<Item = f64>, b: impl IntoIterator<Item = f64>) -> f64 {
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn records(name: &str) -> Option<Vec<Value>> {
    let records: Vec<Value> =
        field(&json(&golden_path(&format!("surrogates/chgnet/{name}.json.gz"))?), "structures");
    assert!(!records.is_empty());
    Some(records)
}

fn errors(potential: &CHGNet, records: &[Value]) -> Errors {
    let crystals: Vec<Structure> = records.iter().map(structure).collect();
    let mut worst = [0.0_f64; 4];
    for (record, got) in records.iter().zip(potential.evaluate(&crystals)) {
        let got = got.unwrap_or_else(|e| panic!("{}: {e}", record["id"]));
        let energy: f64 = field(record, "energy_per_atom");
        let forces: Vec<[f64; 3]> = field(record, "forces");
        let stress: [[f64; 3]; 3] = field(record, "stress_gpa");
        let moments: Vec<f64> = field(record, "magmoms");
        assert_eq!(forces.len(), got.forces.len(), "{}", record["id"]);
        let found = [
            (energy - got.energy / forces.len() as f64).abs(),
            largest(forces.into_iter().flatten(), got.forces.into_iter().flatten()),
            largest(stress.into_iter().flatten(), got.stress.into_iter().flatten().map(|s| s * GIGAPASCAL)),
            largest(moments, got.magnetic_moments.unwrap()),
        ];
        assert!(found.iter().all(|x| x.is_finite()), "{}", record["id"]);
        worst = std::array::from_fn(|k| worst[k].max(found[k]));
    }
    worst
}

fn assert_within(found: Errors, bars: Errors, what: &str) {
    let [e, f, s, m] = found;
    eprintln!("{what}: {e:.1e} {f:.1e} {s:.1e} {m:.1e} eV/atom, eV/Å, GPa, µB; bars {bars:?}");
    assert!(found.iter().zip(bars).all(|(f, bar)| *f <= bar), "{what}: {found:?}, bars {bars:?}");
}

#[test]
fn in_64_bits_the_published_values() {
    let Some(records) = records("single_points") else { return };
    assert_eq!(records.len(), 40);
    let potential = CHGNet::new(&CHGNet::shipped_weights(), Digits::Double);
    assert_within(errors(&potential, &records), [1e-9, 1e-8, 1e-7, 1e-9], "64 bits");
}

#[test]
fn in_32_bits_the_published_values_within_its_rounding() {
    let Some(records) = records("single_points") else { return };
    assert_within(errors(&CHGNet::shipped(), &records), [5e-6, 3e-4, 1.5e-3, 1e-5], "32 bits");
}

#[test]
fn graphs_sites_and_crystal_features_are_the_published_ones() {
    let Some(records) = records("single_points") else { return };
    let potential = CHGNet::new(&CHGNet::shipped_weights(), Digits::Double);
    for record in &records {
        let id = &record["id"];
        let details = potential.details(&structure(record)).unwrap();
        assert_eq!(details.edges.len(), field::<usize>(record, "n_directed_edges"), "{id}");
        assert_eq!(details.radial.len(), field::<usize>(record, "n_undirected_edges"), "{id}");
        assert_eq!(details.angles.len(), field::<usize>(record, "n_angles"), "{id}");
        let atoms = details.site_energies.len() as f64;
        let reference = details.references.iter().sum::<f64>() / atoms;
        assert!((reference - field::<f64>(record, "reference_energy_per_atom")).abs() < 1e-9, "{id}");
        assert!(largest(details.site_energies, field::<Vec<f64>>(record, "site_energies")) < 1e-7, "{id}");
        let features: Vec<f64> = field(record, "crystal_feature");
        assert_eq!(features.len(), 64);
        assert!(largest(details.crystal_feature, features) < 1e-6, "{id}");
        assert!(largest(details.magnetic_moments, field::<Vec<f64>>(record, "magmoms")) < 1e-7, "{id}");
    }
}

/// Compares rows in any order: their number, the sums of their columns, and that the first ones are among them.
fn assert_rows(found: &[Vec<f64>], reference: &Value, what: &str) {
    if reference.is_null() {
        return;
    }
    assert_eq!(found.len(), field::<usize>(reference, "n_rows"), "{what}");
    for (column, sum) in field::<Vec<f64>>(reference, "column_sums").into_iter().enumerate() {
        let own: f64 = found.iter().map(|row| row[column]).sum();
        assert!((own - sum).abs() < 1e-5 * (1.0 + sum.abs()), "{what}, column {column}: {own} {sum}");
    }
    for row in field::<Vec<Vec<f64>>>(reference, "first_rows") {
        assert!(found.iter().any(|own| largest(own.clone(), row.clone()) < 1e-6), "{what}: {row:?}");
    }
}

fn assert_atoms(found: &[Vec<f64>], reference: &Value, what: &str) {
    let rows: Vec<Vec<f64>> = serde_json::from_value(reference.clone()).unwrap();
    assert_eq!(found.len(), rows.len());
    for (own, row) in found.iter().zip(rows) {
        assert!(largest(own.clone(), row) < 1e-6, "{what}");
    }
}

/// The flat numbers of atoms as rows.
fn rows(reference: &Value) -> Value {
    match reference.as_array() {
        Some(list) if list.iter().all(Value::is_number) => {
            Value::from(list.chunks(64).map(|row| Value::from(row.to_vec())).collect::<Vec<_>>())
        }
        _ => reference.clone(),
    }
}

fn check_features(details: &Details, features: &Value, id: &str) {
    assert_rows(&details.radial, &features["bond_basis_6A"], &format!("{id}: functions of 6 Å"));
    assert_rows(&details.short_radial, &features["bond_basis_3A"], &format!("{id}: functions of 3 Å"));
    assert_rows(&details.angular, &features["angle_basis"], &format!("{id}: functions of angles"));
    assert_rows(&details.atom_weights, &features["bond_weights_6A"], &format!("{id}: weights of 6 Å"));
    assert_rows(&details.bond_weights, &features["bond_weights_3A"], &format!("{id}: weights of 3 Å"));
    let start = &details.blocks[0];
    assert_atoms(&start.atoms, &rows(&features["atom_embedding"]), id);
    assert_rows(&start.bonds, &features["bond_embedding"], &format!("{id}: bonds"));
    assert_rows(&start.angles, &features["angle_embedding"], &format!("{id}: angles"));
    for (t, block) in details.blocks[1..].iter().enumerate() {
        assert_atoms(&block.atoms, &rows(&features[format!("atom_after_block{t}")]), id);
        assert_rows(&block.bonds, &features[format!("bond_after_block{t}")], &format!("{id}: bonds {t}"));
        assert_rows(&block.angles, &features[format!("angle_after_block{t}")], &format!("{id}: angles {t}"));
    }
    assert_eq!(details.blocks.len(), 5);
    assert_atoms(&details.atom_features, &rows(&features["atom_after_readout_norm"]), id);
}

#[test]
fn features_after_every_layer_are_the_published_ones() {
    let Some(records) = records("intermediate") else { return };
    let potential = CHGNet::new(&CHGNet::shipped_weights(), Digits::Double);
    for record in &records {
        let id = record["id"].as_str().unwrap();
        let details = potential.details(&structure(record)).unwrap();
        check_features(&details, &record["features"], id);
        let graph = &record["graph"];
        let mut edges: Vec<(usize, usize, [i32; 3])> =
            details.edges.iter().zip(&details.images).map(|(e, image)| (e[0], e[1], *image)).collect();
        let centers: Vec<usize> = field(graph, "edge_center");
        let others: Vec<usize> = field(graph, "edge_neighbor");
        let images: Vec<[i32; 3]> = field(graph, "edge_neighbor_image");
        // Sites are brought into the cell when a structure is made.
        let places: Vec<[f64; 3]> = field(&record["structure"], "frac_coords");
        let moved = |a: usize, b: usize, image: [i32; 3]| {
            std::array::from_fn(|k| image[k] + places[b][k].floor() as i32 - places[a][k].floor() as i32)
        };
        let ends = centers.into_iter().zip(others).zip(images);
        let mut wanted: Vec<_> = ends.map(|((a, b), image)| (a, b, moved(a, b, image))).collect();
        edges.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(edges, wanted, "{id}");
        assert_eq!(details.angles.len(), field::<usize>(graph, "n_angles"), "{id}");
    }
}

#[test]
fn shipped_weights_are_the_published_ones_bit_for_bit() {
    let Some(path) = golden_path("surrogates/chgnet/chgnet_0.3.0.safetensors") else { return };
    let published = WeightFile::read(&path).unwrap();
    let weights = CHGNet::shipped_weights();
    assert_eq!((weights.count(), published.tensors.len()), (412_525, 136));
    for (name, (shape, values)) in &published.tensors {
        let (own_shape, own) = &weights.file().tensors[name];
        assert_eq!(own_shape, shape, "{name}");
        assert!(own.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}");
    }
    // And are what is imported.
    let imported = Weights::from_tensors(published).unwrap();
    assert_eq!(imported.file().tensors, weights.file().tensors);
}
