//! Perceptrons on latents.

use burn::tensor::{Tensor, activation};
use druse_nn::blocks::Linear;
use druse_nn::{Init, ParamBuilder, Params};

/// A perceptron with one hidden layer and ReLU.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    layers: [Linear; 2],
}

impl Head {
    /// Registers `name.0` and `name.2`.
    pub fn new(builder: &mut ParamBuilder, name: &str, [input, hidden, output]: [usize; 3]) -> Self {
        let last = Init::FanIn(hidden);
        Self::with_last(builder, name, [input, hidden, output], [last, last])
    }

    /// [`Head::new`] with other initial values of the last weight and bias.
    pub fn with_last(
        builder: &mut ParamBuilder,
        name: &str,
        [input, hidden, output]: [usize; 3],
        [weight, bias]: [Init; 2],
    ) -> Self {
        let first = Linear::new(builder, &format!("{name}.0"), [input, hidden], true);
        let shape = [hidden, output];
        let second = Linear::with_init(builder, &format!("{name}.2"), shape, weight, Some(bias));
        Self { layers: [first, second] }
    }

    /// (B, input) → (B, output).
    pub fn forward(&self, params: &Params, z: Tensor<2>) -> Tensor<2> {
        let [first, second] = &self.layers;
        second.forward(params, activation::relu(first.forward(params, z)))
    }
}
