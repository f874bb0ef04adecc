//! Linear layers with bias.

use burn::tensor::Tensor;

use super::layer::{Activation, dense, linear, linear_backward};
use crate::ops::host::{HostOp, Mat, Matrix, apply};

/// `act(x Wᵀ + b)`: x is (rows, in), W is (out, in), b is (1, out), the result (rows, out).
pub fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, act: Activation) -> Tensor<2> {
    apply(&Affine { act }, [x, weight, bias])
}

#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub act: Activation,
}

impl HostOp<3> for Affine {
    fn forward(&self, [x, w, b]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        assert_eq!(b.data.len(), w.rows, "a bias has one number for each output");
        linear(self.act, x, w, Some(b.data), keep)
    }

    fn backward(
        &self,
        [x, w, _]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        linear_backward(self.act, [x, w], kept, grad, wanted)
    }

    fn compose(&self, [x, w, b]: [Tensor<2>; 3]) -> Tensor<2> {
        self.act.compose(dense(x, w, Activation::Identity) + b)
    }
}
