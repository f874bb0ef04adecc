//! Residual sums, alone and around a pair of activated layers.

use std::f32::consts::FRAC_1_SQRT_2;
use std::mem::MaybeUninit;

use burn::tensor::Tensor;

use super::arch::vectorized;
#[cfg(feature = "gpu")]
use super::cube::DeviceOp;
use super::dense::Activation;
use super::gather::gather;
use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::add_scaled;
use super::perceptron;
use super::product::new_vec;
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
        let write = |out: &mut [MaybeUninit<f32>], x: &[f32], y: &[f32]| {
            vectorized!(for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
                out.write((x + y) * FRAC_1_SQRT_2);
            });
        };
        // SAFETY: y has as many numbers as x, or a row of it goes with every row of x: every number is written.
        let data = unsafe {
            new_vec(x.data.len(), |out| match &self.index {
                None => write(out, x.data, &y.data[..x.data.len()]),
                Some(index) => {
                    assert_eq!(index.len(), x.rows, "one row of y for each row of x");
                    for (e, &i) in index.iter().enumerate() {
                        let row = e * width..(e + 1) * width;
                        write(&mut out[row.clone()], &x.data[row], &y.data[i as usize * width..][..width]);
                    }
                }
            })
        };
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
        let scaled = || {
            // SAFETY: the loop writes all numbers: there are as many as in the gradient.
            let data = unsafe {
                new_vec(grad.data.len(), |out| {
                    vectorized!(for (out, g) in out.iter_mut().zip(grad.data) {
                        out.write(g * FRAC_1_SQRT_2);
                    });
                })
            };
            Matrix { data, rows: grad.rows, cols: width }
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
