//! Properties of the adaptive-cells model: the contract of models, what it refuses, symmetry, overfitting, sampling.

use druse_crystal::symmetry::analyze;
use druse_crystal::{Lattice, Structure, SymmetricStructure};
use druse_models::adaptive::{
    Adaptive, AdaptiveConfig, AdaptiveSampling, Groups, NoiseConfig, PositionTarget, SymmetryConfig,
};
use druse_models::registry::{Registry, preset_model};
use druse_models::{
    Conditions, Generator, ModelError, NoiseKey, SampleRequest, Site, Trainable, differentiate, evaluate,
    sample_all,
};
use druse_nn::Params;
use druse_nn::blocks::dimenet::DimeNetConfig;
use druse_nn::device::cpu;
use druse_nn::graph::{AngleRule, CopyRule};
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototype;

fn tiny() -> AdaptiveConfig {
    AdaptiveConfig {
        network: DimeNetConfig {
            hidden: 16,
            interaction: 8,
            basis: 4,
            output_embedding: 12,
            blocks: 2,
            num_spherical: 4,
            num_radial: 4,
            cutoff: 6.0,
            output_layers: 1,
            ..DimeNetConfig::default()
        },
        neighbors: 16,
        symmetry: SymmetryConfig { groups: Groups::All, ..SymmetryConfig::default() },
        ..AdaptiveConfig::default()
    }
}

/// A model that samples in few steps.
fn contracted(config: AdaptiveConfig) -> Adaptive {
    // Small steps of cells: a network that was not trained would make them collapse.
    let sampling = AdaptiveSampling { steps_per_level: 1, cell_step: 1e-4, ..AdaptiveSampling::default() };
    Adaptive::new(config).unwrap().with_sampling(&sampling).unwrap()
}

fn keys(n: usize, epoch: u64) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 5, epoch, index }).collect()
}

fn built(config: AdaptiveConfig, training: &[&Structure]) -> (Adaptive, Params) {
    let mut model = contracted(config);
    model.fit_statistics(training).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    (model, params)
}

fn prototypes() -> Vec<Structure> {
    ["CsCl", "NiAl", "ZnS", "SrTiO3", "NaCl", "quartz", "diamond", "KNbO3"].map(prototype).into()
}

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "adaptive").run();
    let target = NoiseConfig {
        position_target: PositionTarget::MinimumImage,
        on_positions: 0.5,
        ..NoiseConfig::default()
    };
    contract::generator(|| contracted(tiny()))
        .skip(
            Check::Translation,
            "the origin is that of the space group, and in P 1 the first atom's place is noise",
        )
        .run();
    contract::generator(move || {
        contracted(AdaptiveConfig {
            angles: AngleRule::Geometric,
            copies: CopyRule::Distinct,
            noise: target.clone(),
            ..tiny()
        })
    })
    .skip(
        Check::Translation,
        "the origin is that of the space group, and in P 1 the first atom's place is noise",
    )
    .run();
}

/// Another choice of the distinct site of an orbit, and of the atoms' order, cell and origin, is the same crystal: where noise
/// is small, so is what the choice changes.
#[test]
fn the_choice_of_the_cell_changes_no_statistics() {
    let quartz = prototype("quartz");
    let standard = SymmetricStructure::from_structure(&quartz, 0.01).unwrap();
    let moved = Structure {
        frac_coords: quartz.frac_coords.iter().map(|f| f.map(|x| (x + 0.37).fract())).collect(),
        ..quartz.clone()
    };
    let other = SymmetricStructure::from_structure(&moved, 0.01).unwrap();
    assert_eq!(standard.group().number(), other.group().number());
    let letters = |s: &SymmetricStructure| s.sites().iter().map(|site| site.letter).collect::<Vec<_>>();
    let mut statistics = Vec::new();
    for s in [&quartz, &moved] {
        let (model, _) = built(tiny(), &[s]);
        statistics.push(model.statistics().clone());
    }
    assert_eq!(letters(&standard).len(), letters(&other).len());
    assert_eq!(statistics[0].groups, statistics[1].groups);
    assert_eq!(statistics[0].max_sites, 2);
}

#[test]
fn excluded_groups_and_unknown_elements_are_left_out_with_their_reason() {
    let model = Adaptive::new(AdaptiveConfig { symmetry: SymmetryConfig::default(), ..tiny() }).unwrap();
    let triclinic = contract::generic(&[prototype("SrTiO3")]).remove(0);
    let mut curium = prototype("CsCl");
    curium.species[0] = "Cm".parse().unwrap();
    let cubic = prototype("SrTiO3");
    let reasons = model.unusable(&[&cubic, &triclinic, &curium, &triclinic]);
    assert_eq!(reasons[0], None);
    assert!(reasons[1].as_ref().unwrap().contains("triclinic"), "{reasons:?}");
    assert!(reasons[2].as_ref().unwrap().contains("Cm"), "{reasons:?}");
    assert_eq!(reasons[1], reasons[3]);
    let error = evaluate(&model, &Params::init(model.parameters(), 1, &cpu()), &[&triclinic], &keys(1, 0));
    assert!(matches!(error, Err(ModelError::Unusable { .. })));
    let all = Adaptive::new(tiny()).unwrap();
    assert_eq!(all.unusable(&[&triclinic]), [None]);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let all = prototypes();
    let (model, _) = built(tiny(), &all.iter().collect::<Vec<_>>());
    let site = |element: &str, wyckoff: Option<char>| Site { element: element.parse().unwrap(), wyckoff };
    let ask = |group: u16, sites: Vec<Site>| {
        model.check(&Conditions::default().and_space_group(group).and_sites(sites))
    };
    ask(225, vec![site("Na", Some('a')), site("Cl", Some('b'))]).unwrap();
    ask(225, vec![site("Na", None), site("Cl", None)]).unwrap();
    for (group, sites, words) in [
        (225, vec![site("Na", Some('a')), site("Cl", Some('a'))], vec!["4a", "225", "single point"]),
        (225, vec![site("Na", Some('z'))], vec!["225", "`z`"]),
        (194, vec![site("Na", None)], vec!["194", "not trained", "225"]),
        (225, vec![site("Pu", None)], vec!["Pu", "never"]),
        (225, vec![], vec!["without any"]),
    ] {
        let error = ask(group, sites).unwrap_err();
        assert!(matches!(error, ModelError::Condition(_)), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "`{word}` in: {error}");
        }
    }
}

