//! The latent space of a variational autoencoder as [`Autoencoder`] shows it.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;

use super::{Gaussian, property_gradient};
use crate::bonds::BondCache;
use crate::engine::map_micro_batches;
use crate::standardizer::Standardizer;
use crate::{Autoencoder, ModelError, Posterior, PropertyGradient, Trainable};

/// What a variational autoencoder whose encoder reads bonds writes; [`Autoencoder`] follows from it.
pub(crate) trait LatentSpace: Trainable {
    /// Number of latent dimensions.
    fn width(&self) -> usize;

    /// Bonds of the crystals that were looked at so far.
    fn bond_cache(&self) -> &BondCache;

    /// The posterior of each crystal of a micro-batch: (B, width).
    ///
    /// # Errors
    /// [`ModelError`] for crystals that the model cannot represent.
    fn gaussian(&self, params: &Params, micro_batch: &[&Structure]) -> Result<Gaussian, ModelError>;

    /// Name of the property that is read off latents.
    fn property_name(&self) -> Option<&str>;

    /// Its scaler.
    fn property_scaler(&self) -> Option<&Standardizer>;

    /// The standardized property (B, 1) of latents (B, width), for a model that learned one.
    fn read_property(&self, params: &Params, z: Tensor<2>) -> Option<Tensor<2>>;
}

impl<M: LatentSpace> Autoencoder for M {
    fn latent_width(&self) -> usize {
        self.width()
    }

    fn encode(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<Posterior>, ModelError> {
        self.bond_cache().fill(structures)?;
        map_micro_batches(structures, params.device(), |structures| {
            params.scope(|| self.gaussian(params, structures))?.into_posteriors()
        })
    }

    fn property(&self) -> Option<&str> {
        self.property_name()
    }

    fn property_gradient(
        &self,
        params: &Params,
        latents: &[Vec<f32>],
    ) -> Result<PropertyGradient, ModelError> {
        property_gradient(params, latents, self.width(), self.property_scaler(), |params, z| {
            self.read_property(params, z)
        })
    }
}
