//! Which of the templates that are proposed for a composition is its own: a network that reads each proposal with the geometry
//! of its parent.

use burn::tensor::Tensor;
use druse_nn::blocks::Linear;
use druse_nn::ops::{self, Activation};
use druse_nn::{ParamBuilder, Params};

use super::config::NetworkConfig;
use super::tokens::Tokens;
use super::trunk::{Trunk, silent};

pub(super) struct Judge {
    trunk: Trunk,
    read: [Linear; 2],
}

impl Judge {
    /// Registers its tensors below `prefix`, which ends with a dot.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &NetworkConfig) -> Self {
        let d = config.width;
        Self {
            trunk: Trunk::new(builder, prefix, config),
            read: [
                Linear::new(builder, &format!("{prefix}read.0"), [d, d], true),
                silent(builder, &format!("{prefix}read.1"), [d, 1]),
            ],
        }
    }

    /// A score for each proposal: (proposals, 1).
    pub fn forward(&self, params: &Params, tokens: &Tokens) -> Tensor<2> {
        let known = self.trunk.forward(params, tokens);
        let cells = ops::gather(known.tokens, &tokens.cells);
        let read = self.read[0].activated(params, cells, Activation::Silu);
        self.read[1].forward(params, read)
    }

    /// Zero, but of the parameters.
    pub fn nothing(&self, params: &Params) -> Tensor<1> {
        self.read[1].bias(params).sum().mul_scalar(0.0)
    }
}
