//! Substitution as a model: its contract, its checkpointed arrays, its answers.

use druse_crystal::{Composition, Structure};
use druse_data::substitution::Parent;
use druse_models::substitute::Substitute;
use druse_models::{Conditions, Generator, ModelError, Registry, SampleRequest, Trainable, sample_all};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_testkit::contract::{self, Check};
use druse_testkit::prototypes;
use serde_json::json;

#[test]
fn it_keeps_the_contract_of_models() {
    contract::generator(Substitute::default)
        .skip(Check::Noise, "candidates have an order, and nothing is drawn")
        .run();
}

#[test]
fn it_is_registered_as_it_says() {
    contract::kind(&Registry::builtin(), "substitute").run();
}

/// A model of crystals from textbooks.
fn textbook() -> Substitute {
    let all = prototypes();
    let named: Vec<(&str, &Structure)> = all.iter().map(|(id, s)| (*id, s)).collect();
    let mut model = Substitute::default();
    model.fit_named_statistics(&named).unwrap();
    model
}

fn ask(model: &Substitute, conditions: Conditions, nth: u64) -> Result<Structure, ModelError> {
    let params = Params::init(model.parameters(), 0, &cpu());
    let request = SampleRequest { nth, ..SampleRequest::new(conditions, 0, 0) };
    sample_all(model, &params, &[request]).unwrap().remove(0)
}

fn composition(formula: &str) -> Conditions {
    Composition::parse(formula).unwrap().into()
}

#[test]
fn candidates_come_in_order_with_what_they_are_made_of() {
    let model = textbook();
    let found: Vec<Structure> = (0..3).map(|nth| ask(&model, composition("NaBr"), nth).unwrap()).collect();
    for (s, rank) in found.iter().zip(1..) {
        assert_eq!(Composition::from_species(&s.species), Composition::parse("NaBr").unwrap());
        assert_eq!(s.properties["rank"], json!(rank));
    }
    let first = &found[0].properties;
    assert_eq!((&first["parent"], &first["parent_formula"]), (&json!("NaCl"), &json!("NaCl")));
    assert_eq!(first["template"], json!("225 (Fm-3m): Na:4a,Br:4b"));
    let distance = |s: &Structure| s.properties["distance"].as_f64().unwrap();
    assert!(found.is_sorted_by(|a, b| distance(a) <= distance(b)));
    // Three templates of two different atoms are known, and a fourth is not made up.
    let message = ask(&model, composition("NaBr"), 3).unwrap_err().to_string();
    assert!(
        message.contains("no further candidate for Na1 Br1") && message.contains("3 in all"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_answered_says_why() {
    let model = textbook();
    let refused = |conditions: Conditions| ask(&model, conditions, 0).unwrap_err().to_string();
    let message = refused(composition("LiFePO4"));
    assert!(message.contains("1 + 1 + 1 + 4") && message.contains("Li1 Fe1 P1 O4"), "{message}");
    let message = refused(composition("K2Br2"));
    assert!(message.contains("2 + 2") && message.contains("KBr"), "{message}");
    let message = refused(composition("KBr").and_space_group(62));
    assert!(message.contains("62") && message.contains("221") && message.contains("216"), "{message}");
    // Beyond the largest cell nothing is looked for.
    let too_large = model.check(&composition("Na8Cl8")).unwrap_err();
    assert!(matches!(too_large, ModelError::TooManyAtoms { atoms: 16, limit: 9, .. }), "{too_large}");
    let nothing = Substitute::default();
    let message = ask(&nothing, composition("NaCl"), 0).unwrap_err().to_string();
    assert!(message.contains("no crystal of 0"), "{message}");
}

#[test]
fn a_space_group_is_met() {
    let model = textbook();
    let s = ask(&model, composition("RbI").and_space_group(225), 0).unwrap();
    assert_eq!(s.properties["parent"], json!("NaCl"));
    assert_eq!(druse_crystal::symmetry::analyze(&s, 0.01).unwrap().number, 225);
}

#[test]
fn arrays_are_the_library_and_damaged_ones_are_refused() {
    let model = textbook();
    let restore = |statistics: serde_json::Value, arrays| {
        let mut restored = Substitute::default();
        restored.restore_statistics(&statistics)?;
        restored.restore_arrays(&arrays)?;
        Ok::<_, ModelError>(restored)
    };
    let (statistics, arrays) = (model.statistics(), model.arrays());
    let restored = restore(statistics.clone(), arrays.clone()).unwrap();
    assert_eq!(restored.arrays(), arrays);
    let of = |model: &Substitute| -> Vec<(String, Structure, String)> {
        let one = |p: &Parent| (p.id().to_owned(), p.structure().clone(), p.template().to_string());
        model.library().parents().iter().map(one).collect()
    };
    assert_eq!(of(&restored), of(&model));
    assert_eq!(restored.capabilities(), model.capabilities());
    // Each array, too short, too long, with numbers that are none of its kind, or missing.
    for name in arrays.keys() {
        for damage in 0..4 {
            let mut damaged = arrays.clone();
            let values = &mut damaged.get_mut(name).unwrap().1;
            match damage {
                0 => _ = values.pop(),
                1 => values.extend([1.0; 9]),
                2 => values.iter_mut().for_each(|x| *x = f32::NAN),
                _ => _ = damaged.remove(name),
            }
            let error = restore(statistics.clone(), damaged).map(|_| ()).unwrap_err();
            assert!(matches!(error, ModelError::Config(_)), "{name}, {damage}: {error}");
        }
    }
    for wrong in [json!({}), json!({ "ids": ["one"] }), json!({ "ids": 3 })] {
        assert!(restore(wrong.clone(), arrays.clone()).is_err(), "{wrong}");
    }
}
