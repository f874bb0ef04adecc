//! The adversarial networks of CrysTens: reference evaluations, the contract of models, what they refuse, a few steps.

use druse_crystal::{Element, Lattice, Structure};
use druse_models::crystens::gan::{Gan, GanConfig};
use druse_models::crystens::wgan::{Wgan, WganConfig};
use druse_models::crystens::{CrystensSampling, ImageDecoding, ImageNormalization};
use druse_models::parity::compare_beside;
use druse_models::registry::{Registry, preset_model};
use druse_models::{
    Batch, Conditions, Generator, MicroBatchLimit, ModelError, NoiseKey, SampleRequest, Trainable,
    TrainingPhase, differentiate, sample_all,
};
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_nn::{Params, Role};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototype;
use druse_testkit::reference::{golden_path, read_text};

fn tiny_gan() -> GanConfig {
    GanConfig {
        latent: 5,
        generator: vec![3, 2, 2, 2, 2, 2, 2, 2, 2],
        generator_planes: vec![vec![], vec![3], vec![], vec![2]],
        discriminator: vec![2, 1, 1, 1, 2, 1, 1, 1, 2, 3, 4],
        discriminator_plane: vec![2],
        ..GanConfig::default()
    }
}

fn tiny_wgan() -> WganConfig {
    WganConfig {
        latent: 5,
        generator: vec![3, 2, 2, 2, 2, 2, 2, 2, 2],
        critic: vec![2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4, 5],
        critic_updates: 2,
        ..WganConfig::default()
    }
}

fn prototypes() -> Vec<Structure> {
    ["CsCl", "NiAl", "ZnS", "SrTiO3", "NaCl", "quartz", "diamond", "KNbO3"].map(prototype).into()
}

fn keys(n: usize) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 5, epoch: 0, index }).collect()
}

/// Compares a reference file, unless there is none here.
fn agrees(file: &str, outputs: usize) {
    let Some(path) = golden_path(&format!("crystens/{file}")) else { return };
    let beside = |name: &str| Ok(read_text(&path.with_file_name(name)));
    let report = compare_beside(&Registry::builtin(), &read_text(&path), &beside, &cpu()).unwrap();
    for o in &report.outputs {
        eprintln!("{:60} {:8} {:e}", o.name, o.values, o.relative);
    }
    for o in &report.outputs {
        assert!(o.relative < 5e-5, "{}: {:e}", o.name, o.relative);
    }
    assert_eq!((report.crystals, &report.skipped), (4, &Vec::new()));
    assert!(report.outputs.len() >= outputs, "{}", report.outputs.len());
}

#[test]
fn the_gan_agrees_with_the_published_one() {
    agrees("gan.json.gz", 20);
}

#[test]
fn the_wasserstein_gan_agrees_with_the_published_one() {
    agrees("wgan.json.gz", 20);
}

#[test]
fn the_gan_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "crystens-gan").run();
    contract::generator(|| Gan::new(tiny_gan()).unwrap())
        .skip(Check::Translation, "an image states coordinates as they are")
        .run();
}

#[test]
fn the_wasserstein_gan_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "crystens-wgan").run();
    contract::generator(|| Wgan::new(tiny_wgan()).unwrap())
        .skip(Check::Translation, "an image states coordinates as they are")
        .skip(Check::Gradient, "published: nothing flows through the division by the singular value")
        .run();
}
