//! The model: networks, statistics of the training set, latents of crystals.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::blocks::dimenet::{self, DimeNetPlusPlus, MessageGeometry, Readout};
use druse_nn::blocks::{Linear, MAX_ELEMENT};
use druse_nn::graph::Multigraph;
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::CdvaeConfig;
use super::decoder::Decoder;
use super::heads::{AggregateHeads, Aggregates};
use super::objective::PreparedMicroBatch;
use super::sampler::CdvaeSampler;
use crate::bonds::BondCache;
use crate::error::check_elements;
use crate::process::{Langevin, NoiseLevels};
use crate::standardizer::Standardizer;
use crate::targets::{fit_property, property_of};
use crate::{
    Autoencoder, Capabilities, Condition, Generator, MicroBatchLimit, ModelError, NoiseKey, Objective,
    Prepared, Remark, SampleRequest, Sampler, Trainable,
};

/// Elements that both networks know: atomic numbers 1 to 94, the encoder's table.
pub(crate) const LARGEST_Z: u8 =
    if dimenet::MAX_ELEMENT < MAX_ELEMENT { dimenet::MAX_ELEMENT } else { MAX_ELEMENT };

/// What the model keeps of its training set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statistics {
    /// Of `[lengths / N^(1/3), angles]` (Å, degrees).
    pub lattice: Standardizer,
    /// Of the property, where one is learned.
    pub property: Option<Standardizer>,
}

/// A CDVAE model without its parameters.
pub struct Cdvae {
    pub(crate) config: CdvaeConfig,
    specs: Vec<ParamSpec>,
    pub(crate) encoder: DimeNetPlusPlus,
    mean: Linear,
    log_variance: Linear,
    pub(crate) heads: AggregateHeads,
    pub(crate) decoder: Decoder,
    pub(crate) positions: NoiseLevels,
    pub(crate) species: NoiseLevels,
    pub(crate) langevin: Langevin,
    pub(crate) statistics: Statistics,
    pub(crate) bonds: BondCache,
}

impl Cdvae {
    /// Builds the networks.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: CdvaeConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let encoder = DimeNetPlusPlus::new(&mut builder, "encoder", &config.encoder, config.latent)
            .map_err(|e| ModelError::Config(format!("encoder.{e}")))?;
        let square = [config.latent, config.latent];
        let mean = Linear::new(&mut builder, "fc_mu", square, true);
        let log_variance = Linear::new(&mut builder, "fc_var", square, true);
        let sizes = [config.latent, config.head, config.max_atoms];
        let heads = AggregateHeads::new(&mut builder, sizes, config.property.is_some());
        let decoder = Decoder::new(&mut builder, "decoder", &config.decoder, config.latent);
        let noise = &config.noise;
        let positions = NoiseLevels::geometric(noise.positions, noise.levels);
        Ok(Self {
            langevin: Langevin::new(positions.clone(), noise.steps_per_level, noise.step_size),
            positions,
            species: NoiseLevels::geometric(noise.species, noise.levels),
            specs: builder.finish(),
            statistics: Statistics { lattice: Standardizer::identity(6), property: None },
            bonds: BondCache::default(),
            config,
            encoder,
            mean,
            log_variance,
            heads,
            decoder,
        })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &CdvaeConfig {
        &self.config
    }

    /// Bonds of the crystals that were looked at so far.
    pub fn bonds(&self) -> &BondCache {
        &self.bonds
    }

    pub(crate) fn check_species(&self, species: &[Element]) -> Result<(), ModelError> {
        check_elements(species, LARGEST_Z)
    }

    /// Refuses crystals that the heads cannot count or the networks do not know.
    fn check_structure(&self, s: &Structure) -> Result<(), ModelError> {
        self.check_species(&s.species)?;
        let (atoms, limit) = (s.len(), self.config.max_atoms);
        if atoms > limit {
            let what = druse_crystal::Composition::from_species(&s.species).formula();
            return Err(ModelError::TooManyAtoms { what, atoms, limit });
        }
        Ok(())
    }

    /// The bonded multigraph of crystals as the encoder reads it.
    ///
    /// # Errors
    /// [`ModelError`] for crystals that the model cannot represent.
    pub(crate) fn encoder_input(&self, crystals: &[&Structure]) -> Result<MessageGeometry, ModelError> {
        let mut edges = Vec::with_capacity(crystals.len());
        for s in crystals {
            self.check_structure(s)?;
            edges.push(self.bonds.get(s)?.edges.clone());
        }
        let cells: Vec<_> = crystals.iter().map(|s| (s.lattice, s.frac_coords.as_slice())).collect();
        Ok(self.encoder.geometry(Arc::new(Multigraph::from_edges(&cells, edges))))
    }

    /// Mean and logarithm of the variance of each crystal's latent, (B, latent) each.
    pub(crate) fn posterior(
        &self,
        params: &Params,
        geometry: &MessageGeometry,
        species: &[Element],
    ) -> (Tensor<2>, Tensor<2>) {
        let atoms = self.encoder.forward(params, geometry, species);
        let hidden = Readout::Mean.apply(atoms, geometry.graph());
        (self.mean.forward(params, hidden.clone()), self.log_variance.forward(params, hidden))
    }

