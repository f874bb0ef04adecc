//! Models with a latent space.

use druse_crystal::Structure;
use druse_nn::Params;

use crate::ModelError;

/// What an encoder says of one structure: a Gaussian in latent space with independent components.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// Means.
    pub mean: Vec<f32>,
    /// Logarithms of the variances.
    pub log_variance: Vec<f32>,
}

/// The property that a model reads off latents.
#[derive(Debug, Clone, PartialEq)]
pub struct PropertyGradient {
    /// Predicted property of each latent, in the unit of the training data.
    pub values: Vec<f64>,
    /// Gradient of the *standardized* property of each latent with respect to the latent.
    pub gradients: Vec<Vec<f32>>,
}

/// A generative model with a latent space.
pub trait Autoencoder {
    /// Number of latent dimensions.
    fn latent_width(&self) -> usize;

    /// The posteriors of structures.
    ///
    /// # Errors
    /// [`ModelError`] when a structure cannot be represented or the device fails.
    fn encode(&self, params: &Params, structures: &[&Structure]) -> Result<Vec<Posterior>, ModelError>;

    /// Name of the property that the model was trained to predict from latents.
    fn property(&self) -> Option<&str>;

    /// Predicts the property and differentiates it.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a model without a property, [`ModelError::Latent`] for latents of another width.
    fn property_gradient(
        &self,
        params: &Params,
        latents: &[Vec<f32>],
    ) -> Result<PropertyGradient, ModelError>;
}
