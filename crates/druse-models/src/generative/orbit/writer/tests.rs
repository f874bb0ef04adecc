//! Probabilities of templates, and that they are learned.

use druse_crystal::{Composition, Structure};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig};
use druse_testkit::prototype;

use super::super::config::{NetworkConfig, OrbitConfig};
use super::*;
use crate::orbit::Orbit;
use crate::{Batch, MicroBatchLimit, NoiseKey, Trainable, TrainingPhase};

fn model() -> (Orbit, Params) {
    let network =
        NetworkConfig { width: 8, layers: 1, heads: 1, pair_width: 4, radial: 4, ..NetworkConfig::default() };
    let writer = WriterConfig { width: 16, ..WriterConfig::default() };
    let mut model = Orbit::new(OrbitConfig { network, writer, ..OrbitConfig::default() }).unwrap();
    let known: Vec<Structure> = ["quartz", "NaCl", "KNbO3", "CsCl", "SrTiO3"].map(prototype).into();
    model.fit_statistics(&known.iter().collect::<Vec<_>>()).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    (model, params)
}

fn written(
    (model, params): (&Orbit, &Params),
    formula: &str,
    group: Option<u16>,
    others: &[Draft],
) -> (Asked, Written) {
    let composition = Composition::parse(formula).unwrap();
    let library = model.known.library();
    let nearest = model.exchanges.all(library, &composition, group);
    let ground = Ground::of_request(library, &composition, None, &nearest);
    let writer = model.writer.as_ref().unwrap();
    let written = Written::new(writer, params, &ground, group, others).unwrap();
    (ground.asked, written)
}

/// Whatever is written has the atoms that were asked for, and its probability is the same when it is asked about.
#[test]
fn templates_have_the_atoms_asked_for() {
    let (model, params) = model();
    for formula in ["RbBr", "BaZrO3", "Ca2Si3O8", "Al"] {
        let (asked, found) = written((&model, &params), formula, None, &[]);
        assert!(!found.best.is_empty() && found.best.is_sorted_by(|a, b| a.1 >= b.1), "{formula}");
        let drafts: Vec<Draft> = found.best.iter().map(|(draft, _)| draft.clone()).collect();
        let (_, again) = written((&model, &params), formula, None, &drafts);
        for ((draft, likely), other) in found.best.iter().zip(again.others) {
            assert!((likely - other).abs() < 1e-4, "{formula}: {likely} {other}");
            let templates = asked.templates(draft);
            assert!(!templates.is_empty(), "{formula}: {draft:?}");
            for template in templates {
                let atoms = Composition::parse(formula).unwrap();
                assert_eq!(asked.own(&template), Some(draft.clone()));
                let total: usize = template.positions().map(|w| w.primitive_multiplicity()).sum();
                assert_eq!(total, atoms.num_atoms(), "{formula}: {template}");
            }
        }
    }
}

/// In one group the probabilities of all templates add up to one, where every beginning has an end.
#[test]
fn probabilities_add_up_to_one() {
    let (model, params) = model();
    for (formula, group, templates) in [("NaCl", 225, 1), ("KBr", 221, 1), ("KLiO2", 123, 3)] {
        let (_, found) = written((&model, &params), formula, Some(group), &[]);
        assert!(found.best.iter().all(|(draft, _)| draft.group == group));
        assert!(found.best.len() >= templates, "{formula}: {:?}", found.best);
        let sum: f64 = found.best.iter().map(|(_, likely)| likely.exp()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{formula}: {sum}");
    }
    // A group that cannot hold the atoms has none.
    let (_, found) = written((&model, &params), "NaCl", Some(227), &[]);
    assert!(found.best.is_empty());
}

/// A template that nobody votes for is learned.
#[test]
fn it_learns_templates() {
    let (model, mut params) = model();
    let quartz = prototype("quartz");
    let phase = TrainingPhase::all(&model).unwrap().remove(2);
    assert_eq!(phase.phase.name, "writer");
    let mut adam = Adam::of_group(&params, &phase.group, AdamConfig::default());
    let described = model.described(&quartz);
    let template = described.as_ref().as_ref().unwrap().crystal.template();
    let draft = Asked::new(&template.composition()).own(&template).unwrap();
    let likely = |params: &Params| {
        let asked = model.own_ground(&quartz, &template);
        let writer = model.writer.as_ref().unwrap();
        Written::new(writer, params, &asked, None, std::slice::from_ref(&draft)).unwrap().others[0]
    };
    let before = likely(&params);
    for epoch in 0..120 {
        let keys = [NoiseKey { seed: 1, epoch, index: 0 }];
        let batch = Batch::new(&model, vec![&quartz], keys.to_vec()).of_phase(&phase);
        let gradient = batch.differentiate(&params, &MicroBatchLimit::for_device(&cpu())).unwrap();
        adam.step(&mut params, &gradient.grads, 1e-2);
    }
    let after = likely(&params);
    assert!(before < -4.0 && after > -0.1, "{before} {after}");
}
