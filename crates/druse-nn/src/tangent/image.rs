//! Convolutions, and layer normalization with a leaky ReLU.

use std::mem::MaybeUninit;

use burn::tensor::Tensor;

use super::dual::Dual;
use crate::arch::vectorized;
use crate::ops::narrow::{ROWS, by_width, for_blocks, means, normalize};
use crate::ops::{
    self, ConvGeometry, HostOp, Mat, Matrix, apply, leak, new_vec, row_moments, row_sum, total,
};

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

impl LayerNormTangent {
    fn narrow<const C: usize>(&self, [x, t, gain, bias]: [Mat<'_>; 4], y: &mut [MaybeUninit<f32>]) {
        let (gain, bias) = (&gain.data[..C], &bias.data[..C]);
        vectorized!(for_blocks::<C, 2, 1>([x.data, t.data], [&mut *y], |[u, t]| {
            let scale = normalize(u, self.epsilon);
            let (level, tilt) = (means(t, t, |t, _| t), means(t, u, |t, u| t * u));
            for c in 0..C {
                for r in 0..ROWS {
                    let slope = leak(gain[c] * u[c][r] + bias[c], self.slope);
                    u[c][r] = slope * gain[c] * scale[r] * (t[c][r] - level[r] - u[c][r] * tilt[r]);
                }
            }
        }));
    }

    fn wide(&self, [x, t, gain, bias]: [Mat<'_>; 4], y: &mut [MaybeUninit<f32>]) {
        let cols = x.cols.max(1);
        let n = cols as f32;
        let (gain, bias) = (&gain.data[..x.cols], &bias.data[..x.cols]);
        let mut unit = vec![0f32; x.cols];
        vectorized!({
            let rows = x.data.chunks_exact(cols).zip(t.data.chunks_exact(cols));
            for ((x, t), y) in rows.zip(y.chunks_exact_mut(cols)) {
                let [mean, scale] = row_moments(x, self.epsilon);
                for (u, &x) in unit.iter_mut().zip(x) {
                    *u = (x - mean) * scale;
                }
                let (level, tilt) = (row_sum(t, t, |t, _| t) / n, row_sum(t, &unit, |t, u| t * u) / n);
                for ((((y, &t), &u), &g), &b) in y.iter_mut().zip(t).zip(&unit).zip(gain).zip(bias) {
                    y.write(leak(g * u + b, self.slope) * g * scale * (t - level - u * tilt));
                }
            }
        });
    }

    /// The gradients of x and of t; adds that of γ to `d_gain`.
    fn narrow_gradient<const C: usize>(
        &self,
        [x, t, gain, bias]: [Mat<'_>; 4],
        grad: &[f32],
        d_gain: &mut [f32],
        [dx, dt]: [&mut [MaybeUninit<f32>]; 2],
    ) {
        let (gain, bias) = (&gain.data[..C], &bias.data[..C]);
        let mut sums = [[0f32; ROWS]; C];
        vectorized!(for_blocks::<C, 3, 2>([x.data, t.data, grad], [&mut *dx, &mut *dt], |[u, t, h]| {
            let scale = normalize(u, self.epsilon);
            let (level_t, q) = (means(t, t, |t, _| t), means(t, u, |t, u| t * u));
            for c in 0..C {
                for r in 0..ROWS {
                    let g = h[c][r] * leak(gain[c] * u[c][r] + bias[c], self.slope);
                    sums[c][r] += g * scale[r] * (t[c][r] - level_t[r] - u[c][r] * q[r]);
                    h[c][r] = g * gain[c];
                }
            }
            let (level_h, p) = (means(h, h, |h, _| h), means(h, u, |h, u| h * u));
            let along = means(h, t, |h, t| h * t);
            for c in 0..C {
                for r in 0..ROWS {
                    let along = along[r] - level_h[r] * level_t[r] - p[r] * q[r];
                    let projected = h[c][r] - level_h[r] - u[c][r] * p[r];
                    let moved = t[c][r] - level_t[r] - u[c][r] * q[r];
                    u[c][r] = -scale[r] * scale[r] * (along * u[c][r] + q[r] * projected + p[r] * moved);
                    t[c][r] = scale[r] * projected;
                }
            }
        }));
        d_gain.iter_mut().zip(sums).for_each(|(d, sums)| *d += total(sums));
    }

    /// The same for any number of columns.
    fn wide_gradient(
        &self,
        [x, t, gain, bias]: [Mat<'_>; 4],
        grad: &[f32],
        d_gain: &mut [f32],
        [dx, dt]: [&mut [MaybeUninit<f32>]; 2],
    ) {
        let cols = x.cols.max(1);
        let n = cols as f32;
        let (gain, bias) = (&gain.data[..x.cols], &bias.data[..x.cols]);
        let [mut unit, mut moved, mut h] = [(); 3].map(|()| vec![0f32; x.cols]);
        vectorized!({
            let rows = x.data.chunks_exact(cols).zip(t.data.chunks_exact(cols)).zip(grad.chunks_exact(cols));
            let results = dx.chunks_exact_mut(cols).zip(dt.chunks_exact_mut(cols));
            for (((x, t), g), (dx, dt)) in rows.zip(results) {
                let [mean, scale] = row_moments(x, self.epsilon);
                for (u, &x) in unit.iter_mut().zip(x) {
                    *u = (x - mean) * scale;
                }
                let (level_t, q) = (row_sum(t, t, |t, _| t) / n, row_sum(t, &unit, |t, u| t * u) / n);
                let known = t.iter().zip(g).zip(&unit);
                let made = moved.iter_mut().zip(&mut h).zip(&mut *d_gain);
                for ((((&t, &g), &u), ((m, h), d_gain)), (&gain, &b)) in
                    known.zip(made).zip(gain.iter().zip(bias))
                {
                    *m = t - level_t - u * q;
                    let g = g * leak(gain * u + b, self.slope);
                    *d_gain += g * scale * *m;
                    *h = g * gain;
                }
                let (level_h, p) = (row_sum(&h, &h, |h, _| h) / n, row_sum(&h, &unit, |h, u| h * u) / n);
                let along = row_sum(&h, t, |h, t| h * t) / n - level_h * level_t - p * q;
                let known = h.iter().zip(&unit).zip(&moved);
                for ((dx, dt), ((&h, &u), &m)) in dx.iter_mut().zip(dt).zip(known) {
                    let projected = h - level_h - u * p;
                    dx.write(-scale * scale * (along * u + q * projected + p * m));
                    dt.write(scale * projected);
                }
            }
        });
    }
}

impl HostOp<4> for LayerNormTangent {
    fn forward(&self, all: [Mat<'_>; 4], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [x, t, ..] = all;
        assert_eq!(t.data.len(), x.data.len(), "a tangent of another shape");
        let fill =
            |y: &mut [MaybeUninit<f32>]| by_width!(x.cols, C => self.narrow::<C>(all, y), self.wide(all, y));
        // SAFETY: every number of every row is written.
        let data = unsafe { new_vec(x.data.len(), fill) };
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        all: [Mat<'_>; 4],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 4],
    ) -> [Option<Matrix>; 4] {
        let [x, t, gain, bias] = all;
        assert_eq!(
            [t.data.len(), grad.data.len()],
            [x.data.len(); 2],
            "a tangent or gradient of another shape"
        );
        let [mut d_gain, d_bias] = [gain, bias].map(|w| Matrix::zeros(w.rows, w.cols));
        let mut dx = Vec::new();
        let fill = |dt: &mut [MaybeUninit<f32>]| {
            let both = |dx: &mut [MaybeUninit<f32>]| {
                by_width!(
                    x.cols,
                    C => self.narrow_gradient::<C>(all, grad.data, &mut d_gain.data, [dx, dt]),
                    self.wide_gradient(all, grad.data, &mut d_gain.data, [dx, dt])
                );
            };
            // SAFETY: every number of every row is written.
            dx = unsafe { new_vec(x.data.len(), both) };
        };
        // SAFETY: so are those of the second result.
        let dt = unsafe { new_vec(x.data.len(), fill) };
        let [dx, dt] = [dx, dt].map(|data| Matrix { data, rows: x.rows, cols: x.cols });
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
