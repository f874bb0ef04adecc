//! Softplus.

use burn::tensor::{Tensor, activation};

use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{softplus_backward, softplus_into};
use crate::ops::product::new_vec;

/// `ln(1 + e^x)`.
pub fn softplus(x: Tensor<2>) -> Tensor<2> {
    apply(&Softplus, [x])
}

#[derive(Debug, Clone)]
pub(crate) struct Softplus;

impl HostOp<1> for Softplus {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        // SAFETY: as many numbers are written as x has.
        let data = unsafe { new_vec(x.data.len(), |y| softplus_into(x.data, y)) };
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let mut data = grad.data.to_vec();
        softplus_backward(x.data, &mut data);
        [Some(Matrix { data, rows: x.rows, cols: x.cols })]
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        activation::softplus(x, 1.0)
    }
}
