//! A residual pair of activated layers as one operation.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::tensor::Tensor;

#[cfg(feature = "gpu")]
use super::cube::DeviceOp;
use super::dense::Activation;
use super::host::{HostOp, Mat, Matrix, apply};
use super::perceptron;

/// `(x + act(act(x W₁ᵀ) W₂ᵀ)) / √2` with the scaled SiLU of the GemNet family: x is (rows, width), both weights
/// (width, width), the result (rows, width).
pub fn residual_pair(x: Tensor<2>, first: Tensor<2>, second: Tensor<2>) -> Tensor<2> {
    apply(&ResidualPair, [x, first, second])
}

#[derive(Debug, Clone)]
pub(crate) struct ResidualPair;

impl HostOp<3> for ResidualPair {
    fn forward(&self, [x, w1, w2]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        perceptron::forward(x, &[w1, w2], false, keep)
    }

    fn backward(
        &self,
        [x, w1, w2]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let (dx, weights) = perceptron::backward(x, &[w1, w2], false, kept, grad);
        let mut weights = weights.into_iter();
        [Some(dx), weights.next(), weights.next()]
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<3>> {
        Some(self)
    }

    fn compose(&self, [x, w1, w2]: [Tensor<2>; 3]) -> Tensor<2> {
        let layer = |x: Tensor<2>, w: Tensor<2>| Activation::ScaledSilu.compose(x.matmul(w.transpose()));
        let y = layer(layer(x.clone(), w1), w2);
        (x + y).mul_scalar(FRAC_1_SQRT_2)
    }
}
