//! The whole network on a GPU against the CPU. Runs on the device named by DRUSE_TEST_DEVICE or on the first GPU that
//! the build supports and the machine has; says so where there is none.

use burn::tensor::Device;
use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_models::cdvae::{Cdvae, CdvaeConfig, CdvaeSampling, DecoderConfig, NoiseConfig};
use druse_models::gemsdiff::{GemsDiff, GemsDiffConfig, GemsNetConfig, Variant};
use druse_models::registry::preset_model;
use druse_models::{Conditions, Generator, NoiseKey, SampleRequest, differentiate, sample_all};
use druse_nn::Params;
use druse_nn::blocks::ScaleFactors;
use druse_nn::blocks::dimenet::DimeNetConfig;
use druse_nn::device::{available, cpu, parse};

fn gpu() -> Option<Device> {
    let name = std::env::var("DRUSE_TEST_DEVICE").ok().or_else(|| available().into_iter().nth(1));
    if name.is_none() {
        eprintln!("skipped: no GPU, or a build without GPU support");
    }
    name.map(|name| parse(&name).unwrap_or_else(|e| panic!("DRUSE_TEST_DEVICE: {e}")))
}

fn config(variant: Variant) -> GemsDiffConfig {
    let net = GemsNetConfig {
        hidden: 24,
        triplet: 8,
        basis: 6,
        bilinear: 10,
        lattice_head: 12,
        num_radial: 17,
        num_spherical: 4,
        blocks: 2,
        cutoff: 6.0,
    };
    GemsDiffConfig {
        variant,
        decoder: net.clone(),
        encoder: net,
        latent: 12,
        knn: 10,
        steps: 4,
        ..preset_model("gemsdiff-small").unwrap()
    }
}

fn structures() -> Vec<Structure> {
    let element = |symbol| Element::from_symbol(symbol).unwrap();
    let skewed = Lattice::from_rows([[3.9, 0.2, 0.0], [0.3, 4.1, 0.1], [-0.2, 0.4, 3.7]]).unwrap();
    let perovskite = vec![
        [0.012, 0.023, 0.981],
        [0.513, 0.487, 0.532],
        [0.471, 0.552, 0.043],
        [0.538, 0.031, 0.466],
        [0.983, 0.474, 0.521],
    ];
    let mut all = vec![
        Structure::new(skewed, ["Sr", "Ti", "O", "O", "O"].map(element).to_vec(), perovskite).unwrap(),
        Structure::new(
            Lattice::cubic(4.12).unwrap(),
            ["Cs", "Cl"].map(element).to_vec(),
            vec![[0.0; 3], [0.47, 0.52, 0.51]],
        )
        .unwrap(),
        Structure::new(Lattice::cubic(2.9).unwrap(), vec![element("Fe")], vec![[0.1, 0.2, 0.3]]).unwrap(),
    ];
    for (s, energy) in all.iter_mut().zip([-3.5, -1.25, 0.5]) {
        s.properties.insert("energy".into(), energy.into());
    }
    all
}

/// A small GemsDiff of each variant and a small CDVAE, without and with the true lattice in training.
fn models(training: &[&Structure]) -> Vec<Box<dyn Generator>> {
    let cdvae = |last_forced| CdvaeConfig {
        latent: 10,
        head: 14,
        max_atoms: 6,
        encoder: DimeNetConfig {
            hidden: 24,
            interaction: 12,
            basis: 6,
            output_embedding: 20,
            blocks: 2,
            ..DimeNetConfig::default()
        },
        decoder: DecoderConfig {
            hidden: 24,
            triplet: 8,
            basis: 6,
            bilinear: 10,
            num_radial: 17,
            num_spherical: 4,
            blocks: 2,
            neighbors: 9,
            scale_factors: ScaleFactors::unit(),
            ..DecoderConfig::published()
        },
        noise: NoiseConfig { levels: 2, positions: [0.5, 0.1], ..NoiseConfig::default() },
        property: Some("energy".into()),
        teacher_forcing_epochs: last_forced,
        ..preset_model("cdvae-small").unwrap()
    };
    let short = CdvaeSampling { steps_per_level: 2, ..CdvaeSampling::default() };
    let mut all: Vec<Box<dyn Generator>> = vec![
        Box::new(GemsDiff::new(config(Variant::Paper)).unwrap()),
        Box::new(GemsDiff::new(config(Variant::Released)).unwrap()),
        Box::new(Cdvae::new(cdvae(10)).unwrap().with_sampling(&short).unwrap()),
        Box::new(Cdvae::new(cdvae(0)).unwrap().with_sampling(&short).unwrap()),
    ];
    for model in &mut all {
        model.fit_statistics(training).unwrap();
    }
    all
}

#[test]
fn loss_and_gradients_agree_with_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let structures = structures();
    let refs: Vec<&Structure> = structures.iter().collect();
    let keys: Vec<_> = (0..3).map(|index| NoiseKey { seed: 3, epoch: 1, index }).collect();
    for model in models(&refs) {
        let on = |device: &Device| {
            let params = Params::init(model.parameters(), 7, device);
            let gradient = differentiate(model.as_ref(), &params, &refs, &keys).unwrap();
            let grads: Vec<Vec<f32>> =
                gradient.grads.into_iter().map(|g| g.into_data().try_into_vec().unwrap()).collect();
            (gradient.objective, grads)
        };
        let (expected, expected_grads) = on(&cpu());
        let (found, found_grads) = on(&gpu);
        let error = (found.total - expected.total).abs();
        assert!(error < 2e-5 * expected.total, "{found:?} against {expected:?}");
        let largest = expected_grads.iter().flatten().fold(0f32, |m, g| m.max(g.abs()));
        for (i, spec) in model.parameters().iter().enumerate() {
            let scale = expected_grads[i].iter().fold(0f32, |m, g| m.max(g.abs()));
            for (a, b) in found_grads[i].iter().zip(&expected_grads[i]) {
                let error = (a - b).abs();
                assert!(error < 1e-3 * scale + 1e-6 * largest, "{}: {a} against {b}", spec.name);
            }
        }
    }
}

#[test]
fn sampling_agrees_with_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let structures = structures();
    let refs: Vec<&Structure> = structures.iter().collect();
    for model in models(&refs) {
        let latent = model.autoencoder().map(|a| a.latent_width());
        let conditions = |formula: &str| {
            let composition = Composition::parse(formula).unwrap();
            match latent {
                None => Conditions::from(composition),
                Some(width) => Conditions::latent((0..width).map(|k| (k as f32).sin()).collect())
                    .and_species(composition.atoms()),
            }
        };
        let requests: Vec<_> = ["SrTiO3", "CsCl", "Fe"]
            .into_iter()
            .zip(0..)
            .map(|(formula, index)| SampleRequest::new(conditions(formula), 4, index))
            .collect();
        let on = |device: &Device| {
            let params = Params::init(model.parameters(), 7, device);
            sample_all(model.as_ref(), &params, &requests).unwrap()
        };
        for (found, expected) in on(&gpu).into_iter().zip(on(&cpu())) {
            let (found, expected) = (found.unwrap(), expected.unwrap());
            assert_eq!(found.species, expected.species);
            let cells = (found.lattice.matrix() - expected.lattice.matrix()).amax();
            assert!(cells < 1e-3 * expected.lattice.matrix().amax(), "{found:?} {expected:?}");
            for (a, b) in found.frac_coords.iter().zip(&expected.frac_coords) {
                for (a, b) in a.iter().zip(b) {
                    let apart = a - b - (a - b).round();
                    assert!(apart.abs() < 1e-3, "{a} against {b}");
                }
            }
        }
    }
}
