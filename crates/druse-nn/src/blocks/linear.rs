//! Linear layers and residual pairs.

use burn::tensor::Tensor;

use crate::graph::Index;
use crate::ops::{self, Activation};
use crate::tangent::{self, Dual};
use crate::{Init, ParamBuilder, ParamId, Params};

/// `W x + b` with the framework default initialization (uniform in ±1/sqrt(in)).
#[derive(Debug, Clone)]
pub struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear {
    /// Registers `name.weight` (out, in) and, if wanted, `name.bias` (out).
    pub fn new(builder: &mut ParamBuilder, name: &str, [input, output]: [usize; 2], bias: bool) -> Self {
        let init = Init::FanIn(input);
        Self::with_init(builder, name, [input, output], init, bias.then_some(init))
    }

    /// [`Linear::new`] with other initial values.
    pub fn with_init(
        builder: &mut ParamBuilder,
        name: &str,
        [input, output]: [usize; 2],
        weight: Init,
        bias: Option<Init>,
    ) -> Self {
        let weight = builder.add(format!("{name}.weight"), &[output, input], weight);
        let bias = bias.map(|init| builder.add(format!("{name}.bias"), &[output], init));
        Self { weight, bias }
    }

    /// (rows, in) → (rows, out).
    pub fn forward(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        self.activated(params, x, Activation::Identity)
    }

    /// [`Linear::forward`] followed by an activation.
    pub fn activated(&self, params: &Params, x: Tensor<2>, act: Activation) -> Tensor<2> {
        match self.bias {
            Some(bias) => ops::affine(x, params.get(self.weight), params.get(bias), act),
            None => ops::dense(x, params.get(self.weight), act),
        }
    }

    /// [`Linear::activated`] of a quantity with its derivative along a direction.
    pub fn dual(&self, params: &Params, x: Dual, act: Activation) -> Dual {
        match self.bias {
            Some(bias) => tangent::affine(x, params.get(self.weight), params.get(bias), act),
            None => tangent::dense(x, params.get(self.weight), act),
        }
    }

    /// Columns `start..start + len` of the weight: the part that acts on one piece of a concatenated input.
    pub fn slice(&self, params: &Params, start: usize, len: usize) -> Tensor<2> {
        params.columns(self.weight, start, len)
    }

    /// The bias as one row.
    ///
    /// # Panics
    /// When the layer was built without one.
    pub fn bias(&self, params: &Params) -> Tensor<2> {
        params.get(self.bias.expect("a layer with bias"))
    }

    /// The weight (out, in).
    pub fn weight(&self, params: &Params) -> Tensor<2> {
        params.get(self.weight)
    }

    /// Weight and bias.
    ///
    /// # Panics
    /// When the layer was built without bias.
    pub(crate) fn parts(&self, params: &Params) -> [Tensor<2>; 2] {
        [self.weight(params), self.bias(params)]
    }
}

/// Bias-free linear map of the GemNet family, initialized he-orthogonal, optionally followed by the scaled SiLU.
#[derive(Debug, Clone)]
pub struct Dense {
    weight: ParamId,
    activation: Activation,
}

impl Dense {
    /// Registers `name.linear.weight` (out, in).
    pub fn new(
        builder: &mut ParamBuilder,
        name: &str,
        [input, output]: [usize; 2],
        activation: Activation,
    ) -> Self {
        let weight = builder.add(format!("{name}.linear.weight"), &[output, input], Init::HeOrthogonal);
        Self { weight, activation }
    }

    /// (rows, in) → (rows, out).
    pub fn forward(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        ops::dense(x, params.get(self.weight), self.activation)
    }

    /// The weight (out, in).
    pub(crate) fn weight(&self, params: &Params) -> Tensor<2> {
        params.get(self.weight)
    }
}

/// `(u + Dense(Dense(u))) / √2`, two activated layers of equal width.
#[derive(Debug, Clone)]
pub struct ResidualDense {
    weights: [ParamId; 2],
}

impl ResidualDense {
    /// Registers `name.dense_mlp.{0,1}.linear.weight`.
    pub fn new(builder: &mut ParamBuilder, name: &str, width: usize) -> Self {
        let weights = [0, 1].map(|i| {
            builder.add(format!("{name}.dense_mlp.{i}.linear.weight"), &[width, width], Init::HeOrthogonal)
        });
        Self { weights }
    }

    /// (rows, width) → (rows, width).
    pub fn forward(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        let [first, second] = self.weights(params);
        ops::residual_pair(x, first, second)
    }

    /// Both weights (width, width).
    pub(crate) fn weights(&self, params: &Params) -> [Tensor<2>; 2] {
        self.weights.map(|w| params.get(w))
    }
}

/// An activated dense layer over `[h_source ‖ h_destination ‖ m]`, computed without building the concatenation:
/// the atom parts are multiplied once per atom.
#[derive(Debug, Clone)]
pub struct SplitDense {
    weight: ParamId,
}

impl SplitDense {
    /// Registers `name.linear.weight` (out, 2 · atom + edge).
    pub fn new(builder: &mut ParamBuilder, name: &str, atom: usize, edge: usize, output: usize) -> Self {
        let weight =
            builder.add(format!("{name}.linear.weight"), &[output, 2 * atom + edge], Init::HeOrthogonal);
        Self { weight }
    }

    /// h is (atoms, atom), m is (edges, edge); returns (edges, out).
    pub fn forward(
        &self,
        params: &Params,
        h: Tensor<2>,
        m: Tensor<2>,
        source: &Index,
        destination: &Index,
    ) -> Tensor<2> {
        let weight = params.get(self.weight);
        ops::split_dense(h, m, weight, source, destination, Activation::ScaledSilu)
    }
}
