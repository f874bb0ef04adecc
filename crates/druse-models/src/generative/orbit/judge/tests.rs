use druse_crystal::{Composition, Element, Structure};
use druse_data::substitution::{Library, Parent};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::memory::to_host;
use druse_nn::optim::{Adam, AdamConfig};

use super::facts::Facts;
use super::votes::Ballot;
use crate::orbit::{JudgeConfig, NetworkConfig, Orbit, OrbitConfig};
use crate::{Batch, MicroBatchLimit, NoiseKey, Trainable, TrainingPhase};

fn small() -> Orbit {
    let network =
        NetworkConfig { width: 8, layers: 1, heads: 2, pair_width: 8, radial: 8, ..NetworkConfig::default() };
    let judge = JudgeConfig { hidden: 8, kept: 1.0, ..JudgeConfig::default() };
    Orbit::new(OrbitConfig { network, judge, tolerance: 0.01, ..OrbitConfig::default() }).unwrap()
}

fn element(symbol: &str) -> Element {
    symbol.parse().unwrap()
}

/// Rock salt, or caesium chloride.
fn halide(kind: &str, cation: &str, anion: &str) -> Structure {
    let s = druse_testkit::prototype(kind);
    let species =
        s.species.iter().map(|&e| if e == s.species[0] { element(cation) } else { element(anion) }).collect();
    Structure { species, ..s }
}

#[test]
fn probabilities_are_shares_of_votes() {
    let model = small();
    let params = Params::init(&model.specs, 1, &cpu());
    let known = [("NaCl", "Na", "Cl"), ("NaCl", "K", "Br"), ("CsCl", "Cs", "I"), ("CsCl", "Tl", "Br")];
    let parents = known.map(|(kind, a, b)| Parent::new(format!("{a}{b}"), halide(kind, a, b)));
    let library = Library::new(parents);
    let ballot = Ballot::new(&library, &Composition::parse("RbCl").unwrap(), None, None, None, 10).unwrap();
    let counted = ballot.counted(&model.judge, &params).unwrap();
    assert_eq!(counted.len(), 2);
    assert!(counted.is_sorted_by(|a, b| a.1 >= b.1));
    assert!((counted.iter().map(|(_, p)| p.exp()).sum::<f64>() - 1.0).abs() < 1e-9);
    // By hand from the scores.
    let all: Vec<usize> = (0..4).collect();
    let facts = Facts::new([(&ballot.composition, &*ballot.near, &*all)]);
    let scores = to_host(model.judge.forward(&params, &facts)).unwrap();
    let weight = |of: usize| -> f64 {
        (0..4).filter(|&k| ballot.template[k] == of).map(|k| f64::from(scores[k]).exp()).sum()
    };
    let first = ballot.template[counted[0].0];
    assert!((counted[0].1 - (weight(first) / (weight(0) + weight(1))).ln()).abs() < 1e-5);
    // Of the crystals of a template the one with the largest weight is taken.
    let best =
        (0..4).filter(|&k| ballot.template[k] == first).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    assert_eq!(Some(counted[0].0), best);

    // In one space group alone, and without one of the crystals.
    let group = Ballot::new(&library, &ballot.composition, Some(221), None, None, 10).unwrap();
    assert_eq!(group.near.len(), 2);
    let without =
        Ballot::new(&library, &ballot.composition, None, Some(ballot.near[0].place), None, 10).unwrap();
    assert_eq!(without.near[..], ballot.near[1..]);
}

/// What decides between the two structures is the cation's size, which the distance of compositions knows as one of several
/// differences.
#[test]
fn it_learns_what_decides() {
    let mut model = small();
    let known = ["Li", "Na", "K", "Ag"]
        .map(|c| ("NaCl", c))
        .into_iter()
        .chain(["Cs", "Tl", "Rb"].map(|c| ("CsCl", c)));
    let crystals: Vec<Structure> =
        known.flat_map(|(kind, c)| ["F", "Cl", "Br", "I"].map(|a| halide(kind, c, a))).collect();
    let training: Vec<&Structure> = crystals.iter().collect();
    model.fit_statistics(&training).unwrap();
    let mut params = Params::init(&model.specs, 1, &cpu());
    let phase = TrainingPhase::all(&model).unwrap().remove(1);
    let limit = MicroBatchLimit::for_device(&cpu());
    let mut adam = Adam::of_group(&params, &phase.group, AdamConfig::default());
    let keys = |epoch| {
        (0..training.len() as u64).map(|index| NoiseKey { seed: 1, epoch, index }).collect::<Vec<_>>()
    };
    let gradient = |params: &Params, epoch| {
        let batch = Batch::new(&model, training.clone(), keys(epoch)).of_phase(&phase);
        batch.differentiate(params, &limit).unwrap()
    };
    let before = gradient(&params, 0).objective.total;
    for epoch in 0..60 {
        let found = gradient(&params, epoch);
        adam.step(&mut params, &found.grads, 1e-2);
    }
    let after = gradient(&params, 0).objective.total;
    assert!(after < 0.5 * before, "{before} {after}");
}
