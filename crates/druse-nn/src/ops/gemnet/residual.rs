//! Residual sums.

use std::f32::consts::FRAC_1_SQRT_2;
use std::mem::MaybeUninit;

use burn::tensor::Tensor;

use crate::arch::vectorized;
use crate::graph::Index;
use crate::ops::gather::gather;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::add_scaled;
use crate::ops::product::new_vec;

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
