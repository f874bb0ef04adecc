//! The cascade of diffusion models of images: the contract of models, what it refuses, learning, sampling, agreement with
//! the published networks.

use druse_crystal::{Lattice, Structure};
use druse_models::crystens::ImageDecoding;
use druse_models::crystens::diffusion::{
    CrystensDiffusion, DiffusionConfig, DiffusionSampling, LossWeight, Trained, UnetSizes,
};
use druse_models::parity::{self, ParityReport};
use druse_models::registry::{Registry, preset_model};
use druse_models::{
    Batch, Conditions, Generator, MicroBatchLimit, ModelError, NoiseKey, SampleRequest, Trainable,
    TrainingPhase, sample_all,
};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototype;
use druse_testkit::reference::{golden_path, read_text};

fn tiny() -> DiffusionConfig {
    DiffusionConfig {
        base: UnetSizes {
            dim: 4,
            multipliers: vec![1, 2, 2],
            blocks: vec![1, 1, 1],
            self_attention: vec![false, false, true],
            cross_attention: vec![false, false, true],
            linear_attention: false,
            heads: 2,
            head_width: 4,
            groups: 2,
            kernels: vec![3],
            ..UnetSizes::base()
        },
        upsampler: UnetSizes {
            dim: 4,
            multipliers: vec![1, 2, 2],
            blocks: vec![1, 1, 1],
            heads: 2,
            head_width: 4,
            groups: 2,
            kernels: vec![3],
            ..UnetSizes::upsampler()
        },
        ..DiffusionConfig::default()
    }
}

fn sampled_in(steps: usize) -> DiffusionSampling {
    DiffusionSampling {
        base_steps: steps,
        upsampler_steps: steps,
        decoding: ImageDecoding::Default,
        ..DiffusionSampling::default()
    }
}

fn built(training: &[&Structure]) -> (CrystensDiffusion, Params) {
    let mut model = CrystensDiffusion::new(tiny()).unwrap().with_sampling(sampled_in(2)).unwrap();
    model.fit_statistics(training).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    (model, params)
}

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "crystens-diffusion").run();
    contract::generator(|| CrystensDiffusion::new(tiny()).unwrap().with_sampling(sampled_in(2)).unwrap())
        .skip(Check::Translation, "an image holds the coordinates of the atoms, which depend on the origin")
        .skip(
            Check::Samples,
            "an image that was drawn by a network without training need not be that of a crystal",
        )
        .run();
}

#[test]
fn published_and_small_sizes_are_presets() {
    let published: DiffusionConfig = preset_model("crystens-diffusion").unwrap();
    assert_eq!(published.base, UnetSizes::base());
    assert_eq!(published.upsampler, UnetSizes::upsampler());
    assert_eq!(published.loss_weight, LossWeight::P2);
    let count = |config| {
        let model = CrystensDiffusion::new(config).unwrap();
        model.parameters().iter().map(druse_nn::ParamSpec::len).sum::<usize>()
    };
    assert_eq!(count(published), 263_014_815 + 721_083_714);
    let small = count(preset_model("crystens-small-diffusion").unwrap());
    assert!((1_000_000..4_000_000).contains(&small), "{small}");
}

#[test]
fn each_network_learns_its_noise() {
    let crystal = prototype("SrTiO3");
    let (model, mut params) = built(&[&crystal]);
    let batch = vec![&crystal; 4];
    let keys: Vec<NoiseKey> = (0..4).map(|index| NoiseKey { seed: 1, epoch: 0, index }).collect();
    let limit = MicroBatchLimit::for_device(&cpu());
    for phase in TrainingPhase::all(&model).unwrap() {
        let mut adam = Adam::of_group(&params, &phase.group, AdamConfig::default());
        let gradient = |params: &Params| {
            let batch = Batch::new(&model, batch.clone(), keys.clone()).of_phase(&phase);
            batch.differentiate(params, &limit).unwrap()
        };
        // A network that predicts nothing errs by the noise itself: by the mean weight.
        let first = gradient(&params).objective;
        assert_eq!(first.parts[0].0, phase.phase.name);
        assert!(first.total > 0.1 && first.total < 1.1, "{first:?}");
        for _ in 0..40 {
            let found = gradient(&params);
            assert!(found.norm.is_finite());
            adam.step(&mut params, &found.grads, 3e-3);
        }
        let last = gradient(&params).objective.total;
        assert!(last < 0.95 * first.total, "{}: {last} of {}", phase.phase.name, first.total);
    }
}

