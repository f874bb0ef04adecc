//! The latent space: posteriors of crystals, and the property read off latents.

use druse_crystal::Structure;
use druse_nn::Params;

use super::model::Symat;
use crate::autoencoder::property_gradient;
use crate::engine::map_micro_batches;
use crate::{Autoencoder, ModelError, Posterior, PropertyGradient};

impl Autoencoder for Symat {
    fn latent_width(&self) -> usize {
        Symat::latent_width(self)
    }

    fn encode(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<Posterior>, ModelError> {
        self.bonds.fill(structures)?;
        map_micro_batches(structures, params.device(), |structures| {
            let input = self.encoder_input(structures)?;
            params.scope(|| self.posterior(params, &input)).into_posteriors()
        })
    }

    fn property(&self) -> Option<&str> {
        self.config.property.as_deref()
    }

    fn property_gradient(
        &self,
        params: &Params,
        latents: &[Vec<f32>],
    ) -> Result<PropertyGradient, ModelError> {
        let (width, standardizer) = (Symat::latent_width(self), self.statistics.property.as_ref());
        let predict = |params: &Params, z| self.heads.property(params, z);
        property_gradient(params, latents, width, standardizer, predict)
    }
}
