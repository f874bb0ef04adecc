//! Convolutions, and layer normalization with a leaky ReLU.

use burn::tensor::Tensor;

use super::dual::Dual;
use crate::arch::vectorized;
use crate::ops::{self, ConvGeometry, HostOp, Mat, Matrix, apply, for_rows_of, leak, row_moments, row_sum};

/// [`crate::ops::conv`] and the same, without bias, of the tangent.
pub fn conv(x: Dual, weight: Tensor<2>, bias: Option<Tensor<2>>, geometry: &ConvGeometry) -> Dual {
    let tangent = x.tangent.map(|t| ops::conv(t, weight.clone(), None, geometry));
    Dual { value: ops::conv(x.value, weight, bias, geometry), tangent }
}

/// [`crate::ops::layer_norm_leaky`] with its derivative along the tangent of x. With `u = (x - μ) / √(σ² + ε)`, the mean ⟨·⟩ of
/// a row and the slope φ of the activation, that is `φ γ (x' - ⟨x'⟩ - u ⟨u x'⟩) / √(σ² + ε)`.
pub fn layer_norm_leaky(x: Dual, gain: Tensor<2>, bias: Tensor<2>, [epsilon, slope]: [f32; 2]) -> Dual {
    let tangent = x.tangent.map(|t| {
        let op = LayerNormTangent { epsilon, slope };
        apply(&op, [x.value.clone(), t, gain.clone(), bias.clone()])
    });
    Dual { value: ops::layer_norm_leaky(x.value, gain, bias, epsilon, slope), tangent }
}

/// The tangent of [`layer_norm_leaky`] for x, t = x', γ and β.
///
/// With `h = φ γ g` for the gradient g of the result, `s = 1 / √(σ² + ε)`, `P(a) = a - ⟨a⟩ - u ⟨u a⟩`, `p = ⟨u h⟩` and
/// `q = ⟨u t⟩`, the gradients are `s P(h)` for t, `φ g s P(t)` for γ, nothing for β, and
/// `-s² [(⟨h t⟩ - ⟨h⟩⟨t⟩ - p q) u + q P(h) + p P(t)]` for x.
#[derive(Debug, Clone)]
pub(super) struct LayerNormTangent {
    pub epsilon: f32,
    pub slope: f32,
}

impl HostOp<4> for LayerNormTangent {
    fn forward(&self, [x, t, gain, bias]: [Mat<'_>; 4], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (cols, slope) = (x.cols.max(1), self.slope);
        let mut y = Matrix { data: t.data.to_vec(), rows: x.rows, cols: x.cols };
        let mut unit = vec![0f32; cols];
        vectorized!(for_rows_of!(cols => {
            let (gain, bias, unit) = (&gain.data[..cols], &bias.data[..cols], &mut unit[..cols]);
            for (x, y) in x.data.chunks_exact(cols).zip(y.data.chunks_exact_mut(cols)) {
                let [mean, scale] = row_moments(x, self.epsilon);
                for (u, &x) in unit.iter_mut().zip(x) {
                    *u = (x - mean) * scale;
                }
                let level = row_sum(y, y, |t, _| t) / cols as f32;
                let tilt = row_sum(y, unit, |t, u| t * u) / cols as f32;
                for (((y, &u), &g), &b) in y.iter_mut().zip(&*unit).zip(gain).zip(bias) {
                    *y = leak(g * u + b, slope) * g * scale * (*y - level - u * tilt);
                }
            }
        }));
        (y, Vec::new())
    }

    fn backward(
        &self,
        [x, t, gain, bias]: [Mat<'_>; 4],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 4],
    ) -> [Option<Matrix>; 4] {
        let (cols, slope) = (x.cols.max(1), self.slope);
        let mut dx = Matrix::zeros(x.rows, x.cols);
        let mut dt = Matrix { data: grad.data.to_vec(), rows: x.rows, cols: x.cols };
        let [mut d_gain, d_bias] = [gain, bias].map(|w| Matrix::zeros(w.rows, w.cols));
        let (mut unit, mut moved) = (vec![0f32; cols], vec![0f32; cols]);
        let n = cols as f32;
        vectorized!(for_rows_of!(cols => {
            let (gain, bias) = (&gain.data[..cols], &bias.data[..cols]);
            let (unit, moved) = (&mut unit[..cols], &mut moved[..cols]);
            let d_gain = &mut d_gain.data[..cols];
            let rows = x.data.chunks_exact(cols).zip(t.data.chunks_exact(cols));
            let results = dx.data.chunks_exact_mut(cols).zip(dt.data.chunks_exact_mut(cols));
            for ((x, t), (dx, h)) in rows.zip(results) {
                let [mean, scale] = row_moments(x, self.epsilon);
                for (u, &x) in unit.iter_mut().zip(x) {
                    *u = (x - mean) * scale;
                }
                let (level_t, q) = (row_sum(t, t, |t, _| t) / n, row_sum(t, unit, |t, u| t * u) / n);
                for ((m, &t), &u) in moved.iter_mut().zip(t).zip(&*unit) {
                    *m = t - level_t - u * q;
                }
                for (((h, &u), &g), &b) in h.iter_mut().zip(&*unit).zip(gain).zip(bias) {
                    *h *= leak(g * u + b, slope);
                }
                for ((d, &h), &m) in d_gain.iter_mut().zip(&*h).zip(&*moved) {
                    *d += h * scale * m;
                }
                for (h, &g) in h.iter_mut().zip(gain) {
                    *h *= g;
                }
                let (level_h, p) = (row_sum(h, h, |h, _| h) / n, row_sum(h, unit, |h, u| h * u) / n);
                let along = row_sum(h, t, |h, t| h * t) / n - level_h * level_t - p * q;
                for (((dx, h), &u), &m) in dx.iter_mut().zip(h).zip(&*unit).zip(&*moved) {
                    let projected = *h - level_h - u * p;
                    *dx = -scale * scale * (along * u + q * projected + p * m);
                    *h = scale * projected;
                }
            }
        }));
        [Some(dx), Some(dt), Some(d_gain), Some(d_bias)]
    }

    fn compose(&self, [x, t, gain, bias]: [Tensor<2>; 4]) -> Tensor<2> {
        let centered = x.clone() - x.mean_dim(1);
        let variance = (centered.clone() * centered.clone()).mean_dim(1);
        let deviation = (variance + self.epsilon).sqrt();
        let unit = centered / deviation.clone();
        let tilt = (unit.clone() * t.clone()).mean_dim(1);
        let z = unit.clone() * gain.clone() + bias;
        let slope = z.clone().detach().zeros_like().add_scalar(self.slope);
        let slope = slope.mask_fill(z.clone().detach().greater_elem(0.0), 1.0);
        // The bias takes part in the sign alone; its gradient is zero.
        let slope = slope + z.mul_scalar(0.0);
        (t.clone() - t.mean_dim(1) - unit * tilt) / deviation * gain * slope
    }
}
