//! Properties of SyMat: the contract of models, what it refuses, overfitting, sampling.

use druse_crystal::{Composition, Element, Structure};
use druse_data::{LoadOptions, Split, Splits};
use druse_models::registry::{Registry, preset_model};
use druse_models::symat::{
    LossWeights, NoiseConfig, OtherTemperatures, Protocol, ScoreConfig, ScoreLoss, ScoreNorm, Symat,
    SymatConfig, SymatSampling,
};
use druse_models::{
    Autoencoder, Conditions, Generator, MicroBatchLimit, ModelError, NoiseKey, SampleRequest, Trainable,
    differentiate, sample_all,
};
use druse_nn::Params;
use druse_nn::blocks::spherenet::{DistanceNetConfig, SphereNetConfig};
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototype;
use druse_testkit::reference::shared_dir;

fn tiny() -> SymatConfig {
    SymatConfig {
        latent: 24,
        head: 32,
        max_atoms: 6,
        encoder: SphereNetConfig {
            hidden: 24,
            interaction: 12,
            basis_distance: 4,
            basis_angle: 3,
            basis_torsion: 5,
            output_embedding: 32,
            blocks: 1,
            num_spherical: 4,
            num_radial: 4,
            ..SphereNetConfig::default()
        },
        score: ScoreConfig {
            network: DistanceNetConfig {
                hidden: 32,
                interaction: 16,
                basis: 4,
                blocks: 2,
                ..DistanceNetConfig::default()
            },
            head: 32,
            ..ScoreConfig::default()
        },
        noise: NoiseConfig { levels: 20, ..NoiseConfig::default() },
        ..SymatConfig::default()
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

fn built(config: SymatConfig, training: &[&Structure]) -> (Symat, Params) {
    let mut model = Symat::new(config).unwrap();
    model.fit_statistics(training).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    (model, params)
}

/// A model that samples in few steps.
fn contracted(config: SymatConfig) -> Symat {
    let sampling = SymatSampling { steps_per_level: 2, ..SymatSampling::default() };
    Symat::new(config).unwrap().with_sampling(&sampling).unwrap()
}

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "symat").run();
    let elements =
        "the heads know 100 elements, the bonds that the encoder reads are known for 94, as published";
    let cell =
        "as published, the latent of the cell is read off the six parameters of the cell that is given";
    let sums = "as published, the encoder adds up what it says of the atoms of the cell";
    contract::generator(|| contracted(tiny()))
        .skip(Check::Elements, elements)
        .skip(Check::CellChoice, cell)
        .skip(Check::Supercell, sums)
        .run();
    contract::generator(|| {
        contracted(SymatConfig {
            property: Some("energy".into()),
            noise: NoiseConfig {
                levels: 5,
                positions: [0.05, 0.2],
                loss: ScoreLoss::PerEdge,
                ..tiny().noise
            },
            protocol: Protocol::Paper,
            ..tiny()
        })
    })
    .property("energy")
    .skip(Check::Elements, elements)
    .skip(Check::CellChoice, cell)
    .skip(Check::Supercell, sums)
    .run();
}

#[test]
fn published_sizes() {
    let count = |config| {
        let model = Symat::new(config).unwrap();
        model.parameters().iter().map(druse_nn::ParamSpec::len).sum::<usize>()
    };
    let all = count(SymatConfig::default());
    // Two maps of the encoder; five perceptrons on latents, two on cells.
    let perceptron = |input: usize, output: usize| (input + 1) * 256 + 257 * output;
    let outputs = [20, 100, 20, 6].map(|n| perceptron(128, n)).iter().sum::<usize>();
    let heads = 2 * (256 * 256 + 256) + outputs + 2 * perceptron(6, 128) + perceptron(256, 1);
    let interaction =
        |basis: usize| 8 * (6 + 128) + basis + 2 * 128 * 64 + 3 * (128 * 128 + 128) + 6 * (128 * 128 + 128);
    let embedding = 100 * 128 + 7 * 128 + 385 * 128 + 6;
    let atoms = 129 * 256 + 3 * 257 * 256 + 256 * 256;
    let encoder = embedding + 6 * 128 + 5 * atoms + 4 * (interaction(8 * (42 + 64 + 294 + 64)) + 6 * 128);
    let score = embedding + 4 * interaction(0) + 6 * 128;
    assert_eq!(all, encoder + score + heads);
    let with_property = SymatConfig { property: Some("energy".into()), ..SymatConfig::default() };
    assert_eq!(count(with_property) - all, perceptron(384, 1));
}

