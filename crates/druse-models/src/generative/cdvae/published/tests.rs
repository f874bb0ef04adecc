//! Files of `parity/torch/make_fixtures.py`: the layers of the published code at tiny sizes, weights by a formula.

use burn::tensor::Device;
use druse_nn::Params;
use druse_nn::ops::matrix;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::published::fixtures::{self, check_weights, file, formula, path, without_checksums};
use crate::published::{Mismatch, read_scaler};

fn statistics(property: bool) -> PublishedStatistics {
    let lattice = read_scaler(&file("lattice_scaler.pt"), 6).unwrap();
    let scaler = || read_scaler(&file("prop_scaler.pt"), 1).unwrap();
    PublishedStatistics { lattice, property: property.then(|| ("energy".to_owned(), scaler())) }
}

fn import(file: &TorchFile) -> Result<PublishedModel<Cdvae>, PublishedError> {
    Cdvae::from_published(file, &CdvaeConfig::default(), statistics(true))
}

fn mismatch(file: &TorchFile) -> Mismatch {
    match import(file) {
        Err(PublishedError::Mismatch { mismatch, .. }) => *mismatch,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the file was accepted"),
    }
}

#[test]
fn sizes_weights_and_constants_come_from_the_file() {
    let read = import(&file("cdvae.ckpt")).unwrap();
    check_weights(read.model.parameters(), &read.weights, 1e-7);
    let config = read.model.config();
    assert_eq!((config.latent, config.head, config.max_atoms), (5, 7, 9));
    let e = &config.encoder;
    assert_eq!((e.hidden, e.interaction, e.basis, e.output_embedding, e.blocks), (6, 3, 4, 8, 1));
    assert_eq!((e.num_spherical, e.num_radial, e.before_skip, e.after_skip), (3, 5, 1, 2));
    assert_eq!((e.output_layers, e.cutoff), (3, 7.0));
    let d = &config.decoder;
    assert_eq!((d.hidden, d.triplet, d.basis, d.bilinear, d.blocks), (4, 6, 3, 5, 1));
    assert_eq!((d.num_radial, d.num_spherical, d.cutoff, d.neighbors), (7, 2, 7.0, 20));
    let factors = &d.scale_factors;
    assert_eq!((&factors.triplet_radial, &factors.triplet_sum), (&vec![18.5], &vec![7.75]));
    assert_eq!((&factors.atom_sum, &factors.edge_head), (&vec![1.125], &vec![11.25, 12.25]));
    assert!(read.warnings[0].contains("scale factors"), "{:?}", read.warnings);
    let noise = &config.noise;
    assert_eq!((noise.levels, noise.positions, noise.species), (13, [10.0, 0.01], [5.0, 0.01]));
    assert_eq!(config.property.as_deref(), Some("energy"));
    let statistics = &read.model.statistics;
    assert_eq!(statistics.lattice.mean, [2.4, 2.7, 3.6, 86.75, 84.5, 86.25].map(|x: f32| f64::from(x)));
    assert_eq!(statistics.property, Some(Standardizer { mean: vec![-1.25], std: vec![1.0625] }));
    // 1 + 7 layers under two names, the filter, the energy and the factor, in each of two blocks.
    let ignored: usize = read.ignored.iter().map(|group| group.names.len()).sum();
    assert_eq!((read.ignored.len(), ignored), (1, 2 * (2 * 7 + 3)));
}

#[test]
fn state_dictionaries_in_half_precision_are_read() {
    let half = file("cdvae_half.pt");
    assert!(!Cdvae::published_property_head(&half).unwrap());
    let read = Cdvae::from_published(&half, &CdvaeConfig::default(), statistics(false)).unwrap();
    check_weights(read.model.parameters(), &read.weights, 1e-3);
    assert_eq!(read.model.config().property, None);
}

#[test]
fn heads_give_what_torch_gives() {
    let read = import(&file("cdvae.ckpt")).unwrap();
    let text = std::fs::read_to_string(path("heads.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let rows = |name: &str| -> Vec<f32> {
        let rows = expected[name].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        rows.map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let device = Device::flex();
    let params = Params::from_host(read.model.parameters(), &read.weights, &device);
    let latents = matrix(rows("latents"), 5, &device);
    let found = read.model.aggregates(&params, &latents);
    let property = read.model.heads.property(&params, latents).unwrap();
    for (name, tensor) in [
        ("fc_num_atoms", found.num_atoms),
        ("fc_lattice", found.lattice),
        ("fc_composition", found.composition),
        ("fc_property", property),
    ] {
        let (found, expected) = (tensor.to_data().try_into_vec::<f32>().unwrap(), rows(name));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6, "{name}: {a}, torch has {b}");
        }
    }
}

