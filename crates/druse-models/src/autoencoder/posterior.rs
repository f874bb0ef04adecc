//! Posteriors of latents: Gaussians with independent dimensions.

use burn::tensor::Tensor;
use druse_nn::memory::to_host;

use crate::{ModelError, Posterior};

/// Mean and logarithm of the variance of the latents of some crystals, (B, width) each.
#[derive(Debug, Clone)]
pub(crate) struct Gaussian {
    pub mean: Tensor<2>,
    pub log_variance: Tensor<2>,
}

impl Gaussian {
    /// Latents for given standard normal numbers (B, width).
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        self.mean.clone() + self.log_variance.clone().mul_scalar(0.5).exp() * noise
    }

    /// Divergence from the standard normal distribution, summed over dimensions and crystals.
    pub fn divergence(self) -> Tensor<1> {
        let Self { mean, log_variance } = self;
        (log_variance.clone() + 1.0 - mean.clone() * mean - log_variance.exp()).sum().mul_scalar(-0.5)
    }

    /// The posterior of each crystal.
    ///
    /// # Errors
    /// [`ModelError::Output`] when a number is not finite.
    pub fn into_posteriors(self) -> Result<Vec<Posterior>, ModelError> {
        let [_, width] = self.mean.dims();
        let (mean, log_variance) = (to_host(self.mean)?, to_host(self.log_variance)?);
        let rows = mean.chunks_exact(width).zip(log_variance.chunks_exact(width));
        let posterior = |(m, v): (&[f32], &[f32])| Posterior { mean: m.to_vec(), log_variance: v.to_vec() };
        let posteriors: Vec<Posterior> = rows.map(posterior).collect();
        if posteriors.iter().flat_map(|p| p.mean.iter().chain(&p.log_variance)).any(|x| !x.is_finite()) {
            return Err(ModelError::Output("the encoder returned a number that is not finite".into()));
        }
        Ok(posteriors)
    }
}

#[cfg(test)]
mod tests {
    use druse_nn::{device, ops::matrix};

    use super::*;

    fn gaussian(mean: Vec<f32>, log_variance: Vec<f32>) -> Gaussian {
        let device = device::cpu();
        Gaussian { mean: matrix(mean, 2, &device), log_variance: matrix(log_variance, 2, &device) }
    }

    #[test]
    fn latents_and_divergences_have_their_closed_forms() {
        let g = gaussian(vec![1.0, -2.0, 0.0, 0.0], vec![0.0, 4f32.ln(), 0.0, 0.0]);
        let z = to_host(g.sample(matrix(vec![0.5, -1.0, 3.0, 0.0], 2, &device::cpu()))).unwrap();
        assert_eq!(z[..1], [1.5]);
        assert!((z[1] + 4.0).abs() < 1e-6 && z[2..] == [3.0, 0.0]);
        // 1/2 (μ² + σ² - 1 - ln σ²), and none for the prior itself.
        let expected = 0.5 * (1.0 + 4.0 + 4.0 - 1.0 - 4f32.ln());
        let found: f32 = g.divergence().into_scalar();
        assert!((found - expected).abs() < 1e-5, "{found}");
    }

    #[test]
    fn posteriors_are_finite() {
        let posteriors = gaussian(vec![1.0, 2.0, 3.0, 4.0], vec![0.0; 4]).into_posteriors().unwrap();
        assert_eq!(posteriors[1].mean, [3.0, 4.0]);
        assert!(gaussian(vec![f32::NAN; 2], vec![0.0; 2]).into_posteriors().is_err());
    }
}