#[test]
fn what_it_cannot_represent_is_refused_with_a_reason() {
    let all = prototypes();
    let refs: Vec<&Structure> = all.iter().collect();
    let mut model = Symat::new(tiny()).unwrap();
    let message = |e: ModelError| e.to_string();
    assert!(message(model.fit_statistics(&refs[..1]).unwrap_err()).contains("at least 2"));
    let mut large = all[0].clone();
    large.species = vec![large.species[0]; 7];
    large.frac_coords = (0..7).map(|i| [0.1 * f64::from(i), 0.0, 0.0]).collect();
    let error = model.fit_statistics(&[&all[0], &large]).unwrap_err();
    assert!(message(error).contains("7 atoms of one element, the heads count up to 6"));
    let mut heavy = all[0].clone();
    heavy.species[0] = Element::from_symbol("Am").unwrap();
    assert!(matches!(model.inspect(&[&heavy]), Err(ModelError::UnknownElement { limit: 94, .. })));

    let (mut model, params) = built(tiny(), &refs);
    let composition = Conditions::from(Composition::parse("NaCl").unwrap());
    assert!(message(model.check(&composition).unwrap_err()).contains("nothing, or latent"));
    // The heads count atoms of elements: a number of atoms alone cannot be asked for.
    let number = Conditions::latent(vec![0.0; 72]).and_num_atoms(4);
    assert!(message(model.check(&number).unwrap_err()).contains("nothing, or latent"));
    let wrong = model.check(&Conditions::latent(vec![0.0; 24])).unwrap_err();
    assert_eq!(wrong, ModelError::Latent { found: 24, expected: 72 });
    assert!(message(model.property_gradient(&params, &[vec![0.0; 72]]).unwrap_err()).contains("property"));
    // Norms for other noise levels.
    let mut statistics = model.statistics();
    statistics["score_norm"].as_array_mut().unwrap().pop();
    assert!(
        message(model.restore_statistics(&statistics).unwrap_err())
            .contains("19 norms of scores, expected 20")
    );
    for setting in [
        SymatConfig { latent: 16, ..tiny() },
        SymatConfig { noise: NoiseConfig { positions: [1.0, 0.1], ..NoiseConfig::default() }, ..tiny() },
        SymatConfig { noise: NoiseConfig { score_norm: ScoreNorm::Mp20, ..tiny().noise }, ..tiny() },
        SymatConfig { weights: LossWeights { kl: -1.0, ..LossWeights::default() }, ..tiny() },
        SymatConfig { score: ScoreConfig { neighbors: 0, ..tiny().score }, ..tiny() },
    ] {
        assert!(matches!(Symat::new(setting), Err(ModelError::Config(_))));
    }
}

#[test]
fn the_published_norms_are_those_of_the_presets() {
    for (name, first, last) in [
        ("symat-perov-5", 0.0141551, 1.78786),
        ("symat-carbon-24", 0.0141622, 2.05813),
        ("symat-mp-20", 0.0141648, 3.11782),
    ] {
        let all = prototypes();
        let refs: Vec<&Structure> = all[..5].iter().collect();
        let (model, _) = built(preset_model(name).unwrap(), &refs);
        let norms = model.statistics()["score_norm"].clone();
        let norms: Vec<f64> = serde_json::from_value(norms).unwrap();
        assert_eq!((norms.len(), norms[0], norms[49]), (50, first, last), "{name}");
    }
}

/// A third of the published training sets gives the published norms, to a few percent.
#[test]
fn derived_norms_are_those_that_were_published() {
    let Some(shared) = shared_dir() else { return };
    for (set, preset, stride, tolerance) in
        [("perov_5", "symat-perov-5", 7, 0.03), ("carbon_24", "symat-carbon-24", 7, 0.06)]
    {
        let splits = Splits::open(&shared.join("data").join(set)).unwrap();
        let data = splits.load(Split::Train, &LoadOptions::default()).unwrap();
        let training: Vec<&Structure> = data.structures().step_by(stride).collect();
        let config: SymatConfig = preset_model(preset).unwrap();
        let norms = |score_norm| {
            let noise = NoiseConfig { score_norm, ..config.noise.clone() };
            let (model, _) = built(SymatConfig { noise, ..config.clone() }, &training);
            let norms = model.statistics()["score_norm"].clone();
            serde_json::from_value::<Vec<f64>>(norms).unwrap()
        };
        let published = norms(config.noise.score_norm);
        for (level, (a, b)) in norms(ScoreNorm::Derived).iter().zip(&published).enumerate() {
            assert!((a / b - 1.0).abs() < tolerance, "{set}, level {level}: {a}, published {b}");
        }
    }
}

