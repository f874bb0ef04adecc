//! The exact GELU.

use burn::tensor::Tensor;

use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{gelu_backward, gelu_in_place};

/// `x Φ(x)` with the integral Φ of the normal distribution (Hendrycks and Gimpel 2016), not its approximation by tanh.
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    apply(&Gelu, [x])
}

#[derive(Debug, Clone)]
pub(crate) struct Gelu;

impl HostOp<1> for Gelu {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut data = x.data.to_vec();
        gelu_in_place(&mut data);
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
        gelu_backward(x.data, &mut data);
        [Some(Matrix { data, rows: x.rows, cols: x.cols })]
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        // Not the engine's: its derivative on devices is that of the approximation by tanh.
        let integral = x.clone().div_scalar(std::f32::consts::SQRT_2).erf().add_scalar(1.0).mul_scalar(0.5);
        x * integral
    }
}
