//! Adaptive cells: crystals from a space group and its distinct sites, with positions and cell denoised in turns.
//!
//! Sultanov, Crivello, Rebafka, Sokolovska, "Data-Driven Score-Based Models for Generating Stable Structures with Adaptive
//! Crystal Cells", J. Chem. Inf. Model. 63 (2023) 6986.

use druse_crystal::{Element, Structure, WyckoffSequence};
use druse_nn::blocks::dimenet::EdgeDimeNet;
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use crate::kinds::{Kind, Preset};
use crate::{
    Capabilities, Condition, ConditionSet, Conditions, Generator, InFlight, InFlightSampler, MicroBatchLimit,
    Model, ModelError, NoiseKey, Prepared, Reverse, SampleRequest, Sampler, Site, Trainable,
};

mod config;
mod corruption;
mod crystals;
mod model;
mod objective;
mod parity;
mod sampler;
mod scores;
#[cfg(test)]
mod tests;

pub use config::{
    AdaptiveConfig, AdaptiveSampling, Groups, Letters, LossWeights, NoiseConfig, PositionTarget,
    SymmetryConfig,
};
pub use model::{Adaptive, Statistics};

use objective::PreparedMicroBatch;
use sampler::State;

/// The combinations of conditions that it serves.
const SERVED: &[ConditionSet] = &[ConditionSet::of(&[Condition::SpaceGroup, Condition::Sites])];

/// Adaptive cells as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "adaptive",
        "scores of positions and cell for a given space group and its sites",
        |settings, sampling: AdaptiveSampling| {
            Ok(Model::generator(Adaptive::new(settings)?.with_sampling(&sampling)?))
        },
    )
    .with_conditions(SERVED)
    .with_presets([
        Preset::new("adaptive-full-mp", include_str!("presets/adaptive-full-mp.toml")),
        Preset::new("adaptive-mp-20", include_str!("presets/adaptive-mp-20.toml")),
        Preset::new("adaptive-small", include_str!("presets/adaptive-small.toml")),
    ])
    .with_parity(&[parity::build])
    .with_reference_name("diffusion-atoms DimeNet++")
}

impl Trainable for Adaptive {
    fn kind(&self) -> &'static str {
        "adaptive"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn unusable(&self, structures: &[&Structure]) -> Vec<Option<String>> {
        self.reduced.unusable(structures, &self.config.symmetry)
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

impl Generator for Adaptive {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, EdgeDimeNet::MAX_ELEMENT)
    }

    fn check(&self, conditions: &Conditions) -> Result<(), ModelError> {
        self.capabilities().check("adaptive", conditions)?;
        self.check_sites(conditions)
    }

    /// Its space group and its distinct sites with their Wyckoff letters.
    fn conditions_like(&self, structure: &Structure) -> Result<Conditions, ModelError> {
        let reduced = self.reduced.get(structure, &self.config.symmetry);
        let crystal = reduced.as_ref().as_ref().map_err(|e| model::unusable(structure, &e.0))?;
        let sites = crystal.sites().iter().map(|s| Site { element: s.element, wyckoff: Some(s.letter) });
        Ok(Conditions::default().and_space_group(crystal.group().number()).and_sites(sites.collect()))
    }

    fn wyckoff_frequencies(&self) -> Vec<(WyckoffSequence, usize)> {
        self.statistics.positions.canonical()
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

impl Reverse for Adaptive {
    type State = State;

    fn total_steps(&self) -> usize {
        2 * self.config.noise.levels * self.sampling.steps_per_level
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
        state.finish(self)
    }
}
