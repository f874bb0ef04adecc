//! Hyper-parameters.

use druse_data::crystens::{CHANNELS, EDGE};
use druse_nn::blocks::unet::UnetSizes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::{ImageDecoding, ImageNormalization};
use super::schedule::LossWeight;
use crate::ModelError;
use crate::settings::{Settings, at_least_one};

/// Declares the sizes of one network of the cascade: both have the same keys and other defaults.
macro_rules! network {
    ($(#[$doc:meta])* $name:ident, conditioned: $conditioned:expr, edge: $edge:expr, $defaults:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Pixels along an edge of its images.
            pub edge: usize,
            /// Width of the first level.
            pub dim: usize,
            /// Width of each level, over `dim`.
            pub multipliers: Vec<usize>,
            /// Gated residual blocks of each level.
            pub blocks: Vec<usize>,
            /// Whether pixels attend to each other, level by level.
            pub self_attention: Vec<bool>,
            /// Whether the first block of each level attends to the time tokens.
            pub cross_attention: Vec<bool>,
            /// Whether levels without self-attention have linear attention instead.
            pub linear_attention: bool,
            /// Whether levels begin with halving the images instead of ending with it.
            pub memory_efficient: bool,
            /// Heads of attention.
            pub heads: usize,
            /// Width of a head.
            pub head_width: usize,
            /// Groups of channels that are normalized together.
            pub groups: usize,
            /// Kernels of the first layer.
            pub kernels: Vec<usize>,
        }

        impl Default for $name {
            /// The published sizes.
            fn default() -> Self {
                let (blocks, attention, memory_efficient): (Vec<usize>, Vec<bool>, bool) = $defaults;
                Self {
                    edge: $edge,
                    dim: 256,
                    multipliers: vec![1, 2, 4],
                    blocks,
                    self_attention: attention.clone(),
                    cross_attention: attention,
                    linear_attention: !memory_efficient,
                    memory_efficient,
                    heads: 8,
                    head_width: 64,
                    groups: 8,
                    kernels: vec![3, 7, 15],
                }
            }
        }

        impl $name {
            pub(super) fn sizes(&self) -> UnetSizes {
                UnetSizes {
                    channels: CHANNELS,
                    conditioned: $conditioned,
                    dim: self.dim,
                    multipliers: self.multipliers.clone(),
                    blocks: self.blocks.clone(),
                    self_attention: self.self_attention.clone(),
                    cross_attention: self.cross_attention.clone(),
                    linear_attention: self.linear_attention,
                    memory_efficient: self.memory_efficient,
                    heads: self.heads,
                    head_width: self.head_width,
                    groups: self.groups,
                    kernels: self.kernels.clone(),
                }
            }
        }
    };
}

network!(
    /// The network that makes images of half the resolution.
    BaseNetwork, conditioned: false, edge: EDGE / 2, (vec![3, 3, 3], vec![false, true, true], false)
);
network!(
    /// The network that makes whole images of those of half the resolution.
    UpsamplerNetwork, conditioned: true, edge: EDGE, (vec![2, 4, 8], vec![false, false, true], true)
);

/// Which networks are trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// Both, each in every step.
    #[default]
    Both,
    /// The first one; the second stays as it is.
    Base,
    /// The second one; the first stays as it is (`train.init` says where it comes from).
    Upsampler,
}

/// Hyper-parameters of the cascade. The defaults are those of the paper.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionConfig {
    /// How images are normalized.
    pub normalization: ImageNormalization,
    /// How the squared error of the noise counts.
    pub loss_weight: LossWeight,
    /// Which networks are trained: one at a time needs half of the memory.
    pub trained: Trained,
    /// The first network.
    pub base: BaseNetwork,
    /// The second network.
    pub upsampler: UpsamplerNetwork,
}

impl Settings for DiffusionConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let wrong = |text: String| Err(ModelError::Config(text));
        if self.upsampler.edge != EDGE {
            return wrong(format!(
                "upsampler.edge = {}, expected {EDGE}: the second network makes whole images",
                self.upsampler.edge
            ));
        }
        if 2 * self.base.edge != self.upsampler.edge {
            return wrong(format!(
                "base.edge = {}, expected {}: the second network doubles what the first one makes",
                self.base.edge,
                self.upsampler.edge / 2
            ));
        }
        let networks =
            [("base", self.base.sizes(), self.base.edge), ("upsampler", self.upsampler.sizes(), EDGE)];
        for (name, sizes, edge) in networks {
            sizes.check(edge).map_err(|e| ModelError::Config(format!("{name}.{e}")))?;
        }
        Ok(())
    }
}

/// Settings of sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionSampling {
    /// Steps of the first network.
    pub base_steps: usize,
    /// Steps of the second network.
    pub upsampler_steps: usize,
    /// Time up to which the image of the first network is noised before the second sees it.
    pub low_resolution_time: f64,
    /// Part of the magnitudes of a predicted image that dynamic thresholding leaves as they are.
    pub threshold: f64,
    /// How an image becomes a structure.
    pub decoding: ImageDecoding,
}

impl Default for DiffusionSampling {
    /// The published values.
    fn default() -> Self {
        Self {
            base_steps: 1000,
            upsampler_steps: 1000,
            low_resolution_time: 0.2,
            threshold: 0.95,
            decoding: ImageDecoding::default(),
        }
    }
}

impl Settings for DiffusionSampling {
    fn validate(&self) -> Result<(), ModelError> {
        at_least_one(&[("base_steps", self.base_steps), ("upsampler_steps", self.upsampler_steps)])?;
        for (key, value) in [("low_resolution_time", self.low_resolution_time), ("threshold", self.threshold)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(ModelError::Config(format!("{key} = {value:?}, expected a number from 0 to 1")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cascades_that_do_not_fit_are_refused() {
        DiffusionConfig::default().validate().unwrap();
        let refused = |change: fn(&mut DiffusionConfig)| {
            let mut config = DiffusionConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.upsampler.edge = 128).contains("upsampler.edge = 128, expected 64"));
        assert!(refused(|c| c.base.edge = 16).contains("base.edge = 16, expected 32"));
        assert!(refused(|c| c.base.dim = 30).contains("base.dim = 30"));
        assert!(refused(|c| c.upsampler.blocks = vec![1]).contains("upsampler.blocks has 1"));
        let sampling = DiffusionSampling { threshold: 1.5, ..DiffusionSampling::default() };
        assert!(sampling.validate().unwrap_err().to_string().contains("threshold = 1.5"));
    }
}