    /// Standardised `[lengths / N^(1/3), angles]` of a cell of `atoms` atoms.
    pub(crate) fn normalised_lattice(&self, lattice: &Lattice, atoms: usize) -> [f64; 6] {
        let p = scaled_parameters(lattice, atoms);
        std::array::from_fn(|k| self.statistics.lattice.normalise(k, p[k]))
    }

    /// Lengths (Å) and angles (degrees) that six outputs of the lattice head stand for, for a cell of `atoms` atoms.
    pub(crate) fn cell_parameters(&self, normalised: &[f32], atoms: usize) -> [f64; 6] {
        cell_parameters(&self.statistics.lattice, normalised, atoms)
    }

    /// The aggregate heads.
    pub(crate) fn aggregates(&self, params: &Params, z: &Tensor<2>) -> Aggregates {
        self.heads.forward(params, z)
    }
}

/// Lengths (Å) and angles (degrees) that standardised numbers stand for, for a cell of `atoms` atoms.
pub(crate) fn cell_parameters(scaler: &Standardizer, normalised: &[f32], atoms: usize) -> [f64; 6] {
    let scale = (atoms as f64).cbrt();
    std::array::from_fn(|k| {
        let x = scaler.restore(k, f64::from(normalised[k]));
        if k < 3 { scale * x } else { x }
    })
}

/// `[lengths / N^(1/3), angles]` (Å, degrees).
fn scaled_parameters(lattice: &Lattice, atoms: usize) -> [f64; 6] {
    let scale = (atoms as f64).cbrt();
    let mut p = lattice.parameters();
    p[..3].iter_mut().for_each(|x| *x /= scale);
    p
}

impl Trainable for Cdvae {
    fn kind(&self) -> &'static str {
        "cdvae"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        if training.len() < 2 {
            let n = training.len();
            return Err(ModelError::Config(format!(
                "{n} training structures; the model standardises lattices over the training set and needs at least 2"
            )));
        }
        for s in training {
            self.check_structure(s)?;
        }
        let lattices: Vec<[f64; 6]> =
            training.iter().map(|s| scaled_parameters(&s.lattice, s.len())).collect();
        let property = match &self.config.property {
            Some(name) => Some(fit_property(name, training)?),
            None => None,
        };
        self.statistics = Statistics { lattice: Standardizer::fit(&lattices), property };
        Ok(())
    }

    fn statistics(&self) -> Value {
        serde_json::to_value(&self.statistics).expect("statistics are plain data")
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        let wrong = |problem: &dyn std::fmt::Display| {
            ModelError::Config(format!("statistics of the training set: {problem}"))
        };
        let read: Statistics = serde_json::from_value(statistics.clone()).map_err(|e| wrong(&e))?;
        if read.lattice.columns() != 6 || read.property.is_some() != self.config.property.is_some() {
            return Err(wrong(&"they belong to another model"));
        }
        self.statistics = read;
        Ok(())
    }

    fn inspect(&self, structures: &[&Structure]) -> Result<Vec<Remark>, ModelError> {
        for s in structures {
            self.check_structure(s)?;
            if let Some(name) = &self.config.property {
                property_of(s, name)?;
            }
        }
        self.bonds.fill(structures)?;
        let mut remarks = Vec::new();
        for (index, s) in structures.iter().enumerate() {
            let isolated = self.bonds.get(s)?.isolated.len();
            if isolated > 0 {
                let text = format!(
                    "{isolated} of {} atoms have no bond; the encoder reads them as atoms without neighbours",
                    s.len()
                );
                remarks.push(Remark { index, text });
            }
        }
        Ok(remarks)
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

    /// Positions and species alone: the published rule for the best state and the learning rate (spec 1.7).
    fn criterion(&self, objective: &Objective) -> f64 {
        let w = &self.config.weights;
        let part = |name| objective.parts.iter().find(|p| p.0 == name).map_or(0.0, |p| p.1);
        w.coordinate * part("coordinate") + w.species * part("species")
    }
}

impl Generator for Cdvae {
    fn capabilities(&self) -> Capabilities {
        Capabilities { unconditional: true, composition: false, latent: true }
    }

    fn check(&self, request: &SampleRequest) -> Result<(), ModelError> {
        match &request.condition {
            Condition::Unconditional => Ok(()),
            Condition::Composition(_) => Err(ModelError::Unsupported {
                model: "cdvae",
                condition: request.condition.kind(),
                alternatives: "gemsdiff".into(),
            }),
            Condition::Latent(given) => {
                let (found, expected) = (given.latent.len(), self.config.latent);
                if found != expected {
                    return Err(ModelError::Latent { found, expected });
                }
                if given.latent.iter().any(|x| !x.is_finite()) {
                    return Err(ModelError::Config("a latent holds a number that is not finite".into()));
                }
                self.check_species(given.species.as_deref().unwrap_or_default())
            }
        }
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        Box::new(CdvaeSampler::new(self, params, limit))
    }

    fn set_steps_per_level(&mut self, steps_per_level: usize) -> Result<(), ModelError> {
        if steps_per_level == 0 {
            return Err(ModelError::Config("0 steps at each noise level, expected at least 1".into()));
        }
        self.langevin = self.langevin.with_steps_per_level(steps_per_level);
        Ok(())
    }

    fn autoencoder(&self) -> Option<&dyn Autoencoder> {
        Some(self)
    }
}
