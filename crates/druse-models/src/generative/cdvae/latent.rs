//! The latent space: posteriors of crystals, and the property read off latents.

use burn::tensor::Tensor;
use druse_crystal::{Element, Structure};
use druse_nn::Params;

use super::model::Cdvae;
use crate::ModelError;
use crate::autoencoder::{Gaussian, LatentSpace};
use crate::bonds::BondCache;
use crate::standardizer::Standardizer;

impl LatentSpace for Cdvae {
    fn width(&self) -> usize {
        self.config.latent
    }

    fn bond_cache(&self) -> &BondCache {
        &self.bonds
    }

    fn gaussian(&self, params: &Params, micro_batch: &[&Structure]) -> Result<Gaussian, ModelError> {
        let geometry = self.encoder_input(micro_batch)?;
        let species: Vec<Element> = micro_batch.iter().flat_map(|s| &s.species).copied().collect();
        Ok(self.posterior(params, &geometry, &species))
    }

    fn property_name(&self) -> Option<&str> {
        self.config.property.as_deref()
    }

    fn property_scaler(&self) -> Option<&Standardizer> {
        self.statistics.property.as_ref()
    }

    fn read_property(&self, params: &Params, z: Tensor<2>) -> Option<Tensor<2>> {
        self.heads.property(params, z)
    }
}