/// Norms that are plainly those of another data set are refused; those of the data set itself, of which a third is there,
/// are not.
#[test]
fn norms_of_another_data_set_are_refused() {
    let fit = |score_norm, training: &[&Structure]| {
        let noise = NoiseConfig { score_norm, ..NoiseConfig::default() };
        Symat::new(SymatConfig { max_atoms: 24, noise, ..tiny() }).unwrap().fit_statistics(training)
    };
    let (all, cscl) = (prototypes(), prototype("CsCl"));
    let small: Vec<&Structure> = std::iter::repeat_n(&cscl, 120).collect();
    let message = fit(ScoreNorm::Mp20, &small).unwrap_err().to_string();
    assert!(message.contains("score_norm = mp-20") && message.contains("3.118 Å"), "{message}");
    fit(ScoreNorm::Derived, &small).unwrap();
    // A few crystals tell nothing.
    fit(ScoreNorm::Mp20, &all.iter().collect::<Vec<_>>()).unwrap();

    let Some(shared) = shared_dir() else { return };
    let tables = [ScoreNorm::Perov5, ScoreNorm::Carbon24, ScoreNorm::Mp20];
    for (set, own) in [("perov_5", 0), ("carbon_24", 1), ("mp_20_bt", 2)] {
        let splits = Splits::open(&shared.join("data").join(set)).unwrap();
        let data = splits.load(Split::Train, &LoadOptions::default()).unwrap();
        let training: Vec<&Structure> = data.structures().step_by(5).collect();
        for (i, &table) in tables.iter().enumerate() {
            let outcome = fit(table, &training);
            assert_eq!(outcome.is_ok(), i == own, "{set}, {table:?}: {outcome:?}");
        }
    }
}

/// Carbon alone: there is one element, and it is always there.
#[test]
fn a_data_set_may_have_one_element() {
    let carbon = Element::from_symbol("C").unwrap();
    let all: Vec<Structure> = ["ZnS", "CsCl", "SrTiO3"]
        .map(prototype)
        .into_iter()
        .map(|s| Structure::new(s.lattice, vec![carbon; s.len()], s.frac_coords).unwrap())
        .collect();
    let refs: Vec<&Structure> = all.iter().collect();
    let (model, params) = built(tiny(), &refs);
    assert!(model.inspect(&refs).unwrap().is_empty());
    let gradient = differentiate(&model, &params, &refs, &keys(3, 0)).unwrap();
    assert!(gradient.objective.total.is_finite() && gradient.norm > 0.0);
    // Crystals of one cell have a spread of zero.
    let same: Vec<&Structure> = std::iter::repeat_n(&all[0], 2).collect();
    let (model, params) = built(tiny(), &same);
    let gradient = differentiate(&model, &params, &same, &keys(2, 0)).unwrap();
    assert!(gradient.objective.total.is_finite());
}

#[test]
fn properties_that_cannot_be_learned_are_refused() {
    let with = |name: &str| SymatConfig { property: Some(name.into()), ..tiny() };
    let message = |config, training: &[&Structure]| {
        Symat::new(config).unwrap().fit_statistics(training).unwrap_err().to_string()
    };
    let mut all = prototypes();
    let refs: Vec<&Structure> = all.iter().collect();
    assert!(message(with("gap"), &refs).contains("`gap`"));
    // Zinc blende twice: the same energy.
    assert!(message(with("energy"), &[&all[3], &all[4]]).contains("for all 2"));
    all[2].properties.insert("energy".into(), "high".into());
    assert!(message(with("energy"), &all.iter().collect::<Vec<_>>()).contains("no number"));
}

#[test]
fn protocols_differ_in_what_they_draw() {
    let all = prototypes();
    let refs: Vec<&Structure> = all.iter().collect();
    let spread = |protocol| {
        let sampling =
            SymatSampling { steps_per_level: 1, protocol: Some(protocol), ..SymatSampling::default() };
        let (model, params) = built(tiny(), &refs);
        let model = model.with_sampling(&sampling).unwrap();
        let limit = MicroBatchLimit::for_device(&cpu());
        assert_eq!(model.sampler(&params, &limit).total_steps(), 20);
        let species = all[5].species.clone();
        let conditions = Conditions::latent(vec![0.1; 72]).and_species(species.clone());
        let request = SampleRequest::new(conditions, 1, 3);
        let s = sample_all(&model, &params, &[request]).unwrap().remove(0).unwrap();
        // Species that are given stay.
        assert_eq!(s.species, species);
        s.frac_coords
    };
    assert_ne!(spread(Protocol::Published), spread(Protocol::Paper));
    let none = SymatSampling { steps_per_level: 0, ..SymatSampling::default() };
    assert!(Symat::new(tiny()).unwrap().with_sampling(&none).is_err());
}

