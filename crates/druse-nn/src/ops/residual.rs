//! Residual sums, alone and around a pair of activated layers.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::tensor::Tensor;

use super::arch::vectorized;
#[cfg(feature = "gpu")]
use super::cube::DeviceOp;
use super::dense::Activation;
use super::gather::gather;
use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::add_scaled;
use super::perceptron;
use crate::graph::Index;

/// `(x + act(act(x W₁ᵀ) W₂ᵀ)) / √2` with the scaled SiLU of the GemNet family: x is (rows, width), both weights
/// (width, width), the result (rows, width).
pub fn residual_pair(x: Tensor<2>, first: Tensor<2>, second: Tensor<2>) -> Tensor<2> {
    apply(&ResidualPair, [x, first, second])
}

/// `(x + y) / √2`: both are (rows, width).
pub fn residual_sum(x: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    apply(&ResidualSum { index: None }, [x, y])
}

/// `(x[e] + y[index[e]]) / √2`, row by row: x is (edges, width), as is the result.
pub fn residual_gather(x: Tensor<2>, y: Tensor<2>, index: &Index) -> Tensor<2> {
    apply(&ResidualSum { index: Some(index.clone()) }, [x, y])
}

#[derive(Debug, Clone)]
pub(crate) struct ResidualSum {
    /// Rows of y; all in order where absent.
    pub index: Option<Index>,
}

impl ResidualSum {
    /// Row of y that belongs to row e of x.
    fn partner(&self, e: usize) -> usize {
        self.index.as_ref().map_or(e, |index| index[e] as usize)
    }
}

impl HostOp<2> for ResidualSum {
    fn forward(&self, [x, y]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let width = x.cols;
        let mut data = Vec::with_capacity(x.data.len());
        vectorized!(for e in 0..x.rows {
            let y = &y.data[self.partner(e) * width..][..width];
            let x = &x.data[e * width..][..width];
            data.extend(x.iter().zip(y).map(|(x, y)| (x + y) * FRAC_1_SQRT_2));
        });
        (Matrix { data, rows: x.rows, cols: width }, Vec::new())
    }

    fn backward(
        &self,
        [x, y]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let width = x.cols;
        let scaled = || Matrix {
            data: vectorized!(grad.data.iter().map(|g| g * FRAC_1_SQRT_2).collect()),
            rows: grad.rows,
            cols: width,
        };
        let dy = wanted[1].then(|| {
            if self.index.is_none() {
                return scaled();
            }
            let mut dy = Matrix::zeros(y.rows, width);
            vectorized!(for e in 0..x.rows {
                let dy = &mut dy.data[self.partner(e) * width..][..width];
                add_scaled(dy, &grad.data[e * width..][..width], FRAC_1_SQRT_2);
            });
            dy
        });
        [wanted[0].then(scaled), dy]
    }

    fn compose(&self, [x, y]: [Tensor<2>; 2]) -> Tensor<2> {
        let y = match &self.index {
            None => y,
            Some(index) => gather(y, index),
        };
        (x + y).mul_scalar(FRAC_1_SQRT_2)
    }
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