/// Weights that no layer has at zero.
fn stirred(params: &Params) -> Params {
    let stir = |(k, x): (usize, &f32)| x + 0.02 * ((k * 37 % 17) as f32 - 8.0) / 8.0;
    let values: Vec<Vec<f32>> =
        params.to_host().iter().map(|v| v.iter().enumerate().map(stir).collect()).collect();
    Params::from_host(params.specs(), &values, &cpu())
}

#[test]
fn networks_are_trained_together_or_one_by_one() {
    let crystal = prototype("NaCl");
    let (_, params) = built(&[&crystal]);
    for (trained, name, other) in
        [(Trained::Base, "base", "upsampler"), (Trained::Upsampler, "upsampler", "base")]
    {
        let model = CrystensDiffusion::new(DiffusionConfig { trained, ..tiny() }).unwrap();
        let phases = TrainingPhase::all(&model).unwrap();
        assert_eq!(phases.iter().map(|p| p.phase.name).collect::<Vec<_>>(), [name]);
        let frozen = |spec: &druse_nn::ParamSpec| spec.role == druse_nn::Role::Frozen;
        assert!(model.parameters().iter().all(|s| frozen(s) == s.name.starts_with(other)));
    }
    // A cascade that lacks one of them makes no images, and the message says what to do.
    let (model, _) = built(&[&crystal]);
    let request = SampleRequest::new(Conditions::default(), 7, 0);
    let stirred = stirred(&params);
    for (trained, missing) in [("base", "upsampler"), ("upsampler", "base")] {
        let half: Vec<Vec<f32>> = (params.specs().iter().zip(params.to_host()).zip(stirred.to_host()))
            .map(|((spec, fresh), stirred)| if spec.name.starts_with(trained) { stirred } else { fresh })
            .collect();
        let half = Params::from_host(params.specs(), &half, &cpu());
        let error = sample_all(&model, &half, std::slice::from_ref(&request)).unwrap().remove(0);
        let error = error.unwrap_err().to_string();
        let said = error.contains(&format!("`{missing}` was never trained")) && error.contains("train.init");
        assert!(said, "{error}");
    }
}

