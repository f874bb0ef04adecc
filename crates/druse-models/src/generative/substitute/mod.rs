//! Substitution: the crystals of the training set with other elements, those of the nearest compositions first.
//!
//! Nothing is learned but a volume for each element. The method is [`druse_data::substitution`]; here it is a model, kept in a
//! checkpoint, that serves compositions like any other.

use druse_crystal::{Element, Structure};
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use crate::kinds::{Kind, Preset};
use crate::settings::NoSettings;
use crate::traits::Arrays;
use crate::{
    Capabilities, Condition, ConditionSet, Generator, InFlight, InFlightSampler, MicroBatchLimit, Model,
    ModelError, NoiseKey, Phase, Prepared, Reverse, SampleRequest, Sampler, Trainable,
};

mod model;

pub use model::Substitute;

/// The combinations of conditions that it serves.
const SERVED: &[ConditionSet] = &[
    ConditionSet::of(&[Condition::Composition]),
    ConditionSet::of(&[Condition::Composition, Condition::SpaceGroup]),
];

/// Substitution as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "substitute",
        "known crystals with other elements, the nearest compositions first",
        |_: NoSettings, _: NoSettings| Ok(Model::generator(Substitute::default())),
    )
    .with_conditions(SERVED)
    .with_presets([Preset::new("substitute", include_str!("presets/substitute.toml"))])
}

impl Trainable for Substitute {
    fn kind(&self) -> &'static str {
        "substitute"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &[]
    }

    fn phases(&self) -> Vec<Phase> {
        Vec::new()
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        let ids: Vec<String> = (1..=training.len()).map(|row| format!("row-{row}")).collect();
        let named = ids.iter().map(String::as_str).zip(training.iter().copied());
        self.fit_named_statistics(&named.collect::<Vec<_>>())
    }

    fn fit_named_statistics(&mut self, training: &[(&str, &Structure)]) -> Result<(), ModelError> {
        self.known.fit(training)
    }

    fn statistics(&self) -> Value {
        self.known.ids()
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.known.restore_ids(statistics)
    }

    fn arrays(&self) -> Arrays {
        self.known.arrays()
    }

    fn known_structures(&self) -> Vec<(&str, &Structure)> {
        self.known.structures().collect()
    }

    fn restore_arrays(&mut self, arrays: &Arrays) -> Result<(), ModelError> {
        self.known.restore_arrays(arrays)
    }

    fn prepare<'a>(&'a self, _: &[&Structure], _: &[NoiseKey]) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        Err(ModelError::Lacks {
            model: self.kind(),
            lacks: "has no objective",
            has: vec!["finished when its statistics are fitted"],
        })
    }

    fn loss_counts(&self, _: &[&Structure]) -> Vec<f64> {
        Vec::new()
    }
}

impl Generator for Substitute {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, Element::MAX_Z).with_max_atoms(self.known.largest())
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

/// There is nothing on the way: a request is answered when it comes.
impl Reverse for Substitute {
    type State = Structure;

    fn total_steps(&self) -> usize {
        1
    }

    fn start(&self, _: &Params, request: &SampleRequest) -> Result<Structure, ModelError> {
        self.candidate(&request.conditions, request.nth)
    }

    fn species<'s>(&self, state: &'s Structure) -> &'s [Element] {
        &state.species
    }

    fn step(&self, _: &Params, _: &mut [InFlight<Structure>]) -> Result<(), ModelError> {
        Ok(())
    }

    fn finish(&self, _: &Params, state: Structure) -> Result<Structure, ModelError> {
        Ok(state)
    }
}
