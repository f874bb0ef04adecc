//! Leaky ReLU.

use burn::tensor::{Tensor, activation};

use crate::arch::vectorized;
use crate::ops::dense::leak;
use crate::ops::host::{HostOp, Mat, Matrix, apply};

/// `x` where it is positive, `slope · x` elsewhere.
pub fn leaky_relu(x: Tensor<2>, slope: f32) -> Tensor<2> {
    apply(&LeakyRelu { slope }, [x])
}

#[derive(Debug, Clone)]
pub(crate) struct LeakyRelu {
    pub slope: f32,
}

impl HostOp<1> for LeakyRelu {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let slope = self.slope;
        let data = vectorized!(x.data.iter().map(|&x| x * leak(x, slope)).collect());
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let slope = self.slope;
        let data = vectorized!(x.data.iter().zip(grad.data).map(|(&x, g)| g * leak(x, slope)).collect());
        [Some(Matrix { data, rows: x.rows, cols: x.cols })]
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        activation::leaky_relu(x, f64::from(self.slope))
    }
}
