//! Sines of trainable frequencies under an envelope: the radial basis of the DimeNet family.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::matrix::matrix;

/// `v sin(ω_k u)` for given pairs `[u, v]`: the frequencies are (1, K), the result (pairs, K).
pub fn enveloped_sines(frequencies: Tensor<2>, places: Vec<[f64; 2]>) -> Tensor<2> {
    apply(&EnvelopedSines { places: places.into() }, [frequencies])
}

#[derive(Debug, Clone)]
pub(crate) struct EnvelopedSines {
    /// Argument and envelope of each row.
    pub places: Arc<[[f64; 2]]>,
}

impl HostOp<1> for EnvelopedSines {
    fn forward(&self, [w]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let row = |&[u, v]: &[f64; 2]| w.data.iter().map(move |&w| (v * (f64::from(w) * u).sin()) as f32);
        let data = self.places.iter().flat_map(row).collect();
        (Matrix { data, rows: self.places.len(), cols: w.cols }, Vec::new())
    }

    fn backward(
        &self,
        [w]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let mut sums = vec![0f64; w.cols];
        for (&[u, v], g) in self.places.iter().zip(grad.data.chunks_exact(w.cols.max(1))) {
            for ((sum, &w), &g) in sums.iter_mut().zip(w.data).zip(g) {
                *sum += f64::from(g) * u * v * (f64::from(w) * u).cos();
            }
        }
        let data = sums.into_iter().map(|x| x as f32).collect();
        [Some(Matrix { data, rows: w.rows, cols: w.cols })]
    }

    fn compose(&self, [w]: [Tensor<2>; 1]) -> Tensor<2> {
        let device = w.device();
        let column = |i: usize| matrix(self.places.iter().map(|p| p[i] as f32).collect(), 1, &device);
        column(0).matmul(w).sin() * column(1)
    }
}
