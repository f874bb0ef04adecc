//! Sizes of a U-Net.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sizes of a U-Net for square images. Keys that a configuration leaves out are those of [`UnetSizes::base`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnetSizes {
    /// Channels of the images that go in and come out; no key of a configuration.
    #[serde(skip)]
    pub channels: usize,
    /// Whether an image of lower resolution goes in, too, with how noisy it is; no key of a configuration.
    #[serde(skip)]
    pub conditioned: bool,
    /// Pixels along an edge of its images.
    pub edge: usize,
    /// Width of the first level.
    pub dim: usize,
    /// Width of each level, over `dim`: what a level hands down.
    pub multipliers: Vec<usize>,
    /// Gated residual blocks of each level.
    pub blocks: Vec<usize>,
    /// Whether pixels attend to each other, level by level.
    pub self_attention: Vec<bool>,
    /// Whether the first block of each level attends to the time tokens.
    pub cross_attention: Vec<bool>,
    /// Whether levels without self-attention have linear attention instead.
    pub linear_attention: bool,
    /// Whether levels begin with halving the images instead of ending with it, which leaves little to do at full size.
    pub memory_efficient: bool,
    /// Heads of attention.
    pub heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Groups of channels that are normalized together.
    pub groups: usize,
    /// Kernels of the first layer, rising; the first gives half of the channels, the next a quarter and so on.
    pub kernels: Vec<usize>,
}

impl Default for UnetSizes {
    fn default() -> Self {
        Self::base()
    }
}

/// Why no network has these sizes: `KEY = VALUE, what was expected`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnetSizesError(pub String);

impl UnetSizes {
    /// The network of the first stage that CrysTens publishes (Alverson et al. 2024): images of 32×32 pixels from noise.
    pub fn base() -> Self {
        Self {
            channels: 4,
            conditioned: false,
            edge: 32,
            dim: 256,
            multipliers: vec![1, 2, 4],
            blocks: vec![3, 3, 3],
            self_attention: vec![false, true, true],
            cross_attention: vec![false, true, true],
            linear_attention: true,
            memory_efficient: false,
            heads: 8,
            head_width: 64,
            groups: 8,
            kernels: vec![3, 7, 15],
        }
    }

    /// The network of the second stage: images of 64×64 pixels from noise and those of the first.
    pub fn upsampler() -> Self {
        Self {
            conditioned: true,
            edge: 64,
            blocks: vec![2, 4, 8],
            self_attention: vec![false, false, true],
            cross_attention: vec![false, false, true],
            linear_attention: false,
            memory_efficient: true,
            ..Self::base()
        }
    }

    /// Width of all heads.
    pub(super) fn inner(&self) -> usize {
        self.heads * self.head_width
    }

    /// Width of the time vector.
    pub(super) fn time_width(&self) -> usize {
        4 * self.dim * if self.conditioned { 2 } else { 1 }
    }

    /// Widths of what comes in and goes out of each level.
    pub(super) fn levels(&self) -> Vec<[usize; 2]> {
        let outputs: Vec<usize> = self.multipliers.iter().map(|m| m * self.dim).collect();
        std::iter::once(self.dim)
            .chain(outputs.iter().copied())
            .zip(outputs.iter().copied())
            .map(|(input, output)| [input, output])
            .collect()
    }

    /// Channels of each kernel of the first layer.
    pub(super) fn kernel_channels(&self) -> Vec<usize> {
        let count = self.kernels.len();
        let mut channels: Vec<usize> = (1..count).map(|i| self.dim >> i).collect();
        channels.push(self.dim - channels.iter().sum::<usize>());
        channels
    }

    /// Checks that there is a network of these sizes.
    ///
    /// # Errors
    /// [`UnetSizesError`] naming the key, the value and what was expected.
    pub fn check(&self) -> Result<(), UnetSizesError> {
        let edge = self.edge;
        let wrong = |text: String| Err(UnetSizesError(text));
        for (key, value) in [
            ("dim", self.dim),
            ("heads", self.heads),
            ("head_width", self.head_width),
            ("groups", self.groups),
            ("channels", self.channels),
        ] {
            if value == 0 {
                return wrong(format!("{key} = 0, expected at least 1"));
            }
        }
        let levels = self.multipliers.len();
        if levels == 0 || self.multipliers.contains(&0) {
            return wrong(format!("multipliers = {:?}, expected positive numbers", self.multipliers));
        }
        for (key, found) in [
            ("blocks", self.blocks.len()),
            ("self_attention", self.self_attention.len()),
            ("cross_attention", self.cross_attention.len()),
        ] {
            if found != levels {
                return wrong(format!(
                    "{key} has {found} entries, expected one for each of {levels} multipliers"
                ));
            }
        }
        if !self.dim.is_multiple_of(self.groups) {
            return wrong(format!("dim = {}, expected a multiple of groups = {}", self.dim, self.groups));
        }
        let rising = self.kernels.windows(2).all(|pair| pair[0] < pair[1]);
        if self.kernels.is_empty() || !rising || self.kernels.iter().any(|k| k % 2 == 0) {
            return wrong(format!("kernels = {:?}, expected rising odd widths", self.kernels));
        }
        if self.kernel_channels().contains(&0) {
            return wrong(format!("kernels = {:?}, expected fewer for dim = {}", self.kernels, self.dim));
        }
        let halvings = if self.memory_efficient { levels } else { levels - 1 };
        if !edge.is_multiple_of(1 << halvings) || edge >> halvings == 0 {
            return wrong(format!(
                "multipliers = {:?}, expected fewer: images of {edge}×{edge} pixels cannot be halved {halvings} times",
                self.multipliers
            ));
        }
        Ok(())
    }
}