fn edited(changes: &[(&[u8], &[u8])]) -> TorchFile {
    fixtures::edited("cdvae.ckpt", changes)
}

#[test]
fn every_missing_and_every_unexpected_tensor_is_named() {
    let found = mismatch(&edited(&[(b"fc_lattice.0.bias", b"fc_lattice.0.gain"), (b"fc_var", b"fc_log")]));
    assert_eq!(found.missing, ["fc_lattice.0.bias", "fc_var.bias", "fc_var.weight"]);
    assert_eq!(found.unexpected, ["fc_lattice.0.gain", "fc_log.bias", "fc_log.weight"]);
    assert!(found.different.is_empty(), "{:?}", found.different);
    let no_encoder = mismatch(&edited(&[(b"encoder.interaction_blocks", b"encoder.interaction_blacks")]));
    assert!(no_encoder.missing.iter().any(|name| name == "encoder.interaction_blocks.0.lin_down.weight"));
    assert!(no_encoder.unexpected.len() > 20, "{:?}", no_encoder.unexpected);
    let error = import(&edited(&[(b"scale_cbf_sum", b"scale_cbf_max")])).err().unwrap().to_string();
    assert!(error.contains("missing: decoder.gemnet.int_blocks.0.trip_interaction.scale_cbf_sum"), "{error}");
}

#[test]
fn other_shapes_and_constants_are_named() {
    // Two biases of different lengths under each other's names.
    let (a, b, c) = (&b"fc_lattice.0.bias"[..], &b"fc_lattice.2.bias"[..], &b"fc_lattice.9.bias"[..]);
    let found = mismatch(&edited(&[(a, c), (b, a), (c, b)]));
    assert_eq!(
        found.different,
        ["fc_lattice.0.bias has shape [6], expected [7]", "fc_lattice.2.bias has shape [7], expected [6]"]
    );
    let second = ((10f64.ln() * 11.0 + 0.01f64.ln()) / 12.0).exp() as f32;
    let [table, other] = [second, 6.0].map(|x| [10f32.to_le_bytes(), x.to_le_bytes()].concat());
    let found = mismatch(&edited(&[(&table, &other)]));
    assert_eq!(found.different, ["sigmas is not a geometric sequence of noise levels"]);
    let center = (1.0f32 / 6.0).to_le_bytes();
    let found = mismatch(&edited(&[(&center, &0.2f32.to_le_bytes())]));
    assert_eq!(found.different.len(), 2, "{:?}", found.different);
    assert!(found.different[0].contains("radial_basis.rbf.offset"), "{:?}", found.different);
    let weight = (formula("fc_mu.bias", &[5], 3) as f32).to_le_bytes();
    let found = mismatch(&edited(&[(&weight, &f32::NAN.to_le_bytes())]));
    assert_eq!(found.different, ["fc_mu.bias holds a number that is not finite in 32 bits"]);
}

#[test]
fn heads_and_properties_belong_together() {
    let base = CdvaeConfig::default();
    let error = Cdvae::from_published(&file("cdvae.ckpt"), &base, statistics(false)).err().unwrap();
    assert!(error.to_string().contains("no property is named"), "{error}");
    let error = Cdvae::from_published(&file("cdvae_half.pt"), &base, statistics(true)).err().unwrap();
    assert!(error.to_string().contains("no property head"), "{error}");
}

#[test]
fn other_files_are_no_scalers() {
    let error = read_scaler(&file("lattice_scaler.pt"), 1).unwrap_err().to_string();
    assert!(error.contains("6 numbers, expected 1"), "{error}");
    assert!(read_scaler(&file("cdvae.ckpt"), 6).is_err());
    let error = import(&file("lattice_scaler.pt")).err().unwrap().to_string();
    assert!(error.contains("no weights"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn damaged_checkpoints_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = without_checksums(std::fs::read(path("cdvae.ckpt")).unwrap());
        // The pickle lies at the beginning and decides most.
        for (k, (at, value)) in changes.into_iter().enumerate() {
            let end = if k % 2 == 0 { 30_000 } else { bytes.len() };
            let at = at.index(end);
            bytes[at] = value;
        }
        if let Ok(file) = TorchFile::from_bytes(bytes, "damaged") {
            drop(import(&file));
        }
    }
}
