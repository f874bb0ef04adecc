//! Hyper-parameters of the Wasserstein GAN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::ImageNormalization;
use super::super::layers::{check_dropout, check_widths};
use crate::ModelError;
use crate::settings::{Settings, at_least_one, not_negative};

/// Hyper-parameters of the Wasserstein GAN; the defaults are the published ones. Sizes of volumes and kernels are fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WganConfig {
    /// How images are normalized.
    pub normalization: ImageNormalization,
    /// Numbers of a latent.
    pub latent: usize,
    /// Features of the nine transposed convolutions of the generator.
    pub generator: Vec<usize>,
    /// Features of the twelve convolutions of the critic.
    pub critic: Vec<usize>,
    /// Updates of the critic for one of the generator.
    pub critic_updates: u64,
    /// Weight of the gradient penalty.
    pub penalty: f64,
    /// Share of the numbers in front of the last layer of the critic that training leaves out.
    pub dropout: f64,
}

impl Default for WganConfig {
    fn default() -> Self {
        Self {
            normalization: ImageNormalization::Fit,
            latent: 128,
            generator: vec![128, 128, 64, 64, 32, 32, 32, 32, 32],
            critic: vec![16, 16, 16, 16, 16, 16, 32, 32, 32, 64, 64, 128],
            critic_updates: 5,
            penalty: 10.0,
            dropout: 0.25,
        }
    }
}

impl Settings for WganConfig {
    fn validate(&self) -> Result<(), ModelError> {
        at_least_one(&[("latent", self.latent), ("critic_updates", self.critic_updates as usize)])?;
        check_widths("generator", &self.generator, Some(9))?;
        check_widths("critic", &self.critic, Some(12))?;
        not_negative(&[("penalty", self.penalty)])?;
        check_dropout(self.dropout)
    }
}
