//! The property that is read off latents.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;

use crate::standardizer::Standardizer;
use crate::targets::property_of;
use crate::{ModelError, PropertyGradient};

/// The standardized property of some structures, for a model that learns one.
///
/// # Errors
/// [`ModelError::Property`] when a structure lacks it.
pub(crate) fn property_targets(
    property: Option<&str>,
    standardizer: Option<&Standardizer>,
    structures: &[&Structure],
) -> Result<Option<Vec<f32>>, ModelError> {
    let Some((name, standardizer)) = property.zip(standardizer) else { return Ok(None) };
    let value = |s: &&Structure| Ok(standardizer.normalize(0, property_of(s, name)?) as f32);
    structures.iter().map(value).collect::<Result<_, ModelError>>().map(Some)
}

/// The property of each latent of the given width with its gradient; `predict` is the standardized one (B, 1), of a model
/// that learned it.
///
/// # Errors
/// [`ModelError::Latent`] for a latent of another width, [`ModelError::Config`] for a model without property.
pub(crate) fn property_gradient(
    params: &Params,
    latents: &[Vec<f32>],
    width: usize,
    standardizer: Option<&Standardizer>,
    predict: impl FnOnce(&Params, Tensor<2>) -> Option<Tensor<2>>,
) -> Result<PropertyGradient, ModelError> {
    if let Some(wrong) = latents.iter().find(|z| z.len() != width) {
        return Err(ModelError::Latent { found: wrong.len(), expected: width });
    }
    let without = || {
        ModelError::Config("the model was trained without a property; train one with model.property".into())
    };
    let standardizer = standardizer.ok_or_else(without)?;
    let tracked = params.tracked();
    let z: Tensor<2> = matrix(latents.concat(), width, tracked.device()).require_grad();
    let predicted = predict(&tracked, z.clone()).ok_or_else(without)?;
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
