//! SyMat: a variational autoencoder of crystals that draws elements, numbers of atoms and the cell from latents, and moves
//! atoms by scores of their distances.
//!
//! Luo, Liu, Ji, "Towards Symmetry-Aware Generation of Periodic Materials", NeurIPS 2023.

use druse_crystal::Structure;
use druse_nn::graph::Multigraph;
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use crate::autoencoder::{LatentSpace, fit_scalers, inspect, restored, wrong_statistics};
use crate::kinds::Kind;
use crate::{
    Autoencoder, Capabilities, Condition, ConditionSet, Generator, InFlightSampler, MicroBatchLimit, Model,
    ModelError, NoiseKey, Prepared, Sampler, Trainable, Warning,
};

mod config;
mod corruption;
mod encoder;
mod heads;
mod latent;
mod model;
mod objective;
mod parity;
mod presets;
mod published;
mod published_norms;
mod sampler;
mod score;

pub use config::{
    LossWeights, NoiseConfig, OtherTemperatures, Protocol, ScoreLoss, ScoreNorm, SymatConfig, SymatSampling,
    Temperatures,
};
pub use model::Symat;
pub use score::ScoreConfig;

use model::{LARGEST_Z, Statistics};
use objective::PreparedMicroBatch;

/// The combinations of conditions that it serves: everything drawn, or a latent, alone or with atoms that are not to be
/// decoded.
const SERVED: &[ConditionSet] = &[
    ConditionSet::NONE,
    ConditionSet::of(&[Condition::Latent]),
    ConditionSet::of(&[Condition::Latent, Condition::Composition]),
    ConditionSet::of(&[Condition::Latent, Condition::Sites]),
];

/// SyMat as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "symat",
        "a variational autoencoder that moves atoms by scores of their distances",
        |settings, sampling: SymatSampling| {
            Ok(Model::generator(Symat::new(settings)?.with_sampling(&sampling)?))
        },
    )
    .with_conditions(SERVED)
    .with_presets([presets::PEROV_5, presets::CARBON_24, presets::MP_20, presets::SMALL])
    .with_import(published::import)
    .with_parity(&[parity::encoder::build, parity::heads::build, parity::score::build])
}

impl Trainable for Symat {
    fn kind(&self) -> &'static str {
        "symat"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        let property = self.config.property.as_deref();
        let (lattice, property) = fit_scalers(training, |s| self.check_structure(s), property)?;
        let source = self.config.noise.score_norm;
        let score_norm = match source.published() {
            Some(table) => {
                corruption::check_norms((source.name(), table), &self.levels, training)?;
                table.to_vec()
            }
            None => corruption::derive_norms(&self.levels, training)?,
        };
        let max_atoms = training.iter().map(|s| s.len()).max();
        self.statistics = Statistics { lattice, property, score_norm, max_atoms };
        Ok(())
    }

    fn statistics(&self) -> Value {
        serde_json::to_value(&self.statistics).expect("statistics are plain data")
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        let read = restored(statistics, self.config.property.as_deref(), Statistics::scalers)?;
        let (found, levels) = (read.score_norm.len(), self.levels.len());
        if found != levels || read.score_norm.iter().any(|x| !(*x > 0.0 && x.is_finite())) {
            let problem = format!("{found} norms of scores, expected {levels} positive ones");
            return Err(wrong_statistics(&problem));
        }
        self.statistics = read;
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
        let edges = self.config.score.search(structure.lattice).found(&structure.frac_coords);
        let crystal = [(structure.lattice, structure.frac_coords.as_slice())];
        Ok(Some(Multigraph::from_edges(&crystal, vec![edges])))
    }
}

impl Generator for Symat {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, LARGEST_Z)
            .with_latent(self.width())
            .with_largest_seen(self.statistics.max_atoms)
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }

    fn autoencoder(&self) -> Option<&dyn Autoencoder> {
        Some(self)
    }
}
