//! The latent space: posteriors of crystals, and the property read off latents.

use druse_crystal::{Element, Structure};
use druse_nn::Params;

use super::model::Cdvae;
use crate::autoencoder::property_gradient;
use crate::engine::map_micro_batches;
use crate::{Autoencoder, ModelError, Posterior, PropertyGradient};

impl Cdvae {
    fn posteriors(&self, params: &Params, micro_batch: &[&Structure]) -> Result<Vec<Posterior>, ModelError> {
        let geometry = self.encoder_input(micro_batch)?;
        let species: Vec<Element> = micro_batch.iter().flat_map(|s| &s.species).copied().collect();
        params.scope(|| self.posterior(params, &geometry, &species)).into_posteriors()
    }
}

impl Autoencoder for Cdvae {
    fn latent_width(&self) -> usize {
        self.config.latent
    }

    fn encode(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<Posterior>, ModelError> {
        self.bonds.fill(structures)?;
        map_micro_batches(structures, params.device(), |structures| self.posteriors(params, structures))
    }

    fn property(&self) -> Option<&str> {
        self.config.property.as_deref()
    }

    fn property_gradient(
        &self,
        params: &Params,
        latents: &[Vec<f32>],
    ) -> Result<PropertyGradient, ModelError> {
        let (width, standardizer) = (self.config.latent, self.statistics.property.as_ref());
        let predict = |params: &Params, z| self.heads.property(params, z);
        property_gradient(params, latents, width, standardizer, predict)
    }
}
