//! The adversarial networks of CrysTens: reference evaluations, the contract of models, what they refuse, a few steps.

use druse_crystal::{Element, Lattice, Structure};
use druse_models::crystens::gan::{Gan, GanConfig};
use druse_models::crystens::wgan::{Wgan, WganConfig};
use druse_models::crystens::{CrystensSampling, ImageDecoding, ImageNormalization};
use druse_models::parity::{ParityError, compare, compare_beside};
use druse_models::registry::{Registry, preset_model};
use druse_models::{
    Batch, Conditions, MicroBatchLimit, ModelError, NoiseKey, SampleRequest, Trainable, TrainingPhase,
    evaluate, sample_all,
};
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_nn::{ParamSpec, Params};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototype;
use druse_testkit::reference::{golden_path, read_text};
use serde_json::Value;

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

/// Compares the outputs of a reference file whose names are chosen, unless there is no file here.
fn agrees(file: &str, chosen: impl Fn(&str) -> bool, outputs: usize) {
    let Some(path) = golden_path(&format!("crystens/{file}")) else { return };
    let beside = |name: &str| Ok(read_text(&path.with_file_name(name)));
    let mut head: Value = serde_json::from_str(&read_text(&path)).unwrap();
    head["outputs"].as_object_mut().unwrap().retain(|name, _| chosen(name));
    let report = compare_beside(&Registry::builtin(), &head.to_string(), &beside, &cpu()).unwrap();
    for o in &report.outputs {
        eprintln!("{:60} {:8} {:e}", o.name, o.values, o.relative);
    }
    for o in &report.outputs {
        assert!(o.relative < 5e-5, "{}: {:e}", o.name, o.relative);
    }
    assert_eq!((report.crystals, &report.skipped), (4, &Vec::new()));
    assert!(report.outputs.len() >= outputs, "{}", report.outputs.len());
}

/// Outputs of the GAN that take passes in double precision or one for every layer, which cost two minutes of a core.
const SLOW: [&str; 6] = [
    "generator_train_layers",
    "discriminator_train_real_layers",
    "discriminator_step_real",
    "discriminator_step_fake",
    "generator_step",
    "relative_change",
];

#[test]
fn the_gan_agrees_with_the_published_one() {
    agrees("gan.json.gz", |name| !SLOW.contains(&name), 7);
}

#[test]
#[ignore = "takes two minutes of a core; `druse parity` makes the same comparison"]
fn the_gan_agrees_in_training_with_the_published_one() {
    agrees("gan.json.gz", |name| SLOW.contains(&name), 12);
}

#[test]
fn the_wasserstein_gan_agrees_with_the_published_one() {
    agrees("wgan.json.gz", |_| true, 20);
}

#[test]
fn the_gan_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "crystens-gan").run();
    // No batch of the contract's trainer has a single structure.
    let structures = contract::standard().into_iter().chain(prototypes().into_iter().take(2)).collect();
    contract::generator(|| Gan::new(tiny_gan()).unwrap())
        .structures(structures)
        .skip(Check::Translation, "an image states coordinates as they are")
        .skip(
            Check::Gradient,
            "images of a fresh generator are nearly equal, and batch normalization makes the objective bend within any \
             step that rounding allows; the reference evaluations have the gradients in double precision",
        )
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

fn below(specs: &[ParamSpec], network: &str) -> usize {
    specs.iter().filter(|spec| spec.name.starts_with(network)).map(ParamSpec::len).sum()
}

/// The numbers of parameters that the published code counts, buffers included.
#[test]
fn presets_have_the_published_sizes() {
    let gan = Gan::new(preset_model("crystens-gan").unwrap()).unwrap();
    let specs = gan.parameters();
    assert_eq!((below(specs, "gen."), below(specs, "disc.")), (10_484_873, 21_479_822));
    let wgan = Wgan::new(preset_model("crystens-wgan").unwrap()).unwrap();
    let specs = wgan.parameters();
    assert_eq!((below(specs, "gen."), below(specs, "critic.")), (1_061_667, 508_562));
}

