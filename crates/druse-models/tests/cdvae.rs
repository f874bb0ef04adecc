//! Properties of CDVAE: symmetries, gradients, what it refuses, overfitting, sampling.

use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_models::cdvae::{Cdvae, CdvaeConfig, CdvaeSampling, DecoderConfig, LossWeights, NoiseConfig};
use druse_models::registry::preset_model;
use druse_models::{
    Autoencoder, Conditions, Generator, MicroBatchLimit, ModelError, NoiseKey, SampleRequest, Trainable,
    differentiate, evaluate, sample_all,
};
use druse_nn::Params;
use druse_nn::blocks::dimenet::DimeNetConfig;
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::prototype;
use nalgebra::{Rotation3, Vector3};

fn small() -> CdvaeConfig {
    preset_model("cdvae-small").unwrap()
}

fn tiny() -> CdvaeConfig {
    CdvaeConfig {
        latent: 16,
        head: 32,
        max_atoms: 8,
        encoder: DimeNetConfig {
            hidden: 32,
            interaction: 16,
            basis: 8,
            output_embedding: 32,
            blocks: 1,
            ..DimeNetConfig::default()
        },
        decoder: DecoderConfig {
            hidden: 32,
            triplet: 16,
            basis: 8,
            bilinear: 16,
            num_radial: 32,
            num_spherical: 4,
            blocks: 1,
            neighbors: 10,
            ..small().decoder
        },
        noise: NoiseConfig { levels: 20, ..NoiseConfig::default() },
        ..small()
    }
}

/// Caesium chloride, zinc blende and perovskite prototypes with a made-up energy.
fn prototypes() -> Vec<Structure> {
    [
        ("CsCl", 0.0),
        ("NiAl", 1.0),
        ("FeTi", 2.0),
        ("ZnS", -1.0),
        ("GaAs", -1.0),
        ("SrTiO3", 3.905),
        ("BaZrO3", 4.19),
        ("KNbO3", 4.0),
    ]
    .into_iter()
    .map(|(name, energy)| {
        let mut s = prototype(name);
        s.properties.insert("energy".into(), energy.into());
        s
    })
    .collect()
}

fn keys(n: usize, epoch: u64) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 5, epoch, index }).collect()
}

fn built(config: CdvaeConfig, training: &[&Structure]) -> (Cdvae, Params) {
    let mut model = Cdvae::new(config).unwrap();
    model.fit_statistics(training).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    (model, params)
}

fn from_latent(z: Vec<f32>, index: u64) -> SampleRequest {
    SampleRequest { conditions: Conditions::latent(z), seed: 4, index }
}

#[test]
fn published_sizes() {
    let count = |config| {
        let model = Cdvae::new(config).unwrap();
        model.parameters().iter().map(druse_nn::ParamSpec::len).sum::<usize>()
    };
    // Heads and latent maps of width 256: counts of up to 20 atoms, six numbers of the lattice, 100 elements.
    let heads = 2 * (256 * 256 + 256) + 3 * (256 * 256 + 256) + (21 + 6 + 100) * 257;
    let networks = count(CdvaeConfig::default()) - heads;
    // 2.21 million of the encoder; 2.345 million of the decoder less the energy branches, which no output depends on.
    let unused = 4 * (128 * 16 + 7 * 128 * 128 + 128);
    assert!((networks as f64 - (2.21e6 + 2.345e6 - f64::from(unused))).abs() < 1e4, "{networks}");
    let with_property = CdvaeConfig { property: Some("energy".into()), ..CdvaeConfig::default() };
    assert_eq!(count(with_property) - heads - networks, 256 * 257 + 257);
}

