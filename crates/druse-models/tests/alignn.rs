//! ALIGNN on crystals of its own.

use druse_crystal::Structure;
use druse_models::property::alignn::{AlignnConfig, AlignnGraph, AlignnPredictor, AlignnSizes, shell_graph};
use druse_models::registry::Registry;
use druse_models::{ModelError, NoiseKey, Predictor, Trainable, differentiate};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototypes::{cesium_chloride, cubic, rock_salt};

fn tiny() -> AlignnConfig {
    let network = AlignnSizes {
        hidden: 8,
        embedding: 6,
        alignn_layers: 1,
        gcn_layers: 1,
        distance_bins: 10,
        angle_bins: 6,
        neighbors: 6,
        ..AlignnSizes::default()
    };
    AlignnConfig { property: "stiffness".into(), network }
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

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "alignn").run();
    contract::predictor(|| AlignnPredictor::new(tiny()).unwrap())
        .property("stiffness")
        .skip(
            Check::Supercell,
            "as published, edges to images of the atom itself are there twice; a supercell has other atoms there",
        )
        .run();
}

/// How often each edge repeats an earlier one, in all.
fn repeated(graph: &AlignnGraph) -> usize {
    let key =
        |e: usize| (graph.source[e], graph.target[e], graph.vector[e].map(|x| (x * 1e6).round() as i64));
    (0..graph.num_edges()).filter(|&e| (0..e).any(|f| key(f) == key(e))).count()
}

#[test]
fn shells_are_kept_whole_and_images_are_doubled() {
    // In rock salt an atom has 6 neighbors of the other kind at a/2 and 12 of its own at a/√2.
    let graph = shell_graph(&rock_salt("Na", "Cl", 5.64), 12).unwrap();
    assert_eq!(graph.num_edges(), 2 * 6 + 2 * 24);
    assert_eq!(repeated(&graph), 2 * 12);
    // An atom is left by 6 + 24 edges; those that reach it from itself do not pair with themselves.
    assert_eq!(graph.num_pairs(), 2 * (6 * 30 + 24 * 29));
    // With six neighbors there are no images, and the way back is one of six continuations.
    let graph = shell_graph(&rock_salt("Na", "Cl", 5.64), 6).unwrap();
    assert_eq!((graph.num_edges(), repeated(&graph), graph.num_pairs()), (12, 0, 72));
    let count = |cosine: f64| graph.cosine.iter().filter(|c| (*c - cosine).abs() < 1e-9).count();
    assert_eq!([count(1.0), count(0.0), count(-1.0)], [12, 48, 12]);
}

#[test]
fn an_edge_is_there_if_either_atom_asks_for_it() {
    // A third atom far from a pair: it has neighbors in the pair, which have nearer ones themselves.
    let s = cubic(10.0, &[("H", [0.0; 3]), ("H", [0.1, 0.0, 0.0]), ("He", [0.4, 0.0, 0.0])]);
    let graph = shell_graph(&s, 1).unwrap();
    let pairs: Vec<(u32, u32)> = graph.source.iter().copied().zip(graph.target.iter().copied()).collect();
    assert_eq!(pairs, [(0, 1), (1, 0), (1, 2), (2, 1)]);
    assert!((graph.vector[2][0] - 3.0).abs() < 1e-9 && (graph.vector[3][0] + 3.0).abs() < 1e-9);
    assert_eq!(graph.first, [0, 0, 1, 2, 3, 3]);
    assert_eq!(graph.second, [1, 2, 0, 3, 1, 2]);
    assert!(AlignnGraph::from_edges(2, vec![0], vec![2], vec![[1.0; 3]]).is_err());
}

#[test]
fn the_published_network_has_the_published_number_of_weights() {
    let model = AlignnPredictor::new(AlignnConfig::default()).unwrap();
    let trainable = model.parameters().iter().filter(|p| !p.name.contains(".running_"));
    assert_eq!(trainable.map(|p| p.len()).sum::<usize>(), 4_026_753);
}

#[test]
fn a_property_is_learned() {
    let all = crystals(40);
    let all: Vec<&Structure> = all.iter().collect();
    let mut model = AlignnPredictor::new(tiny()).unwrap();
    model.fit_statistics(&all).unwrap();
    let keys: Vec<NoiseKey> = (0..40).map(|index| NoiseKey { seed: 1, epoch: 0, index }).collect();
    let mut params = Params::init(model.parameters(), 3, &cpu());
    let mut adam = Adam::new(&params, AdamConfig::default());
    let mut losses = Vec::new();
    for _ in 0..60 {
        let gradient = differentiate(&model, &params, &all, &keys).unwrap();
        losses.push(gradient.objective.total);
        adam.step(&mut params, &gradient.grads, 1e-2);
        params.apply_updates(gradient.buffers);
    }
    assert!(losses[59] < 0.15 * losses[0], "{} {}", losses[0], losses[59]);
    let vectors = model.embed(&params, &all[..3]).unwrap();
    assert!(vectors.iter().all(|v| v.len() == 8 && v.iter().all(|x| x.is_finite())));
}

#[test]
fn impossible_settings_and_elements_are_named() {
    let network = AlignnSizes { angle_bins: 1, ..AlignnSizes::default() };
    let error = AlignnPredictor::new(AlignnConfig { network, ..tiny() }).err().unwrap();
    assert!(error.to_string().contains("network.angle_bins = 1"), "{error}");
    let model = AlignnPredictor::new(tiny()).unwrap();
    let heavy = cubic(4.0, &[("Lr", [0.0; 3])]);
    assert!(matches!(Predictor::check(&model, &heavy), Err(ModelError::UnknownElement { .. })));
}
