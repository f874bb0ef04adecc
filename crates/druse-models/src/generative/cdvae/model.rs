//! The model: networks, statistics of the training set, latents of crystals.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::blocks::dimenet::{self, DimeNetPlusPlus, MessageGeometry, Readout};
use druse_nn::blocks::{Linear, MAX_ELEMENT};
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde::{Deserialize, Serialize};

use super::config::{CdvaeConfig, CdvaeSampling};
use super::decoder::Decoder;
use super::heads::{AggregateHeads, Aggregates};
use crate::ModelError;
use crate::autoencoder::{Gaussian, cell_parameters, normalized_cell};
use crate::bonds::BondCache;
use crate::error::check_elements;
use crate::process::{Langevin, NoiseLevels};
use crate::settings::Settings;
use crate::standardizer::Standardizer;

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

impl Statistics {
    /// The scalers of cells and of the property.
    pub(super) fn scalers(&self) -> (&Standardizer, Option<&Standardizer>) {
        (&self.lattice, self.property.as_ref())
    }
}

/// A CDVAE model without its parameters.
pub struct Cdvae {
    pub(crate) config: CdvaeConfig,
    pub(super) specs: Vec<ParamSpec>,
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
            langevin: CdvaeSampling::default().langevin(positions.clone()),
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

    /// With other dynamics of sampling than the published ones.
    ///
    /// # Errors
    /// [`ModelError::Config`] when they are impossible.
    pub fn with_sampling(self, sampling: &CdvaeSampling) -> Result<Self, ModelError> {
        sampling.validate()?;
        Ok(Self { langevin: sampling.langevin(self.positions.clone()), ..self })
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
    pub(super) fn check_structure(&self, s: &Structure) -> Result<(), ModelError> {
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
        crystals.iter().try_for_each(|s| self.check_structure(s))?;
        Ok(self.encoder.geometry(Arc::new(self.bonds.multigraph(crystals)?)))
    }

    /// The posterior of each crystal's latent.
    pub(crate) fn posterior(
        &self,
        params: &Params,
        geometry: &MessageGeometry,
        species: &[Element],
    ) -> Gaussian {
        let atoms = self.encoder.forward(params, geometry, species);
        let hidden = Readout::Mean.apply(atoms, geometry.graph());
        Gaussian {
            mean: self.mean.forward(params, hidden.clone()),
            log_variance: self.log_variance.forward(params, hidden),
        }
    }

    /// Standardized `[lengths / N^(1/3), angles]` of a cell of `atoms` atoms.
    pub(crate) fn normalized_lattice(&self, lattice: &Lattice, atoms: usize) -> [f64; 6] {
        normalized_cell(&self.statistics.lattice, lattice, atoms)
    }

    /// Lengths (Å) and angles (degrees) that six outputs of the lattice head stand for, for a cell of `atoms` atoms.
    pub(crate) fn cell_parameters(&self, normalized: &[f32], atoms: usize) -> [f64; 6] {
        cell_parameters(&self.statistics.lattice, normalized, atoms)
    }

    /// The aggregate heads.
    pub(crate) fn aggregates(&self, params: &Params, z: &Tensor<2>) -> Aggregates {
        self.heads.forward(params, z)
    }
}