#[test]
fn the_objective_does_not_depend_on_orientation_or_order() {
    let originals = prototypes();
    let refs: Vec<&Structure> = originals.iter().collect();
    let (model, params) = built(tiny(), &refs);
    let value = evaluate(&model, &params, &refs, &keys(refs.len(), 0)).unwrap();
    assert_eq!(value.parts.len(), 6);
    let turn = Rotation3::from_axis_angle(&Vector3::y_axis(), 0.7).into_inner();
    let turned: Vec<Structure> = originals
        .iter()
        .map(|s| Structure { lattice: Lattice::from_matrix(s.lattice.matrix() * turn).unwrap(), ..s.clone() })
        .collect();
    let refs: Vec<&Structure> = turned.iter().collect();
    let other = evaluate(&model, &params, &refs, &keys(refs.len(), 0)).unwrap();
    for (a, b) in value.parts.iter().zip(&other.parts) {
        assert!((a.1 - b.1).abs() < 2e-4 * a.1.abs().max(1.0), "{a:?} {b:?}");
    }
    let posterior = |s: &Structure| model.encode(&params, &[s]).unwrap().remove(0).mean;
    let perovskite = &originals[5];
    let mut reordered = perovskite.clone();
    reordered.species.rotate_left(2);
    reordered.frac_coords.rotate_left(2);
    for f in &mut reordered.frac_coords {
        *f = f.map(|x| (x + 0.3).fract());
    }
    for (a, b) in posterior(perovskite).iter().zip(posterior(&reordered)) {
        assert!((a - b).abs() < 1e-4, "{a} {b}");
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let structures = prototypes();
    let refs: Vec<&Structure> = structures.iter().take(4).collect();
    // Without and with the true lattice: in the latter case positions depend on the lattice head.
    for last_forced in [10, 0] {
        let config = CdvaeConfig {
            property: Some("energy".into()),
            teacher_forcing_epochs: last_forced,
            // Large levels move atoms across cells; the search for neighbors is not continuous.
            noise: NoiseConfig { levels: 5, positions: [0.2, 0.05], species: [2.0, 1.0] },
            weights: LossWeights { lattice: 0.1, ..LossWeights::default() },
            ..tiny()
        };
        let (model, params) = built(config, &refs);
        let keys = keys(refs.len(), 1);
        let gradient = differentiate(&model, &params, &refs, &keys).unwrap();
        assert_eq!(gradient.objective.parts.len(), 7);
        let host = params.to_host();
        for name in [
            "fc_lattice.2.bias",
            "fc_mu.bias",
            "decoder.fc_atom.bias",
            "fc_property.2.bias",
            "encoder.output_blocks.0.lin.weight",
        ] {
            let place = model.parameters().iter().position(|p| p.name == name).unwrap();
            let slope: Vec<f32> = gradient.grads[place].to_data().try_into_vec().unwrap();
            // Along the gradient of one tensor: the largest change for a step.
            let norm = slope.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let at = |h: f64| {
                let mut moved = host.clone();
                for (x, g) in moved[place].iter_mut().zip(&slope) {
                    *x += (h * f64::from(*g) / norm) as f32;
                }
                let params = Params::from_host(model.parameters(), &moved, &cpu());
                evaluate(&model, &params, &refs, &keys).unwrap().total
            };
            let h = 4e-3;
            let measured = (at(h) - at(-h)) / (2.0 * h);
            assert!((measured - norm).abs() < 0.03 * norm, "{name} ({last_forced}): {measured} {norm}");
        }
    }
}

#[test]
fn what_it_cannot_represent_is_refused_with_a_reason() {
    let all = prototypes();
    let refs: Vec<&Structure> = all.iter().collect();
    let mut model = Cdvae::new(tiny()).unwrap();
    let message = |e: ModelError| e.to_string();
    assert!(message(model.fit_statistics(&refs[..1]).unwrap_err()).contains("at least 2"));
    let mut large = all[0].clone();
    large.species = vec![large.species[0]; 9];
    large.frac_coords = (0..9).map(|i| [0.1 * f64::from(i), 0.0, 0.0]).collect();
    assert!(matches!(
        model.fit_statistics(&[&all[0], &large]),
        Err(ModelError::TooManyAtoms { limit: 8, .. })
    ));
    let mut heavy = all[0].clone();
    heavy.species[0] = Element::from_symbol("Am").unwrap();
    assert!(matches!(
        model.fit_statistics(&[&all[0], &heavy]),
        Err(ModelError::UnknownElement { limit: 94, .. })
    ));
    assert!(matches!(model.inspect(&[&heavy]), Err(ModelError::UnknownElement { .. })));
    let with = |name: &str| CdvaeConfig { property: Some(name.into()), ..tiny() };
    let mut lacking = Cdvae::new(with("gap")).unwrap();
    assert!(message(lacking.fit_statistics(&refs).unwrap_err()).contains("energy"));
    let mut constant = Cdvae::new(with("energy")).unwrap();
    assert!(message(constant.fit_statistics(&[&all[3], &all[4]]).unwrap_err()).contains("energy"));

    let (model, params) = built(tiny(), &refs);
    let composition = Conditions::from(Composition::parse("NaCl").unwrap());
    assert!(message(model.check(&composition).unwrap_err()).contains("nothing, or latent"));
    let wrong = |z: Vec<f32>| model.check(&Conditions::latent(z)).unwrap_err();
    assert_eq!(wrong(vec![0.0; 3]), ModelError::Latent { found: 3, expected: 16 });
    assert!(message(wrong(vec![f32::NAN; 16])).contains("finite"));
    assert!(message(model.property_gradient(&params, &[vec![0.0; 16]]).unwrap_err()).contains("property"));
    for setting in [
        CdvaeConfig { latent: 0, ..tiny() },
        CdvaeConfig { noise: NoiseConfig { positions: [0.1, 1.0], ..NoiseConfig::default() }, ..tiny() },
        CdvaeConfig { weights: LossWeights { kl: -1.0, ..LossWeights::default() }, ..tiny() },
    ] {
        assert!(matches!(Cdvae::new(setting), Err(ModelError::Config(_))));
    }
}

#[test]
fn samples_do_not_depend_on_what_is_sampled_beside_them() {
    let all = prototypes();
    let refs: Vec<&Structure> = all.iter().collect();
    let (model, params) = built(tiny(), &refs);
    let with = |steps_per_level| CdvaeSampling { steps_per_level, ..CdvaeSampling::default() };
    assert!(Cdvae::new(tiny()).unwrap().with_sampling(&with(0)).is_err());
    let model = model.with_sampling(&with(2)).unwrap();
    let requests: Vec<SampleRequest> =
        (0..6).map(|index| SampleRequest { conditions: Conditions::default(), seed: 9, index }).collect();
    let together = sample_all(&model, &params, &requests).unwrap();
    for (request, expected) in requests.iter().zip(&together) {
        let alone = sample_all(&model, &params, std::slice::from_ref(request)).unwrap().remove(0);
        assert_eq!(&alone, expected);
    }
    // Species that are given stay; the number of atoms follows from them.
    let species: Vec<Element> = all[5].species.clone();
    let conditions = Conditions::latent(vec![0.1; 16]).and_species(species.clone());
    let request = SampleRequest { conditions, seed: 1, index: 3 };
    let s = sample_all(&model, &params, &[request]).unwrap().remove(0).unwrap();
    assert_eq!(s.species, species);
    let conditions = Conditions::latent(vec![0.1; 16]).and_num_atoms(3);
    let request = SampleRequest { conditions, seed: 1, index: 3 };
    assert_eq!(sample_all(&model, &params, &[request]).unwrap().remove(0).unwrap().len(), 3);
    let limit = MicroBatchLimit::for_device(&cpu());
    assert_eq!(model.sampler(&params, &limit).total_steps(), 40);
}

/// A few crystals are learned by heart: their latents decode to them.
#[test]
fn learned_crystals_are_reconstructed() {
    let all = prototypes();
    let refs: Vec<&Structure> = [0, 3, 5].map(|i| &all[i]).into();
    let config = CdvaeConfig {
        property: Some("energy".into()),
        weights: LossWeights { kl: 1e-4, ..LossWeights::default() },
        ..tiny()
    };
    let (model, mut params) = built(config, &refs);
    let batch: Vec<&Structure> = refs.iter().cycle().take(24).copied().collect();
    let mut adam = Adam::new(&params, AdamConfig::default());
    let steps = 500;
    for step in 0..steps {
        let mut gradient = differentiate(&model, &params, &batch, &keys(batch.len(), step)).unwrap();
        gradient.clip(1.0);
        let rate = 4e-3 * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
        adam.step(&mut params, &gradient.grads, rate);
    }
    let latents: Vec<Vec<f32>> = model.encode(&params, &refs).unwrap().into_iter().map(|p| p.mean).collect();
    let predicted = model.property_gradient(&params, &latents).unwrap();
    // Langevin dynamics may end in another minimum: several draws from each latent.
    const DRAWS: u64 = 8;
    let requests: Vec<_> = (0..DRAWS * latents.len() as u64)
        .map(|i| from_latent(latents[(i / DRAWS) as usize].clone(), i))
        .collect();
    let made = sample_all(&model, &params, &requests).unwrap();
    for ((truth, made), value) in refs.iter().zip(made.chunks(DRAWS as usize)).zip(predicted.values) {
        let formula = |s: &Structure| Composition::from_species(&s.species).formula();
        let energy = truth.properties["energy"].as_f64().unwrap();
        assert!((value - energy).abs() < 0.4, "{value} {energy}");
        let mut in_place = 0;
        for made in made {
            let made = made.as_ref().unwrap();
            for (a, b) in made.lattice.parameters().iter().zip(truth.lattice.parameters()) {
                assert!((a - b).abs() < 0.04 * b, "{a} {b}");
            }
            // The shortest distance tells whether the atoms are in their places.
            let (a, b) = (made.min_distance().unwrap(), truth.min_distance().unwrap());
            in_place += usize::from(formula(made) == formula(truth) && (a - b).abs() < 0.12 * b);
        }
        assert!(in_place >= 5, "{}: {in_place} of {DRAWS}", formula(truth));
    }
}