#[test]
fn images_become_structures_or_failures_with_a_reason() {
    let crystals = ["SrTiO3", "NaCl"].map(prototype);
    let (model, params) = built(&crystals.iter().collect::<Vec<_>>());
    let params = stirred(&params);
    assert!(model.check(&Conditions::default()).is_ok());
    assert!(model.check(&Conditions::default().and_space_group(225)).is_err());
    let requests: Vec<SampleRequest> =
        (0..4).map(|index| SampleRequest::new(Conditions::default(), 7, index)).collect();
    let sampled = sample_all(&model, &params, &requests).unwrap();
    assert_eq!(sampled.len(), 4);
    for result in &sampled {
        match result {
            Ok(structure) => assert!(structure.len() <= 52),
            Err(ModelError::Output(reason)) => assert!(!reason.is_empty()),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(sample_all(&model, &params, &requests[2..]).unwrap(), sampled[2..]);
    // A network that returns no numbers fails with the step.
    let values: Vec<Vec<f32>> = params.to_host().iter().map(|v| vec![f32::NAN; v.len()]).collect();
    let broken = Params::from_host(params.specs(), &values, &cpu());
    let failed = sample_all(&model, &broken, &requests[..1]).unwrap().remove(0).unwrap_err();
    assert!(failed.to_string().contains("not finite at step 0"), "{failed}");
}

/// Where the predicted images lose their contradictions, what comes out has next to none, whatever the network says.
#[test]
fn reconciled_images_hardly_contradict_themselves() {
    let crystals = ["SrTiO3", "NaCl"].map(prototype);
    let spread = |reconciled_steps: usize| -> f64 {
        let (model, params) = built(&crystals.iter().collect::<Vec<_>>());
        let sampling = DiffusionSampling { reconciled_steps, ..sampled_in(2) };
        let model = model.with_sampling(sampling).unwrap();
        let params = stirred(&params);
        let request = SampleRequest::new(Conditions::default(), 7, 0);
        let limit = MicroBatchLimit::for_device(params.device());
        let mut sampler = model.sampler(&params, &limit);
        sampler.add(0, &request).unwrap();
        let mut finished = Vec::new();
        while !sampler.is_empty() {
            finished.extend(sampler.step());
        }
        let image = finished.remove(0).image.expect("an image");
        // What the first slot states of its cell: lengths, angles, space group, eight times each.
        let range = |attribute: usize| {
            let entries = image.entries(attribute, 0);
            let fold = |f: fn(f64, f64) -> f64| entries.into_iter().reduce(f).expect("entries");
            fold(f64::max) - fold(f64::min)
        };
        (4..11).map(range).fold(0.0, f64::max)
    };
    let [plain, reconciled] = [0, 2].map(spread);
    assert!(plain > 0.05 && reconciled < 1e-3, "{plain} {reconciled}");
}

#[test]
fn cells_without_an_image_are_left_out_with_a_reason() {
    let small = prototype("NaCl");
    let place = |i: usize| [(i % 4) as f64 / 4.0, (i / 4 % 4) as f64 / 4.0, (i / 16) as f64 / 4.0];
    let species = vec![small.species[0]; 53];
    let many = Structure::new(Lattice::cubic(12.0).unwrap(), species, (0..53).map(place).collect()).unwrap();
    let (model, _) = built(&[&small]);
    let reasons = model.unusable(&[&small, &many]);
    assert_eq!(reasons[0], None);
    assert!(reasons[1].as_ref().unwrap().contains("52"), "{reasons:?}");
    let error = CrystensDiffusion::new(tiny()).unwrap().fit_statistics(&[]).unwrap_err().to_string();
    assert!(error.contains("no structure"), "{error}");
}

/// The report on a reference file, unless there is none here.
fn report(file: &str) -> Option<ParityReport> {
    let path = golden_path(&format!("crystens/{file}"))?;
    let beside = |other: &str| {
        golden_path(&format!("crystens/{other}")).map(|path| read_text(&path)).ok_or("it is absent".into())
    };
    Some(parity::compare_beside(&Registry::builtin(), &read_text(&path), &beside, &cpu()).unwrap())
}

fn check(report: &ParityReport, outputs: usize) {
    assert!(report.outputs.len() >= outputs, "{} outputs", report.outputs.len());
    for o in &report.outputs {
        assert!(o.relative < 5e-5, "{}: {:e}", o.name, o.relative);
    }
}

#[test]
fn schedules_agree_with_the_published_ones() {
    let Some(report) = report("schedules.json") else { return };
    check(&report, 12);
    assert!(report.worst() < 1e-9, "{:e}", report.worst());
}

#[test]
fn small_networks_agree_with_the_published_ones() {
    let Some(report) = report("unet_small_v1_11_15.json.gz") else { return };
    check(&report, 150 + 181 + 2 * 7 + 6 * 9 + 2);
    assert_eq!(report.skipped, Vec::<String>::new());
}

#[test]
fn networks_of_later_versions_are_others() {
    let Some(path) = golden_path("crystens/unet_small_v2_1_0.json.gz") else { return };
    let error = parity::compare(&Registry::builtin(), &read_text(&path), &cpu()).unwrap_err().to_string();
    assert!(error.contains("2.1.0") && error.contains("1.11.15"), "{error}");
}

#[test]
#[ignore = "needs 9 GB of memory and some minutes"]
fn published_networks_agree_with_the_published_ones() {
    for file in ["unet_full_stage1_v1_11_15.json.gz", "unet_full_stage2_v1_11_15.json.gz"] {
        let Some(report) = report(file) else { return };
        check(&report, 40);
        assert_eq!(report.skipped, Vec::<String>::new());
    }
}
