//! Layer normalization.

use burn::tensor::Tensor;

use crate::ops;
use crate::tangent::{self, Dual};
use crate::{Init, ParamBuilder, ParamId, Params};

/// `γ (x - μ) / √(σ² + ε) + β` with mean and biased variance of each row (Ba, Kiros, Hinton 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    gain: ParamId,
    bias: Option<ParamId>,
    features: usize,
    epsilon: f32,
}

impl LayerNorm {
    /// Registers `name.weight` (γ, ones) and, if wanted, `name.bias` (β, zeros).
    pub fn new(builder: &mut ParamBuilder, name: &str, features: usize, bias: bool, epsilon: f32) -> Self {
        let gain = builder.add(format!("{name}.weight"), &[features], Init::Constant(1.0));
        let bias = bias.then(|| builder.add(format!("{name}.bias"), &[features], Init::Zeros));
        Self { gain, bias, features, epsilon }
    }

    fn parts(&self, params: &Params) -> [Tensor<2>; 2] {
        let zeros = || Tensor::zeros([1, self.features], params.device());
        [params.get(self.gain), self.bias.map_or_else(zeros, |b| params.get(b))]
    }

    /// (rows, features) → (rows, features).
    pub fn forward(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        self.leaky(params, x, 1.0)
    }

    /// [`LayerNorm::forward`] with a leaky ReLU of this slope behind it (1 for none).
    pub fn leaky(&self, params: &Params, x: Tensor<2>, slope: f32) -> Tensor<2> {
        let [gain, bias] = self.parts(params);
        ops::layer_norm_leaky(x, gain, bias, self.epsilon, slope)
    }

    /// [`LayerNorm::leaky`] of a quantity with its derivative along a direction.
    pub fn dual(&self, params: &Params, x: Dual, slope: f32) -> Dual {
        let [gain, bias] = self.parts(params);
        tangent::layer_norm_leaky(x, gain, bias, [self.epsilon, slope])
    }
}
