//! The latent space: posteriors of crystals, and the property read off latents.

use burn::tensor::Tensor;
use druse_crystal::{Element, Structure};
use druse_nn::Params;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;

use super::model::Cdvae;
use crate::engine::map_micro_batches;
use crate::{Autoencoder, ModelError, Posterior, PropertyGradient};

impl Cdvae {
    fn posteriors(&self, params: &Params, micro_batch: &[&Structure]) -> Result<Vec<Posterior>, ModelError> {
        let geometry = self.encoder_input(micro_batch)?;
        let species: Vec<Element> = micro_batch.iter().flat_map(|s| &s.species).copied().collect();
        let (mean, log_variance) = params.scope(|| self.posterior(params, &geometry, &species));
        let (mean, log_variance) = (to_host(mean)?, to_host(log_variance)?);
        let rows = mean.chunks_exact(self.config.latent).zip(log_variance.chunks_exact(self.config.latent));
        let posterior = |(m, v): (&[f32], &[f32])| Posterior { mean: m.to_vec(), log_variance: v.to_vec() };
        let posteriors: Vec<Posterior> = rows.map(posterior).collect();
        if posteriors.iter().flat_map(|p| p.mean.iter().chain(&p.log_variance)).any(|x| !x.is_finite()) {
            return Err(ModelError::Output("the encoder returned a number that is not finite".into()));
        }
        Ok(posteriors)
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
        let width = self.config.latent;
        if let Some(wrong) = latents.iter().find(|z| z.len() != width) {
            return Err(ModelError::Latent { found: wrong.len(), expected: width });
        }
        let without = || {
            ModelError::Config(
                "the model was trained without a property; train one with model.property".into(),
            )
        };
        let standardizer = self.statistics.property.as_ref().ok_or_else(without)?;
        let tracked = params.tracked();
        let z: Tensor<2> = matrix(latents.concat(), width, tracked.device()).require_grad();
        let predicted = self.heads.property(&tracked, z.clone()).ok_or_else(without)?;
        let values = to_host(predicted.clone().inner())?;
        let mut grads = predicted.sum().backward();
        let gradient = match z.grad_remove(&mut grads) {
            Some(gradient) => to_host(gradient)?,
            None => vec![0.0; width * latents.len()],
        };
        Ok(PropertyGradient {
            values: values.into_iter().map(|x| standardizer.restore(0, f64::from(x))).collect(),
            gradients: gradient.chunks_exact(width).map(<[f32]>::to_vec).collect(),
        })
    }
}