/// A temperature of one run replaces that of the protocol, and only that.
#[test]
fn temperatures_can_be_set_for_a_run() {
    let all = prototypes();
    let refs: Vec<&Structure> = all.iter().collect();
    let sampled = |temperatures: OtherTemperatures, seed| {
        let sampling = SymatSampling { steps_per_level: 1, temperatures, ..SymatSampling::default() };
        let (model, params) = built(tiny(), &refs);
        let model = model.with_sampling(&sampling).unwrap();
        let request = SampleRequest::new(Conditions::default(), seed, 0);
        sample_all(&model, &params, &[request]).unwrap().remove(0).unwrap()
    };
    let still = OtherTemperatures {
        composition: Some(0.0),
        lattice: Some(0.0),
        position: Some(0.0),
        ..OtherTemperatures::default()
    };
    let (a, b) = (sampled(still.clone(), 1), sampled(still, 2));
    assert_eq!((&a.species, a.lattice), (&b.species, b.lattice));
    let moving = OtherTemperatures { lattice: Some(3.0), ..OtherTemperatures::default() };
    assert_ne!(sampled(moving.clone(), 1).lattice, sampled(OtherTemperatures::default(), 1).lattice);
    let wrong = OtherTemperatures { noise: Some(-1.0), ..moving };
    let wrong = SymatSampling { temperatures: wrong, ..SymatSampling::default() };
    let error = Symat::new(tiny()).unwrap().with_sampling(&wrong).err().unwrap().to_string();
    assert!(error.contains("temperatures.noise = -1"), "{error}");
}

/// Latents may stand for what is no cell: the structure fails, with the reason, and no other one.
#[test]
fn cells_without_volume_are_failures_of_their_own() {
    let all = prototypes();
    let (mut model, params) = built(tiny(), &all.iter().collect::<Vec<_>>());
    let good = model.statistics();
    let requests: Vec<_> = (0..3).map(|i| SampleRequest::new(Conditions::default(), 4, i)).collect();
    let cell_of = |model: &mut Symat, mean: [f64; 6]| {
        let mut statistics = good.clone();
        statistics["lattice"]["mean"] = serde_json::json!(mean);
        statistics["lattice"]["std"] = serde_json::json!(vec![1e-6; 6]);
        model.restore_statistics(&statistics).unwrap();
        sample_all(&*model, &params, &requests).unwrap()
    };
    for made in cell_of(&mut model, [3.0, 3.0, 3.0, 90.0, 90.0, 90.0]) {
        assert!(made.unwrap().lattice.volume() > 1.0);
    }
    for (mean, said) in [
        ([-1.0, 3.0, 3.0, 90.0, 90.0, 90.0], "length"),
        ([1e-5, 3.0, 3.0, 90.0, 90.0, 90.0], "without volume"),
        ([3.0, 3.0, 3.0, 170.0, 60.0, 60.0], "angle"),
    ] {
        let made = cell_of(&mut model, mean);
        assert_eq!(made.len(), 3);
        for made in made {
            let reason = made.unwrap_err().to_string();
            assert!(reason.contains(said), "{mean:?}: {reason}");
        }
    }
}

/// A few crystals are learned by heart: their latents decode to them. None of them is polar: distances do not tell a
/// crystal from its inverse, so where noise makes both possible the network can only learn their mean.
#[test]
fn learned_crystals_are_reconstructed() {
    let all = prototypes();
    let refs: Vec<&Structure> = [0, 1, 5].map(|i| &all[i]).into();
    let config = SymatConfig {
        property: Some("energy".into()),
        weights: LossWeights { kl: 1e-4, ..LossWeights::default() },
        ..tiny()
    };
    let (model, mut params) = built(config, &refs);
    let batch: Vec<&Structure> = refs.iter().cycle().take(24).copied().collect();
    let mut adam = Adam::new(&params, AdamConfig::default());
    let steps = 900;
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
        .map(|i| {
            let conditions = Conditions::latent(latents[(i / DRAWS) as usize].clone());
            SampleRequest::new(conditions, 4, i)
        })
        .collect();
    let made = sample_all(&model, &params, &requests).unwrap();
    for ((truth, made), value) in refs.iter().zip(made.chunks(DRAWS as usize)).zip(predicted.values) {
        let formula = |s: &Structure| Composition::from_species(&s.species).formula();
        let energy = truth.properties["energy"].as_f64().unwrap();
        assert!((value - energy).abs() < 0.4, "{value} {energy}");
        let mut in_place = 0;
        for made in made {
            let made = made.as_ref().unwrap();
            assert_eq!(formula(made), formula(truth));
            for (a, b) in made.lattice.parameters().iter().zip(truth.lattice.parameters()) {
                assert!((a - b).abs() < 0.04 * b, "{a} {b}");
            }
            // The shortest distance tells whether the atoms are in their places.
            let (a, b) = (made.min_distance().unwrap(), truth.min_distance().unwrap());
            in_place += usize::from((a - b).abs() < 0.12 * b);
        }
        assert!(in_place >= 5, "{}: {in_place} of {DRAWS}", formula(truth));
    }
}
