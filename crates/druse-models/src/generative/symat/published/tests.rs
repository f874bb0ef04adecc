//! Files of `parity/torch/make_fixtures.py`: the layers of the published code at tiny sizes, weights by a formula.

use burn::tensor::Device;
use druse_crystal::Element;
use druse_nn::Params;
use druse_nn::ops::matrix;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::published::fixtures::{check_weights, edited, file, path, without_checksums};
use crate::published::{Mismatch, lattice_scaler};

const FILE: &str = "symat.pth";

fn training() -> Training {
    Training { data_set: Some(Benchmark::Perov5), ..Training::default() }
}

fn read(file: &TorchFile) -> Result<PublishedModel<Symat>, PublishedError> {
    Symat::from_published(file, &SymatConfig::default(), lattice_scaler(Benchmark::Perov5))
}

fn mismatch(file: &TorchFile) -> Mismatch {
    match read(file) {
        Err(PublishedError::Mismatch { mismatch, .. }) => *mismatch,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the file was accepted"),
    }
}

#[test]
fn sizes_and_weights_come_from_the_file() {
    let read = read(&file(FILE)).unwrap();
    check_weights(read.model.parameters(), &read.weights, 1e-7);
    let config = read.model.config();
    assert_eq!((config.latent, config.head, config.max_atoms), (5, 7, 4));
    let e = &config.encoder;
    assert_eq!((e.hidden, e.interaction, e.output_embedding, e.blocks), (5, 3, 8, 1));
    assert_eq!((e.basis_distance, e.basis_angle, e.basis_torsion), (4, 2, 6));
    assert_eq!((e.num_spherical, e.num_radial, e.cutoff), (3, 5, 5.0));
    assert_eq!((e.before_skip, e.after_skip, e.output_layers), (1, 2, 3));
    let s = &config.score;
    assert_eq!((s.head, s.radius, s.neighbors), (7, 5.0, 5));
    let n = &s.network;
    assert_eq!((n.hidden, n.interaction, n.basis, n.blocks, n.num_radial), (6, 4, 3, 2, 7));
    assert_eq!((n.before_skip, n.after_skip), (1, 2));
    // The weights of the first messages and of those after the first of two rounds; a perceptron.
    let ignored: Vec<&str> = read.ignored.iter().flat_map(|g| &g.names).map(String::as_str).collect();
    let dropped =
        ["coordgen.backbone.init_e.lin_rbf_1.weight", "coordgen.backbone.update_es.0.lin_rbf.weight"];
    let perceptron = ["fc_prop.0.bias", "fc_prop.0.weight", "fc_prop.2.bias", "fc_prop.2.weight"];
    assert_eq!(ignored, [&dropped[..], &perceptron].concat());
}

#[test]
fn the_data_set_tells_the_rest() {
    let file = file(FILE);
    for (set, preset, norm, radius, temperature) in [
        (Benchmark::Perov5, "symat-perov-5", 1.78786, 4.0, 0.01),
        (Benchmark::Carbon24, "symat-carbon-24", 2.05813, 3.0, 1.0),
        (Benchmark::Mp20, "symat-mp-20", 3.11782, 5.0, 0.7),
    ] {
        let read = import(&file, &Training { data_set: Some(set), ..Training::default() }).unwrap();
        assert_eq!(read.preset, preset);
        let statistics = read.model.trainable().statistics();
        assert_eq!(statistics["score_norm"][49], norm, "{preset}");
        assert_eq!(statistics["lattice"]["mean"][0], lattice_scaler(set).mean[0]);
        let setting = |path: &str| {
            Value::from(read.settings.settings.clone()).pointer(path).and_then(Value::as_f64).unwrap()
        };
        assert_eq!((setting("/score/radius"), setting("/temperatures/lattice")), (radius, temperature));
        assert_eq!(setting("/max_atoms"), 4.0, "of the file");
    }
    let scaler = Some(crate::published::fixtures::file("lattice_scaler.pt"));
    let read = import(&file, &Training { lattice_scaler: scaler, ..training() }).unwrap();
    assert_eq!(read.model.trainable().statistics()["lattice"]["mean"][3], 86.75, "a file takes precedence");
}

