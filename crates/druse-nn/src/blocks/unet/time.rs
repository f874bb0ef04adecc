//! What a number that says how noisy an image is tells the network.

use burn::tensor::Tensor;

use super::layers::Pass;
use super::sizes::UnetSizes;
use crate::blocks::Linear;
use crate::ops::{self, Activation};
use crate::{Init, ParamBuilder, ParamId};

/// Frequencies of sines and cosines.
const FREQUENCIES: usize = 8;
/// Tokens that a number becomes.
pub(super) const TOKENS: usize = 2;

/// A vector and tokens from a number, by way of sines and cosines of learned frequencies.
#[derive(Debug, Clone)]
pub(super) struct Time {
    names: [String; 4],
    frequencies: ParamId,
    hidden: Linear,
    vector: Linear,
    tokens: Linear,
    width: usize,
}

impl Time {
    /// Registers tensors below `{prefix}_hiddens`, `{prefix}_cond` and `{prefix}_tokens`.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, sizes: &UnetSizes) -> Self {
        let width = sizes.time_width();
        let hiddens = format!("{prefix}_hiddens");
        let [vector, tokens] = ["cond", "tokens"].map(|part| format!("{prefix}_{part}"));
        Self {
            frequencies: builder.add(format!("{hiddens}.0.weights"), &[FREQUENCIES], Init::Normal),
            hidden: Linear::new(builder, &format!("{hiddens}.1"), [2 * FREQUENCIES + 1, width], true),
            vector: Linear::new(builder, &format!("{vector}.0"), [width, width], true),
            tokens: Linear::new(builder, &format!("{tokens}.0"), [width, TOKENS * sizes.dim], true),
            width: sizes.dim,
            names: [format!("{hiddens}.0"), hiddens, tokens, vector],
        }
    }

    /// The vector (images, width) and the tokens (images · 2, dim) of a number for each image.
    pub fn forward(&self, pass: Pass<'_>, numbers: &[f64]) -> [Tensor<2>; 2] {
        let waves = ops::waves(pass.get(self.frequencies), numbers);
        let hidden = self.hidden.activated(pass.params, waves.clone(), Activation::Silu);
        let tokens = self.tokens.forward(pass.params, hidden.clone());
        let tokens = tokens.reshape([numbers.len() * TOKENS, self.width]);
        let vector = self.vector.forward(pass.params, hidden.clone());
        for (name, x) in self.names.iter().zip([&waves, &hidden, &tokens, &vector]) {
            pass.keep(name, x);
        }
        [vector, tokens]
    }
}
