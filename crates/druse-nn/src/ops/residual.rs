//! A residual pair of activated layers as one operation.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::tensor::Tensor;

use super::dense::Activation;
use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::{View, new_product, new_silu, product, residual_silu, silu_backward, silu_in_place};

/// `(x + act(act(x W₁ᵀ) W₂ᵀ)) / √2` with the scaled SiLU of the GemNet family: x is (rows, width), both weights
/// (width, width), the result (rows, width).
pub fn residual_pair(x: Tensor<2>, first: Tensor<2>, second: Tensor<2>) -> Tensor<2> {
    apply(&ResidualPair, [x, first, second])
}

#[derive(Debug, Clone)]
pub(crate) struct ResidualPair;

/// Factor of the scaled SiLU.
const SCALE: f32 = 1.0 / 0.6;

impl HostOp<3> for ResidualPair {
    fn forward(&self, [x, w1, w2]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let shape = [x.rows, w1.rows, x.cols];
        let mut z1 = new_product(shape, View::rows(x.data, x.cols), View::transposed(w1.data, w1.cols));
        let mut kept = Vec::new();
        let h1 = if keep {
            let h1 = new_silu(&z1, SCALE);
            kept.push(z1);
            h1
        } else {
            silu_in_place(&mut z1, SCALE);
            z1
        };
        let shape = [x.rows, w2.rows, w1.rows];
        let z2 = new_product(shape, View::rows(&h1, w1.rows), View::transposed(w2.data, w2.cols));
        if keep {
            let mut out = Matrix { data: x.data.to_vec(), rows: x.rows, cols: x.cols };
            residual_silu(&z2, SCALE, FRAC_1_SQRT_2, &mut out.data);
            kept.extend([h1, z2]);
            return (out, kept);
        }
        let mut out = Matrix { data: h1, rows: x.rows, cols: x.cols };
        out.data.copy_from_slice(x.data);
        residual_silu(&z2, SCALE, FRAC_1_SQRT_2, &mut out.data);
        (out, kept)
    }

    fn backward(
        &self,
        [x, w1, w2]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let [z1, h1, z2] = [&kept[0], &kept[1], &kept[2]];
        let (rows, width) = (x.rows, x.cols);
        let square = [width, width, rows];
        let scaled: Vec<f32> = grad.data.iter().map(|g| g * FRAC_1_SQRT_2).collect();
        let mut d2 = scaled.clone();
        silu_backward(z2, SCALE, &mut d2);
        let dw2 = wanted[2].then(|| {
            let data = new_product(square, View::transposed(&d2, width), View::rows(h1, width));
            Matrix { data, rows: width, cols: width }
        });
        let shape = [rows, width, width];
        let mut d1 = new_product(shape, View::rows(&d2, width), View::rows(w2.data, width));
        silu_backward(z1, SCALE, &mut d1);
        let dw1 = wanted[1].then(|| {
            let data = new_product(square, View::transposed(&d1, width), View::rows(x.data, width));
            Matrix { data, rows: width, cols: width }
        });
        let dx = wanted[0].then(|| {
            let mut d = Matrix { data: scaled, rows, cols: width };
            product(&mut d.data, shape, View::rows(&d1, width), View::rows(w1.data, width), true);
            d
        });
        [dx, dw1, dw2]
    }

    fn compose(&self, [x, w1, w2]: [Tensor<2>; 3]) -> Tensor<2> {
        let layer = |x: Tensor<2>, w: Tensor<2>| Activation::ScaledSilu.compose(x.matmul(w.transpose()));
        let y = layer(layer(x.clone(), w1), w2);
        (x + y).mul_scalar(FRAC_1_SQRT_2)
    }
}