#[test]
fn what_is_missing_or_not_wanted_is_said() {
    let message = |training| import(&file(FILE), &training).err().unwrap().to_string();
    assert!(message(Training::default()).contains("--dataset"));
    let property = Training { property: Some("gap".into()), ..training() };
    assert!(message(property).contains("no property"));
    let other = import(&file("lattice_scaler.pt"), &training()).err().unwrap().to_string();
    assert!(other.contains("no weights"), "{other}");
    let other = import(&file("cdvae.ckpt"), &training()).err().unwrap().to_string();
    assert!(
        other.contains("published symat model") && other.contains("coordgen.fc_score.0.weight"),
        "{other}"
    );
}

#[test]
fn every_missing_every_unexpected_and_every_other_tensor_is_named() {
    let found =
        mismatch(&edited(FILE, &[(b"fc_lattice.0.bias", b"fc_lattice.0.gain"), (b"fc_var", b"fc_log")]));
    assert_eq!(found.missing, ["fc_lattice.0.bias", "fc_var.bias", "fc_var.weight"]);
    assert_eq!(found.unexpected, ["fc_lattice.0.gain", "fc_log.bias", "fc_log.weight"]);
    assert!(found.different.is_empty(), "{:?}", found.different);
    // The last messages of the score network are not left out.
    let last = &b"coordgen.backbone.update_es.1.lin_rbf.weight"[..];
    let found = mismatch(&edited(FILE, &[(last, b"coordgen.backbone.update_es.1.lin_rbx.weight")]));
    assert_eq!(found.missing, ["coordgen.backbone.update_es.1.lin_rbf.weight"]);
    // Two biases of different lengths under each other's names.
    let (a, b, c) = (&b"fc_lattice.0.bias"[..], &b"fc_lattice.2.bias"[..], &b"fc_lattice.9.bias"[..]);
    let found = mismatch(&edited(FILE, &[(a, c), (b, a), (c, b)]));
    assert_eq!(
        found.different,
        ["fc_lattice.0.bias has shape [6], expected [7]", "fc_lattice.2.bias has shape [7], expected [6]"]
    );
}

#[test]
fn the_second_name_of_the_table_of_elements_has_to_hold_it() {
    let (alias, other) = (&b"elem_emb.weight"[..], &b"elem_enb.weight"[..]);
    let found = mismatch(&edited(FILE, &[(alias, other)]));
    assert_eq!(found.unexpected, ["elem_enb.weight"], "without the second name nothing is missing");
    assert!(found.missing.is_empty() && found.different.is_empty());
    // The same weights in half precision, the table without and with other numbers under its second name.
    let half = read(&file("symat_half.pt")).unwrap();
    check_weights(half.model.parameters(), &half.weights, 1e-3);
    let found = mismatch(&file("symat_untied.pt"));
    let text = "elem_emb.weight holds other numbers than encoder_backbone.init_e.emb.weight, whose second name it is";
    assert_eq!(found.different, [text]);
}

#[test]
fn heads_give_what_torch_gives() {
    let read = read(&file(FILE)).unwrap();
    let text = std::fs::read_to_string(path("symat_heads.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let rows = |name: &str| -> Vec<f32> {
        let rows = expected[name].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        rows.map(|x| x.as_f64().unwrap() as f32).collect()
    };
    let device = Device::flex();
    let params = Params::from_host(read.model.parameters(), &read.weights, &device);
    let (heads, latents) = (&read.model.heads, || matrix(rows("latents"), 5, &device));
    let elements: Vec<Element> = expected["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|z| Element::from_z(z.as_i64().unwrap()).unwrap())
        .collect();
    let embeddings = read.model.encoder.backbone.elements(&params, &elements);
    for (name, tensor) in [
        ("fc_elem_type_num", heads.num_elements(&params, latents())),
        ("fc_elem_type", heads.presence(&params, latents())),
        ("fc_elem_num", heads.num_atoms(&params, latents(), embeddings)),
        ("fc_lattice", heads.cell(&params, latents())),
    ] {
        let (found, expected) = (tensor.to_data().try_into_vec::<f32>().unwrap(), rows(name));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() < 1e-6, "{name}: {a}, torch has {b}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn damaged_checkpoints_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = without_checksums(std::fs::read(path(FILE)).unwrap());
        // The pickle lies at the beginning and decides most.
        for (k, (at, value)) in changes.into_iter().enumerate() {
            let end = if k % 2 == 0 { bytes.len().min(20_000) } else { bytes.len() };
            let at = at.index(end);
            bytes[at] = value;
        }
        if let Ok(file) = TorchFile::from_bytes(bytes, "damaged") {
            drop(import(&file, &training()));
        }
    }
}
