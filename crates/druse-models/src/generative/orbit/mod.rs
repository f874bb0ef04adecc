//! Crystals on Wyckoff orbits: for a composition, templates (space groups with the Wyckoff positions of each element) of known
//! crystals and structure types, in the order of their likelihood; without one, known crystals with other elements, drawn by
//! their probability; for a template, the free numbers of the cell and of the distinct sites, by a flow.

use druse_crystal::{Element, Structure, WyckoffSequence};
use druse_nn::{ParamSpec, Params};
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::kinds::{Kind, Preset};
use crate::traits::Arrays;
use crate::{
    Capabilities, Condition, ConditionSet, Conditions, Generator, InFlight, InFlightSampler, MicroBatchLimit,
    Model, ModelError, NoiseKey, Phase, PhaseOptimizer, PhaseParameters, Prepared, Reverse, SampleRequest,
    Sampler, Site, Trainable,
};

mod answer;
mod candidates;
mod cell;
mod config;
mod denovo;
mod drafted;
mod imagined;
mod judge;
mod judged;
mod model;
mod network;
mod objective;
mod pairs;
mod paths;
mod proposal;
mod recent;
mod same_sites;
mod sampler;
mod shelf;
mod site_by_site;
mod tokens;
mod trunk;
mod writer;
mod written;

pub use config::{
    Begin, Coupling, FlowConfig, JudgeConfig, NetworkConfig, OrbitConfig, OrbitSampling, OrbitWeights,
    WriterConfig,
};
pub use model::{CellScale, Orbit, Statistics};

use drafted::PreparedDrafts;
use judged::PreparedVotes;
use objective::PreparedMicroBatch;
use sampler::State;
use writer::Writer;

/// The combinations of conditions that it serves.
const SERVED: &[ConditionSet] = &[
    ConditionSet::of(&[Condition::Composition]),
    ConditionSet::of(&[Condition::Composition, Condition::SpaceGroup]),
    ConditionSet::of(&[Condition::SpaceGroup, Condition::Sites]),
    ConditionSet::NONE,
    ConditionSet::of(&[Condition::NumAtoms]),
    ConditionSet::of(&[Condition::ChemicalSystem]),
    ConditionSet::of(&[Condition::SpaceGroup]),
    ConditionSet::of(&[Condition::NumAtoms, Condition::ChemicalSystem]),
    ConditionSet::of(&[Condition::NumAtoms, Condition::SpaceGroup]),
    ConditionSet::of(&[Condition::ChemicalSystem, Condition::SpaceGroup]),
    ConditionSet::of(&[Condition::NumAtoms, Condition::ChemicalSystem, Condition::SpaceGroup]),
];

/// Key of what was fitted among the statistics.
const FITTED: &str = "fitted";

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
        let ids: Vec<String> = (1..=training.len()).map(|row| format!("row-{row}")).collect();
        let named = ids.iter().map(String::as_str).zip(training.iter().copied());
        self.fit(&named.collect::<Vec<_>>())
    }

    fn fit_named_statistics(&mut self, training: &[(&str, &Structure)]) -> Result<(), ModelError> {
        self.fit(training)
    }

    fn statistics(&self) -> Value {
        let mut statistics = self.known.ids();
        statistics[FITTED] = serde_json::to_value(&self.statistics).expect("statistics are plain data");
        statistics
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.statistics = Statistics::deserialize(statistics.get(FITTED).unwrap_or(&Value::Null))
            .map_err(|e| ModelError::Config(format!("statistics of the training set: {e}")))?;
        self.known.restore_ids(statistics)
    }

    fn arrays(&self) -> Arrays {
        self.known.arrays()
    }

    fn known_structures(&self) -> Vec<(&str, &Structure)> {
        self.known.structures().collect()
    }

    fn restore_arrays(&mut self, arrays: &Arrays) -> Result<(), ModelError> {
        self.forget();
        self.known.restore_arrays(arrays)
    }

    fn phases(&self) -> Vec<Phase> {
        let below =
            |name, path| Phase { name, parameters: PhaseParameters::Below(vec![path]), ..Phase::default() };
        let optimizer = PhaseOptimizer { lr: Some(self.config.judge.lr), ..PhaseOptimizer::default() };
        let mut phases = vec![below("flow", "flow"), Phase { optimizer, ..below("judge", "judge") }];
        if let Some(Writer { config, .. }) = &self.writer {
            let optimizer = PhaseOptimizer { lr: Some(config.lr), ..PhaseOptimizer::default() };
            phases.push(Phase { optimizer, epochs: Some(config.epochs), ..below("writer", "writer") });
        }
        phases
    }

    fn prepare_phase<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        match (phase, &self.writer) {
            (0, _) => self.prepare(micro_batch, noise),
            (2, Some(writer)) => Ok(Box::new(PreparedDrafts::new((self, writer), micro_batch, noise)?)),
            _ => Ok(Box::new(PreparedVotes::new(self, micro_batch, noise)?)),
        }
    }

    fn phase_loss_counts(&self, phase: usize, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64; if phase == 1 { 3 } else { 2 }]
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
        Capabilities::new(SERVED, Element::MAX_Z)
    }

    fn check(&self, conditions: &Conditions) -> Result<(), ModelError> {
        self.capabilities().check("orbit", conditions)?;
        match (&conditions.composition, &conditions.sites) {
            (Some(composition), _) => self.check_group(composition, conditions.space_group),
            (None, Some(_)) => self.check_sites(conditions),
            (None, None) => self.check_drawn(conditions),
        }
    }

    fn sites_like(&self, structure: &Structure) -> Result<Conditions, ModelError> {
        let described = self.described(structure);
        let described = described.as_ref().as_ref().map_err(|e| model::unusable(structure, e))?;
        let sites = described.crystal.sites().iter();
        let sites = sites.map(|s| Site { element: s.element, wyckoff: Some(s.letter) }).collect();
        Ok(Conditions::default().and_space_group(described.crystal.group().number()).and_sites(sites))
    }

    fn wyckoff_frequencies(&self) -> Vec<(WyckoffSequence, usize)> {
        self.statistics.positions.canonical()
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

    fn start(&self, params: &Params, request: &SampleRequest) -> Result<State, ModelError> {
        State::start(self, params, request)
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
