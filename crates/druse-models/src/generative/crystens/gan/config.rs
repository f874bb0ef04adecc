//! Hyper-parameters of the GAN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::ImageNormalization;
use super::super::layers::{check_dropout, check_widths};
use crate::ModelError;
use crate::settings::{Settings, at_least_one};

/// Hyper-parameters of the GAN; the defaults are the published ones. Sizes of volumes and kernels are fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GanConfig {
    /// How images are normalized.
    pub normalization: ImageNormalization,
    /// Numbers of a latent.
    pub latent: usize,
    /// Features of the nine transposed convolutions of the generator.
    pub generator: Vec<usize>,
    /// Widths of the dense layers in front of each of the four planes (22×22, 28×28, 32×32, 64×64) that the generator adds to
    /// its volumes.
    pub generator_planes: Vec<Vec<usize>>,
    /// Features of the eleven convolutions of the discriminator.
    pub discriminator: Vec<usize>,
    /// Widths of the dense layers between the image and the plane of 32×32 that the discriminator adds to its volume.
    pub discriminator_plane: Vec<usize>,
    /// Share of the numbers in front of the last layer of the discriminator that training leaves out.
    pub dropout: f64,
}

impl Default for GanConfig {
    fn default() -> Self {
        Self {
            normalization: ImageNormalization::Fit,
            latent: 128,
            generator: vec![256, 128, 128, 128, 64, 64, 64, 64, 32],
            generator_planes: vec![vec![484], vec![784, 784], vec![1024], vec![]],
            discriminator: vec![32, 32, 32, 32, 64, 64, 64, 64, 64, 128, 256],
            discriminator_plane: vec![1024; 3],
            dropout: 0.25,
        }
    }
}

impl Settings for GanConfig {
    fn validate(&self) -> Result<(), ModelError> {
        at_least_one(&[("latent", self.latent)])?;
        check_widths("generator", &self.generator, Some(9))?;
        check_widths("discriminator", &self.discriminator, Some(11))?;
        check_widths("discriminator_plane", &self.discriminator_plane, None)?;
        if self.generator_planes.len() != 4 {
            let n = self.generator_planes.len();
            return Err(ModelError::Config(format!("generator_planes has {n} lists, expected 4")));
        }
        for widths in &self.generator_planes {
            check_widths("generator_planes", widths, None)?;
        }
        check_dropout(self.dropout)
    }
}
