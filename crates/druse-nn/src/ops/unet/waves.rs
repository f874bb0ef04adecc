//! Sines and cosines of learned frequencies.

use burn::tensor::Tensor;

use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::matrix;

/// `[t, sin(2π w t), cos(2π w t)]` of a number t for each image: the frequencies w are (1, n), the result (images, 2 n + 1).
/// On the CPU arguments are reduced in 64 bits, so that large ones lose no digits.
pub fn waves(frequencies: Tensor<2>, numbers: &[f64]) -> Tensor<2> {
    apply(&Waves { numbers: numbers.into() }, [frequencies])
}

#[derive(Debug, Clone)]
pub(crate) struct Waves {
    pub numbers: std::sync::Arc<[f64]>,
}

const TURN: f64 = 2.0 * std::f64::consts::PI;

impl HostOp<1> for Waves {
    fn forward(&self, [w]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (n, cols) = (w.data.len(), 2 * w.data.len() + 1);
        let mut out = Matrix::zeros(self.numbers.len(), cols);
        for (&t, row) in self.numbers.iter().zip(out.data.chunks_exact_mut(cols)) {
            row[0] = t as f32;
            for (k, &w) in w.data.iter().enumerate() {
                let (sin, cos) = (TURN * f64::from(w) * t).sin_cos();
                (row[1 + k], row[1 + n + k]) = (sin as f32, cos as f32);
            }
        }
        (out, Vec::new())
    }

    fn backward(
        &self,
        [w]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let n = w.data.len();
        let mut sums = vec![0f64; n];
        for (&t, g) in self.numbers.iter().zip(grad.data.chunks_exact(2 * n + 1)) {
            for (k, sum) in sums.iter_mut().enumerate() {
                let (sin, cos) = (TURN * f64::from(w.data[k]) * t).sin_cos();
                *sum += TURN * t * (cos * f64::from(g[1 + k]) - sin * f64::from(g[1 + n + k]));
            }
        }
        let data = sums.into_iter().map(|x| x as f32).collect();
        [Some(Matrix { data, rows: w.rows, cols: w.cols })]
    }

    fn compose(&self, [w]: [Tensor<2>; 1]) -> Tensor<2> {
        let t = matrix(self.numbers.iter().map(|&t| t as f32).collect(), 1, &w.device());
        let argument = (t.clone() * w).mul_scalar(TURN);
        Tensor::cat(vec![t, argument.clone().sin(), argument.cos()], 1)
    }
}
