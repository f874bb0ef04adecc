//! The latent space: posteriors of crystals, and the property read off latents.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;

use super::model::Symat;
use crate::ModelError;
use crate::autoencoder::{Gaussian, LatentSpace};
use crate::bonds::BondCache;
use crate::standardizer::Standardizer;

impl LatentSpace for Symat {
    fn width(&self) -> usize {
        3 * self.config.latent
    }

    fn bond_cache(&self) -> &BondCache {
        &self.bonds
    }

    fn gaussian(&self, params: &Params, micro_batch: &[&Structure]) -> Result<Gaussian, ModelError> {
        Ok(self.posterior(params, &self.encoder_input(micro_batch)?))
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
