//! CDVAE: a variational autoencoder of crystals whose decoder is a score network.
//!
//! Xie, Fu, Ganea, Barzilay, Jaakkola, "Crystal Diffusion Variational Autoencoder for Periodic Material Generation",
//! ICLR 2022.

use druse_crystal::Structure;
use druse_nn::graph::Multigraph;
use druse_nn::{ParamSpec, Params};
use serde_json::{Map, Value};

use crate::autoencoder::{fit_scalers, inspect, restored};
use crate::kinds::Kind;
use crate::{
    Autoencoder, Capabilities, Condition, ConditionSet, Generator, InFlightSampler, MicroBatchLimit, Model,
    ModelError, NoiseKey, Objective, Prepared, Sampler, Trainable, Warning,
};

mod config;
mod decoder;
mod heads;
mod latent;
mod model;
mod objective;
pub(crate) mod parity;
mod presets;
mod published;
mod sampler;

pub use config::{CdvaeConfig, CdvaeSampling, LossWeights, NoiseConfig};
pub use decoder::{Decoder, DecoderConfig, DecoderInput, DecoderOutput};
pub(crate) use heads::AggregateHeads;
pub use model::Cdvae;
pub use published::PublishedStatistics;

use model::{LARGEST_Z, Statistics};
use objective::PreparedMicroBatch;

/// The combinations of conditions that it serves: everything drawn, or a latent, alone or with what is not to be decoded.
const SERVED: &[ConditionSet] = &[
    ConditionSet::NONE,
    ConditionSet::of(&[Condition::Latent]),
    ConditionSet::of(&[Condition::Latent, Condition::NumAtoms]),
    ConditionSet::of(&[Condition::Latent, Condition::Composition]),
    ConditionSet::of(&[Condition::Latent, Condition::Sites]),
];

/// CDVAE as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "cdvae",
        "a variational autoencoder that decodes by Langevin dynamics",
        |settings, sampling: CdvaeSampling| {
            Ok(Model::generator(Cdvae::new(settings)?.with_sampling(&sampling)?))
        },
    )
    .with_conditions(SERVED)
    .with_presets([presets::PEROV_5, presets::CARBON_24, presets::MP_20, presets::SMALL])
    .with_import(published::import)
    .with_parity(&[parity::encoder::build, parity::heads::build, parity::decoder::build])
    .with_upgrade(upgrade)
}

/// The dynamics of sampling were settings of the model once.
fn upgrade(model: &mut Map<String, Value>, sampling: &mut Map<String, Value>) {
    let Some(Value::Object(noise)) = model.get_mut("noise") else { return };
    for key in ["steps_per_level", "step_size"] {
        if let Some(value) = noise.remove(key) {
            sampling.entry(key).or_insert(value);
        }
    }
}

impl Trainable for Cdvae {
    fn kind(&self) -> &'static str {
        "cdvae"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        let property = self.config.property.as_deref();
        let (lattice, property) = fit_scalers(training, |s| self.check_structure(s), property)?;
        self.statistics = Statistics { lattice, property };
        Ok(())
    }

    fn statistics(&self) -> Value {
        serde_json::to_value(&self.statistics).expect("statistics are plain data")
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.statistics = restored(statistics, self.config.property.as_deref(), Statistics::scalers)?;
        Ok(())
    }

    fn inspect(&self, structures: &[&Structure]) -> Result<Vec<Warning>, ModelError> {
        let property = self.config.property.as_deref();
        inspect(structures, |s| self.check_structure(s), property, &self.bonds)
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        Ok(Box::new(PreparedMicroBatch::new(self, micro_batch, noise)?))
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        let parts = if self.config.property.is_some() { 7 } else { 6 };
        vec![batch.len() as f64; parts]
    }

    fn graph(&self, structure: &Structure) -> Result<Option<Multigraph>, ModelError> {
        let edges = self.config.decoder.search(structure.lattice).edges(&structure.frac_coords);
        let crystal = [(structure.lattice, structure.frac_coords.as_slice())];
        Ok(Some(Multigraph::from_edges(&crystal, vec![edges])))
    }

    /// Positions and species alone: the published rule for the best state and the learning rate.
    fn criterion(&self, objective: &Objective) -> f64 {
        let w = &self.config.weights;
        let part = |name| objective.parts.iter().find(|p| p.0 == name).map_or(0.0, |p| p.1);
        w.coordinate * part("coordinate") + w.species * part("species")
    }
}

impl Generator for Cdvae {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, LARGEST_Z)
            .with_max_atoms(Some(self.config.max_atoms))
            .with_latent(self.config.latent)
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }

    fn autoencoder(&self) -> Option<&dyn Autoencoder> {
        Some(self)
    }
}