/// Letters that were asked for decide the composition and the group, whatever the network says.
#[test]
fn sites_with_letters_stay_on_their_positions() {
    let all = prototypes();
    let (model, params) = built(tiny(), &all.iter().collect::<Vec<_>>());
    let sites = |list: &[(&str, char)]| -> Vec<Site> {
        let site = |&(e, w): &(&str, char)| Site { element: e.parse().unwrap(), wyckoff: Some(w) };
        list.iter().map(site).collect()
    };
    let requests: Vec<SampleRequest> = [
        (225, sites(&[("Na", 'a'), ("Cl", 'b')])),
        (227, sites(&[("C", 'a')])),
        (154, sites(&[("Si", 'a'), ("O", 'c')])),
        (225, sites(&[("Na", 'a'), ("Cl", 'e')])),
    ]
    .into_iter()
    .zip(0..)
    .map(|((group, sites), index)| {
        SampleRequest::new(Conditions::default().and_space_group(group).and_sites(sites), 3, index)
    })
    .collect();
    let found = sample_all(&model, &params, &requests).unwrap();
    let atoms = [2, 2, 9, 7];
    let mut valid = 0;
    for ((found, request), atoms) in found.iter().zip(&requests).zip(atoms) {
        let Ok(s) = found else { continue };
        valid += 1;
        assert_eq!(s.len(), atoms);
        let group = analyze(s, 0.01).unwrap().number;
        assert_eq!(Some(group), request.conditions.space_group, "{s:?}");
    }
    assert!(valid >= 3, "{found:?}");
}

#[test]
fn sites_without_letters_get_the_group() {
    let all = prototypes();
    let (model, params) = built(tiny(), &all.iter().collect::<Vec<_>>());
    let sites = vec![Site { element: "C".parse().unwrap(), wyckoff: None }];
    let requests: Vec<SampleRequest> = (0..6)
        .map(|index| {
            SampleRequest::new(Conditions::default().and_space_group(227).and_sites(sites.clone()), 8, index)
        })
        .collect();
    let found = sample_all(&model, &params, &requests).unwrap();
    let valid: Vec<&Structure> = found.iter().flatten().collect();
    assert!(valid.len() >= 3, "{found:?}");
    for s in valid {
        assert_eq!(analyze(s, 0.01).unwrap().number, 227);
    }
}

#[test]
fn a_few_crystals_can_be_learned() {
    let all = prototypes();
    let training: Vec<&Structure> = all.iter().collect();
    let noise = NoiseConfig {
        position_target: PositionTarget::MinimumImage,
        on_positions: 0.5,
        ..NoiseConfig::default()
    };
    let (model, mut params) = built(AdaptiveConfig { noise, ..tiny() }, &training);
    let mut adam = Adam::new(&params, AdamConfig::default());
    let loss = |params: &Params| {
        (100..104).map(|e| evaluate(&model, params, &training, &keys(8, e)).unwrap().total).sum::<f64>() / 4.0
    };
    let before = loss(&params);
    for epoch in 0..250 {
        let mut gradient = differentiate(&model, &params, &training, &keys(8, epoch)).unwrap();
        gradient.clip(1.0);
        adam.step(&mut params, &gradient.grads, 4e-3);
    }
    let after = loss(&params);
    assert!(after < 0.75 * before, "{before} {after}");
}

#[test]
fn published_sizes_are_those_of_the_presets() {
    let mp_20: AdaptiveConfig = preset_model("adaptive-mp-20").unwrap();
    assert_eq!(mp_20, AdaptiveConfig::default());
    let full: AdaptiveConfig = preset_model("adaptive-full-mp").unwrap();
    assert_eq!((full.network.interaction, full.network.num_radial, full.network.cutoff), (32, 6, 5.0));
    let small: AdaptiveConfig = preset_model("adaptive-small").unwrap();
    let parameters = Adaptive::new(small).unwrap().parameters().iter().map(|s| s.len()).sum::<usize>();
    // With an average of the weights, 4 MB.
    assert!(parameters < 500_000, "{parameters}");
}

#[test]
fn bad_cells_in_training_are_an_error_and_no_panic() {
    let (model, params) = built(tiny(), &[&prototype("CsCl")]);
    let thin = Lattice::from_parameters([3.0, 3.0, 4000.0, 90.0, 90.0, 90.0]).unwrap();
    let s = Structure { lattice: thin, ..prototype("CsCl") };
    if let Err(e) = evaluate(&model, &params, &[&s], &keys(1, 0)) {
        assert!(e.to_string().contains("Cs"), "{e}");
    }
}