#[test]
fn structures_without_an_image_are_refused_and_named() {
    let mut model = Gan::new(tiny_gan()).unwrap();
    let sites: Vec<[f64; 3]> = (0..53).map(|k| [f64::from(k) / 53.0, 0.0, 0.0]).collect();
    let carbon = Element::from_symbol("C").unwrap();
    let large = Structure::new(Lattice::cubic(80.0).unwrap(), vec![carbon; 53], sites).unwrap();
    let small = prototype("NaCl");
    let reasons = model.unusable(&[&small, &large]);
    assert_eq!(reasons[0], None);
    assert!(reasons[1].as_ref().is_some_and(|r| r.contains("52 atoms")), "{reasons:?}");
    let error = model.fit_statistics(&[&small, &large]).unwrap_err();
    assert!(matches!(&error, ModelError::Unusable { reason, .. } if reason.contains("53")), "{error}");
    let error = model.fit_statistics(&[]).unwrap_err();
    assert!(error.to_string().contains("no structure"), "{error}");
    assert!(model.restore_statistics(&serde_json::json!({"normalization": 3})).is_err());
}

#[test]
fn normalizations_are_kept() {
    let all = prototypes();
    let all: Vec<&Structure> = all.iter().collect();
    let normalizations =
        [ImageNormalization::Fit, ImageNormalization::AvgStd, ImageNormalization::DivideNearMax];
    let statistics = normalizations.map(|normalization| {
        let mut model = Wgan::new(WganConfig { normalization, ..tiny_wgan() }).unwrap();
        model.fit_statistics(&all).unwrap();
        let statistics = model.statistics();
        let mut again = Wgan::new(tiny_wgan()).unwrap();
        again.restore_statistics(&statistics).unwrap();
        assert_eq!(again.statistics(), statistics);
        statistics["normalization"].clone()
    });
    assert!(statistics[0] != statistics[1] && statistics[1] != statistics[2], "{statistics:?}");
}

