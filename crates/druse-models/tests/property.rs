//! The predictor on crystals of its own.

use druse_crystal::{Element, Lattice, Structure};
use druse_models::property::dimenet::{PropertyConfig, PropertyPredictor};
use druse_models::registry::Registry;
use druse_models::{ModelError, NoiseKey, Predictor, Trainable, differentiate, evaluate};
use druse_nn::Params;
use druse_nn::blocks::dimenet::DimeNetConfig;
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::contract::{self, Check};

fn tiny() -> PropertyConfig {
    let network = DimeNetConfig {
        hidden: 16,
        interaction: 8,
        output_embedding: 16,
        blocks: 1,
        num_spherical: 3,
        num_radial: 4,
        output_layers: 1,
        ..DimeNetConfig::default()
    };
    PropertyConfig { property: "stiffness".into(), network, ..PropertyConfig::default() }
}

/// Cells of the structure of caesium chloride; the property depends on the elements and on the length of the cell.
fn crystals(count: usize) -> Vec<Structure> {
    let cations = ["Na", "K", "Cs"];
    (0..count)
        .map(|i| {
            let a = 3.2 + 0.05 * (i % 20) as f64;
            let species = [cations[i % 3], "Cl"].map(|s| Element::from_symbol(s).unwrap()).to_vec();
            let frac = vec![[0.0; 3], [0.5, 0.5, 0.5 + 0.01 * (i % 5) as f64]];
            let mut s = Structure::new(Lattice::cubic(a).unwrap(), species, frac).unwrap();
            s.properties.insert("stiffness".into(), (7.0 + 3.0 * (i % 3) as f64 - 2.0 * a).into());
            s
        })
        .collect()
}

fn keys(n: usize) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 1, epoch: 0, index }).collect()
}

fn mean_absolute_error(predicted: &[f64], structures: &[&Structure]) -> f64 {
    let values = structures.iter().map(|s| s.properties["stiffness"].as_f64().unwrap());
    predicted.iter().zip(values).map(|(p, v)| (p - v).abs()).sum::<f64>() / predicted.len() as f64
}

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "property").run();
    contract::predictor(|| PropertyPredictor::new(tiny()).unwrap())
        .property("stiffness")
        .skip(
            Check::Supercell,
            "as published, messages from images of their destination are left out; supercells tell images apart",
        )
        .run();
}

#[test]
fn a_property_is_learned() {
    let all = crystals(60);
    let all: Vec<&Structure> = all.iter().collect();
    let mut model = PropertyPredictor::new(tiny()).unwrap();
    model.fit_statistics(&all).unwrap();
    assert!(model.inspect(&all).unwrap().is_empty());
    assert_eq!(model.bonds().len(), 60);
    let mut params = Params::init(model.parameters(), 3, &cpu());
    let start = mean_absolute_error(&model.predict(&params, &all).unwrap(), &all);
    let mut adam = Adam::new(&params, AdamConfig::default());
    for _ in 0..150 {
        let gradient = differentiate(&model, &params, &all, &keys(60)).unwrap();
        adam.step(&mut params, &gradient.grads, 4e-3);
    }
    let predicted = model.predict(&params, &all).unwrap();
    let error = mean_absolute_error(&predicted, &all);
    assert!(error < 0.1 * start, "{start} {error}");
    // The log's figure is the error in the unit of the property.
    let objective = evaluate(&model, &params, &all, &keys(60)).unwrap();
    let (name, mae) = objective.parts[1];
    assert_eq!(name, "mae");
    assert!((mae - error).abs() < 1e-4 * start, "{mae} {error}");
    assert_eq!(objective.total, objective.parts[0].1);
}

#[test]
fn data_that_cannot_be_learned_is_refused() {
    let all = crystals(4);
    let refused = |structures: &[&Structure], config: PropertyConfig| {
        PropertyPredictor::new(config).unwrap().fit_statistics(structures).unwrap_err().to_string()
    };
    let refs: Vec<&Structure> = all.iter().collect();
    assert!(refused(&refs[..1], tiny()).contains("too few"));
    let missing = refused(&refs, PropertyConfig { property: "gap".into(), ..tiny() });
    assert!(missing.contains("gap") && missing.contains("stiffness"), "{missing}");
    let mut constant = all.clone();
    constant.iter_mut().for_each(|s| *s.properties.get_mut("stiffness").unwrap() = 2.5.into());
    assert!(refused(&constant.iter().collect::<Vec<_>>(), tiny()).contains("2.5"));
    let mut words = all.clone();
    *words[2].properties.get_mut("stiffness").unwrap() = "high".into();
    assert!(refused(&words.iter().collect::<Vec<_>>(), tiny()).contains("high"));
    let mut heavy = all.clone();
    heavy[0].species[0] = Element::from_symbol("Fm").unwrap();
    assert!(refused(&heavy.iter().collect::<Vec<_>>(), tiny()).contains("Fm"));
}

#[test]
fn a_predictor_without_training_data_does_not_predict() {
    let all = crystals(2);
    let mut model = PropertyPredictor::new(tiny()).unwrap();
    let params = Params::init(model.parameters(), 1, &cpu());
    assert!(matches!(model.predict(&params, &[&all[0]]), Err(ModelError::Config(_))));
    for broken in [serde_json::json!({}), serde_json::json!({"property": {"mean": [1.0], "std": [0.0]}})] {
        assert!(matches!(model.restore_statistics(&broken), Err(ModelError::Config(_))));
    }
    assert!(PropertyPredictor::new(PropertyConfig { property: " ".into(), ..tiny() }).is_err());
    let network = DimeNetConfig { basis: 0, ..DimeNetConfig::default() };
    let error = PropertyPredictor::new(PropertyConfig { network, ..tiny() }).err().unwrap();
    assert!(error.to_string().contains("network.basis = 0"), "{error}");
}

#[test]
fn bad_crystals_are_named() {
    let all = crystals(3);
    let mut model = PropertyPredictor::new(tiny()).unwrap();
    model.fit_statistics(&all.iter().collect::<Vec<_>>()).unwrap();
    let params = Params::init(model.parameters(), 1, &cpu());
    let mut collapsed = all[0].clone();
    collapsed.frac_coords[1] = collapsed.frac_coords[0];
    let error = model.predict(&params, &[&all[1], &collapsed]).unwrap_err();
    assert!(matches!(&error, ModelError::Bonds(e) if e.to_string().contains("Cl")), "{error}");
    let mut heavy = all[0].clone();
    heavy.species[0] = Element::from_symbol("Fm").unwrap();
    assert!(matches!(model.predict(&params, &[&heavy]), Err(ModelError::UnknownElement { .. })));
}
