//! Crystals on Wyckoff orbits: the free numbers of a cell and of its distinct sites, by a flow, for a given space group and
//! Wyckoff positions.

use druse_crystal::{Element, Structure, WyckoffSequence};
use druse_nn::{ParamSpec, Params};
use rayon::prelude::*;
use serde_json::Value;

use crate::kinds::{Kind, Preset};
use crate::{
    Capabilities, Condition, ConditionSet, Conditions, Generator, InFlight, InFlightSampler, MicroBatchLimit,
    Model, ModelError, NoiseKey, Prepared, Reverse, SampleRequest, Sampler, Site, Trainable,
};

mod cell;
mod config;
mod model;
mod network;
mod objective;
mod pairs;
mod paths;
mod sampler;
mod tokens;
mod trunk;

pub use config::{Coupling, FlowConfig, NetworkConfig, OrbitConfig, OrbitSampling, OrbitWeights};
pub use model::{CellScale, Orbit, PositionSet, Statistics};

use objective::PreparedMicroBatch;
use sampler::State;

/// The combinations of conditions that it serves.
const SERVED: &[ConditionSet] = &[ConditionSet::of(&[Condition::SpaceGroup, Condition::Sites])];

/// Crystals on Wyckoff orbits as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "orbit",
        "flow of the free numbers of cell and Wyckoff positions",
        |settings, sampling: OrbitSampling| {
            Ok(Model::generator(Orbit::new(settings)?.with_sampling(&sampling)?))
        },
    )
    .with_conditions(SERVED)
    .with_presets([
        Preset::new("orbit-base", include_str!("presets/orbit-base.toml")),
        Preset::new("orbit-small", include_str!("presets/orbit-small.toml")),
    ])
}

impl Trainable for Orbit {
    fn kind(&self) -> &'static str {
        "orbit"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn unusable(&self, structures: &[&Structure]) -> Vec<Option<String>> {
        structures.par_iter().map(|s| self.described(s).as_ref().as_ref().err().cloned()).collect()
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        self.fit(training)
    }

    fn statistics(&self) -> Value {
        serde_json::to_value(&self.statistics).expect("statistics are plain data")
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.statistics = serde_json::from_value(statistics.clone())
            .map_err(|e| ModelError::Config(format!("statistics of the training set: {e}")))?;
        Ok(())
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        Ok(Box::new(PreparedMicroBatch::new(self, micro_batch, noise)?))
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64; 2]
    }
}

impl Generator for Orbit {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, 118)
    }

    fn check(&self, conditions: &Conditions) -> Result<(), ModelError> {
        self.capabilities().check("orbit", conditions)?;
        self.check_sites(conditions)
    }

    /// Its space group and its distinct sites with their Wyckoff letters.
    fn conditions_like(&self, structure: &Structure) -> Result<Conditions, ModelError> {
        let described = self.described(structure);
        let described = described.as_ref().as_ref().map_err(|e| model::unusable(structure, e))?;
        let sites = described.crystal.sites().iter();
        let sites = sites.map(|s| Site { element: s.element, wyckoff: Some(s.letter) }).collect();
        Ok(Conditions::default().and_space_group(described.crystal.group().number()).and_sites(sites))
    }

    fn wyckoff_frequencies(&self) -> Vec<(WyckoffSequence, usize)> {
        self.statistics.positions.iter().map(|set| (set.sequence.clone(), set.structures)).collect()
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

impl Reverse for Orbit {
    type State = State;

    fn total_steps(&self) -> usize {
        self.sampling.evaluations
    }

    fn start(&self, _: &Params, request: &SampleRequest) -> Result<State, ModelError> {
        State::start(self, request)
    }

    fn species<'s>(&self, state: &'s State) -> &'s [Element] {
        state.species()
    }

    fn step(&self, params: &Params, crystals: &mut [InFlight<State>]) -> Result<(), ModelError> {
        sampler::step(self, params, crystals)
    }

    fn finish(&self, _: &Params, state: State) -> Result<Structure, ModelError> {
        state.finish()
    }
}