#[test]
fn configurations_and_batches_that_cannot_be_are_refused() {
    let refused = |config: GanConfig, words: &str| {
        let error = Gan::new(config).err().expect("refused").to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(GanConfig { generator: vec![3; 8], ..tiny_gan() }, "generator has 8");
    refused(GanConfig { discriminator: vec![0; 11], ..tiny_gan() }, "discriminator[0] = 0");
    refused(GanConfig { dropout: 1.0, ..tiny_gan() }, "dropout = 1");
    refused(GanConfig { generator_planes: vec![], ..tiny_gan() }, "expected 4");
    assert!(Wgan::new(WganConfig { critic_updates: 0, ..tiny_wgan() }).is_err());
    assert!(Wgan::new(WganConfig { penalty: -1.0, ..tiny_wgan() }).is_err());

    let mut model = Gan::new(tiny_gan()).unwrap();
    let crystal = prototype("NaCl");
    model.fit_statistics(&[&crystal]).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    let error = druse_models::differentiate(&model, &params, &[&crystal], &keys(1)).err().unwrap();
    assert!(error.to_string().contains("one structure"), "{error}");
    assert!(evaluate(&model, &params, &[&crystal], &keys(1)).unwrap().total.is_finite());
}

#[test]
fn a_generator_that_makes_one_image_has_collapsed() {
    let all = prototypes();
    let batch: Vec<&Structure> = all.iter().collect();
    let refused = |model: &mut dyn Trainable, generator: usize| {
        model.fit_statistics(&batch).unwrap();
        let limit = MicroBatchLimit::for_device(&cpu());
        let phase = &TrainingPhase::all(model).unwrap()[generator];
        let params = Params::init(model.parameters(), 3, &cpu());
        let of = |params: &Params| {
            let batch = Batch::new(model, batch.clone(), keys(all.len())).of_phase(phase);
            batch.differentiate(params, &limit).map(|gradient| gradient.norm.is_finite())
        };
        assert_eq!(of(&params), Ok(true));
        // Where nothing of the latent passes the normalizations, all images are the same.
        let gain = |spec: &ParamSpec| {
            let layer = spec.name.strip_prefix("gen.").and_then(|rest| rest.strip_suffix(".weight"));
            layer.is_some_and(|layer| layer.starts_with("bn") || layer.starts_with("ln"))
        };
        let without = params.specs().iter().zip(params.to_host());
        let without = without.map(|(s, v)| if gain(s) { vec![0.0; v.len()] } else { v });
        let params = Params::from_host(params.specs(), &without.collect::<Vec<_>>(), &cpu());
        let error = of(&params).unwrap_err();
        assert!(matches!(&error, ModelError::Collapsed(_)) && error.to_string().contains("same image"));
    };
    refused(&mut Gan::new(tiny_gan()).unwrap(), 2);
    refused(&mut Wgan::new(tiny_wgan()).unwrap(), 1);
}

/// Some steps of all phases.
fn trained(model: &dyn Trainable, steps: usize, lr: f64) -> Params {
    let all = prototypes();
    let limit = MicroBatchLimit::for_device(&cpu());
    let phases = TrainingPhase::all(model).unwrap();
    let mut params = Params::init(model.parameters(), 3, &cpu());
    let mut optimizers: Vec<Adam> =
        phases.iter().map(|phase| Adam::of_group(&params, &phase.group, AdamConfig::default())).collect();
    for step in 0..steps {
        for (phase, adam) in phases.iter().zip(&mut optimizers) {
            for repetition in 0..phase.phase.repetitions {
                let noise = keys(all.len()).into_iter().map(|key| {
                    NoiseKey { epoch: step as u64, ..key }.for_repetition(phase.index, repetition)
                });
                let batch = Batch::new(model, all.iter().collect(), noise.collect()).of_phase(phase);
                let mut gradient = batch.differentiate(&params, &limit).unwrap();
                assert!(gradient.norm.is_finite());
                params.apply_rewrites(&mut gradient.buffers);
                adam.step(&mut params, &gradient.grads, lr);
                params.apply_updates(gradient.buffers);
            }
        }
    }
    params
}

#[test]
fn spectral_normalization_rescales_both_networks() {
    let mut model = Wgan::new(tiny_wgan()).unwrap();
    let all = prototypes();
    model.fit_statistics(&all.iter().collect::<Vec<_>>()).unwrap();
    let params = trained(&model, 6, 1e-5);
    // After so many uses the largest singular value of a weight is near 1.
    for (spec, values) in model.parameters().iter().zip(params.to_host()) {
        if spec.name.ends_with(".weight") && spec.shape.len() == 5 {
            let last = spec.shape[4];
            let rows = nalgebra::DMatrix::from_row_slice(values.len() / last, last, &values);
            let largest = rows.singular_values().max();
            assert!((0.95..1.15).contains(&largest), "{}: {largest}", spec.name);
        }
    }
}

#[test]
fn samples_follow_from_seed_and_index() {
    let mut model = Gan::new(tiny_gan()).unwrap();
    let all = prototypes();
    model.fit_statistics(&all.iter().collect::<Vec<_>>()).unwrap();
    let params = trained(&model, 2, 1e-3);
    let requests: Vec<SampleRequest> =
        (0..3).map(|index| SampleRequest::new(Conditions::default(), 2, index)).collect();
    let plain = CrystensSampling { decoding: ImageDecoding::Default };
    let model = model.with_sampling(plain);
    let first = sample_all(&model, &params, &requests).unwrap();
    assert_eq!(sample_all(&model, &params, &requests[1..2]).unwrap(), first[1..2]);
    for error in first.iter().filter_map(|r| r.as_ref().err()) {
        assert!(matches!(error, ModelError::Output(_)), "{error}");
    }
    let with = Conditions::default().and_num_atoms(2);
    let refused = SampleRequest { conditions: with, ..requests[0].clone() };
    assert!(sample_all(&model, &params, &[refused]).is_err());
}

#[test]
fn parity_needs_the_crystals_beside_the_file() {
    let text = r#"{"config": {"network": "WGAN-GP"}, "inputs": {"structure_ids": ["a"], "latent": [[0.0]]}}"#;
    let error = compare(&Registry::builtin(), text, &cpu()).unwrap_err();
    assert!(matches!(&error, ParityError::Format(reason) if reason.contains("latents of 128")), "{error}");
    let text = r#"{"config": {"network": "WGAN-GP"}, "inputs": {"structure_ids": [], "latent": []}}"#;
    let error = compare(&Registry::builtin(), text, &cpu()).unwrap_err();
    assert!(error.to_string().contains("encoding.jsonl.gz"), "{error}");
}
