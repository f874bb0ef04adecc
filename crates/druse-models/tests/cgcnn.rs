//! CGCNN on crystals of its own.

use druse_crystal::Structure;
use druse_models::property::cgcnn::{CgcnnConfig, CgcnnPredictor, CgcnnSizes, nearest_edges};
use druse_models::property::{ELEMENT_CLASSES, element_vector};
use druse_models::registry::Registry;
use druse_models::{ModelError, NoiseKey, Predictor, Trainable, differentiate};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::contract;
use druse_testkit::prototypes::{cesium_chloride, cubic, element, rock_salt};

fn tiny() -> CgcnnConfig {
    let network = CgcnnSizes {
        atom: 8,
        convolutions: 2,
        hidden: 8,
        spacing: 0.5,
        hidden_layers: 2,
        ..CgcnnSizes::default()
    };
    CgcnnConfig { property: "stiffness".into(), network }
}

fn crystals(count: usize) -> Vec<Structure> {
    (0..count)
        .map(|i| {
            let a = 3.2 + 0.05 * (i % 20) as f64;
            let mut s = cesium_chloride(["Na", "K", "Cs"][i % 3], "Cl", a);
            s.frac_coords[1][2] += 0.01 * (i % 5) as f64;
            s.properties.insert("stiffness".into(), (7.0 + 3.0 * (i % 3) as f64 - 2.0 * a).into());
            s
        })
        .collect()
}

fn keys(n: usize) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 1, epoch: 0, index }).collect()
}

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "cgcnn").run();
    contract::predictor(|| CgcnnPredictor::new(tiny()).unwrap()).property("stiffness").run();
}

#[test]
fn neighbors_that_tie_share_the_places_that_are_left() {
    // In rock salt an atom has 6 neighbors at a/2 and 12 at a/√2: six places for twelve.
    let salt = rock_salt("Na", "Cl", 5.64);
    let edges = nearest_edges(&salt, 12, 8.0).unwrap();
    assert_eq!(edges.len(), 2 * 18);
    let sum: f32 = edges.weight.iter().sum();
    assert!((sum - 24.0).abs() < 1e-5);
    for e in 0..edges.len() {
        let near = (edges.distance[e] - 2.82).abs() < 1e-9;
        assert_eq!(edges.weight[e], if near { 1.0 } else { 0.5 });
        assert_eq!(near, edges.center[e] != edges.neighbor[e]);
    }
}

#[test]
fn an_atom_with_few_neighbors_gets_those_that_are_missing() {
    let lonely = cubic(7.0, &[("He", [0.0; 3])]);
    let edges = nearest_edges(&lonely, 12, 8.0).unwrap();
    let within = edges.distance.iter().filter(|d| (**d - 7.0).abs() < 1e-9).count();
    assert_eq!((edges.len(), within), (12, 6));
    assert_eq!(edges.distance[6..], [9.0; 6]);
    assert_eq!(edges.neighbor, [0; 12]);
}

#[test]
fn a_property_is_learned_and_vectors_say_it() {
    let all = crystals(60);
    let all: Vec<&Structure> = all.iter().collect();
    let mut model = CgcnnPredictor::new(tiny()).unwrap();
    model.fit_statistics(&all).unwrap();
    let mut params = Params::init(model.parameters(), 3, &cpu());
    let mut adam = Adam::new(&params, AdamConfig::default());
    let mut losses = Vec::new();
    for _ in 0..100 {
        let mut gradient = differentiate(&model, &params, &all, &keys(60)).unwrap();
        losses.push(gradient.objective.total);
        adam.step(&mut params, &gradient.grads, 1e-2);
        params.apply_updates(std::mem::take(&mut gradient.buffers));
    }
    assert!(losses[99] < 0.1 * losses[0], "{} {}", losses[0], losses[99]);
    // With the running statistics the error is small, too.
    let predicted = model.predict(&params, &all).unwrap();
    let error: f64 = all
        .iter()
        .zip(&predicted)
        .map(|(s, p)| (s.properties["stiffness"].as_f64().unwrap() - p).abs())
        .sum();
    assert!(error / 60.0 < 0.5, "{error}");
    // The prediction is linear in the vectors.
    let vectors = model.embed(&params, &all).unwrap();
    assert!(vectors.iter().all(|v| v.len() == 8));
    assert_eq!(model.embedding(), "8 activations before the last layer");
}

#[test]
fn elements_beyond_the_table_are_named() {
    let model = CgcnnPredictor::new(tiny()).unwrap();
    let heavy = cubic(4.0, &[("Lr", [0.0; 3])]);
    assert!(matches!(Predictor::check(&model, &heavy), Err(ModelError::UnknownElement { .. })));
    assert_eq!(element_vector(element("Fm")).len(), ELEMENT_CLASSES);
    assert!(CgcnnPredictor::new(CgcnnConfig { property: " ".into(), ..tiny() }).is_err());
    let network = CgcnnSizes { neighbors: 0, ..CgcnnSizes::default() };
    let error = CgcnnPredictor::new(CgcnnConfig { network, ..tiny() }).err().unwrap();
    assert!(error.to_string().contains("network.neighbors = 0"), "{error}");
}
