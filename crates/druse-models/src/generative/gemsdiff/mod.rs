//! GemsDiff: diffusion on atom positions (torus) and lattice (Lie algebra of GL3), conditioned on the composition.
//!
//! Klipfel, Fregier, Sayede, Bouraoui, "Vector Field Oriented Diffusion Model for Crystal Material Generation",
//! AAAI 2024. [`Variant::Paper`] is the method of the paper, [`Variant::Released`] the published code.

use druse_crystal::{Element, Structure};
use druse_nn::graph::Multigraph;
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use crate::error::no_graph;
use crate::kinds::{Kind, Preset};
use crate::settings::NoSettings;
use crate::{
    Capabilities, Condition, ConditionSet, Generator, InFlight, InFlightSampler, MicroBatchLimit, Model,
    ModelError, NoiseKey, Prepared, Reverse, SampleRequest, Sampler, Trainable,
};

mod config;
mod model;
mod network;
mod objective;
pub(crate) mod parity;
mod sampler;
mod scaler;

pub use config::{GemsDiffConfig, GemsNetConfig, PositionLoss, Variant};
pub use model::GemsDiff;
pub(crate) use network::Trace;
pub use network::{AtomEmbedding, Decoder, Encoder, GeometryInput, MAX_ELEMENT, Prediction};
pub use scaler::LatticeScaler;

use model::Statistics;
use objective::{PreparedMicroBatch, counts};
use sampler::State;

/// The combinations of conditions that it serves.
const SERVED: &[ConditionSet] = &[ConditionSet::of(&[Condition::Composition])];

/// GemsDiff as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "gemsdiff",
        "diffusion of positions and lattice for a given composition",
        |settings, _: NoSettings| Ok(Model::generator(GemsDiff::new(settings)?)),
    )
    .with_conditions(SERVED)
    .with_presets([
        Preset::new("gemsdiff-paper", include_str!("presets/gemsdiff-paper.toml")),
        Preset::new("gemsdiff-released", include_str!("presets/gemsdiff-released.toml")),
        Preset::new("gemsdiff-small", include_str!("presets/gemsdiff-small.toml")),
    ])
    .with_parity(&[parity::build])
}

impl Trainable for GemsDiff {
    fn kind(&self) -> &'static str {
        "gemsdiff"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        for s in training {
            self.check_species(&s.species)?;
        }
        self.statistics = Statistics {
            scaler: LatticeScaler::fit(training.iter().map(|s| &s.lattice)),
            max_atoms: training.iter().map(|s| s.len()).max().unwrap_or(0),
            elements: training.iter().flat_map(|s| &s.species).copied().collect(),
        };
        Ok(())
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
        counts(batch).into()
    }

    fn graph(&self, structure: &Structure) -> Result<Option<Multigraph>, ModelError> {
        let crystal = [(structure.lattice, structure.frac_coords.as_slice())];
        let graph = Multigraph::nearest(&crystal, self.config.knn);
        graph.map(Some).map_err(|e| no_graph(&[structure], e))
    }
}

impl Generator for GemsDiff {
    fn capabilities(&self) -> Capabilities {
        let limit = self.statistics.max_atoms;
        Capabilities::new(SERVED, MAX_ELEMENT).with_max_atoms((limit > 0).then_some(limit))
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

impl Reverse for GemsDiff {
    type State = State;

    fn total_steps(&self) -> usize {
        self.config.steps
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
