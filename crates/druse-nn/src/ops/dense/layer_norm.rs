//! Layer normalization.

use std::mem::MaybeUninit;

use burn::tensor::Tensor;

use super::narrow::{ROWS, by_width, for_blocks, means, normalize};
use crate::arch::vectorized;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::product::new_vec;

/// Added to the variance, unless told otherwise.
const EPSILON: f32 = 1e-5;

/// `γ (x - μ) / √(σ² + 1e-5) + β` with mean and (biased) variance of each row (Ba, Kiros, Hinton 2016): x is (rows, C), γ
/// and β are (1, C).
pub fn layer_norm(x: Tensor<2>, gain: Tensor<2>, bias: Tensor<2>) -> Tensor<2> {
    layer_norm_leaky(x, gain, bias, EPSILON, 1.0)
}

/// [`layer_norm`] with another number added to the variance, followed by a leaky ReLU: what is negative is multiplied by
/// `slope` (1 for no activation).
pub fn layer_norm_leaky(
    x: Tensor<2>,
    gain: Tensor<2>,
    bias: Tensor<2>,
    epsilon: f32,
    slope: f32,
) -> Tensor<2> {
    apply(&LayerNorm { epsilon, slope }, [x, gain, bias])
}

#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    pub epsilon: f32,
    pub slope: f32,
}

/// Partial sums, so that a row is summed in vectors.
const LANES: usize = 16;

/// `Σ f(x, y)` over two rows.
#[inline(always)]
pub(crate) fn row_sum(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| f(x, y)).sum::<f32>();
    for (x, y) in xs.zip(ys) {
        for i in 0..LANES {
            sums[i] += f(x[i], y[i]);
        }
    }
    total(sums) + rest
}

/// Sum of partial sums, halves first: a chain of additions would wait for each of them.
#[inline(always)]
pub(crate) fn total(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Mean and inverse deviation of a row.
#[inline(always)]
pub(crate) fn row_moments(x: &[f32], epsilon: f32) -> [f32; 2] {
    let n = x.len() as f32;
    let mean = row_sum(x, x, |x, _| x) / n;
    let variance = row_sum(x, x, |x, _| (x - mean) * (x - mean)) / n;
    [mean, 1.0 / (variance + epsilon).sqrt()]
}

/// The slope of a leaky ReLU at z.
#[inline(always)]
pub(crate) fn leak(z: f32, slope: f32) -> f32 {
    if z > 0.0 { 1.0 } else { slope }
}

impl LayerNorm {
    fn narrow<const C: usize>(&self, [x, gain, bias]: [Mat<'_>; 3], y: &mut [MaybeUninit<f32>]) {
        let (gain, bias) = (&gain.data[..C], &bias.data[..C]);
        vectorized!(for_blocks::<C, 1, 1>([x.data], [&mut *y], |[x]| {
            normalize(x, self.epsilon);
            for ((x, &gain), &bias) in x.iter_mut().zip(gain).zip(bias) {
                for x in x {
                    let z = gain * *x + bias;
                    *x = z * leak(z, self.slope);
                }
            }
        }));
    }

    fn wide(&self, [x, gain, bias]: [Mat<'_>; 3], y: &mut [MaybeUninit<f32>]) {
        let cols = x.cols.max(1);
        let (gain, bias) = (&gain.data[..x.cols], &bias.data[..x.cols]);
        vectorized!({
            for (x, y) in x.data.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
                let [mean, scale] = row_moments(x, self.epsilon);
                for (((y, &x), &g), &b) in y.iter_mut().zip(x).zip(gain).zip(bias) {
                    let z = g * ((x - mean) * scale) + b;
                    y.write(z * leak(z, self.slope));
                }
            }
        });
    }

    /// The gradient of x; adds those of γ and β to `of_weights`.
    fn narrow_gradient<const C: usize>(
        &self,
        [x, gain, bias]: [Mat<'_>; 3],
        grad: &[f32],
        of_weights: [&mut [f32]; 2],
        dx: &mut [MaybeUninit<f32>],
    ) {
        let (gain, bias) = (&gain.data[..C], &bias.data[..C]);
        let mut sums = [[[0f32; ROWS]; 2]; C];
        vectorized!(for_blocks::<C, 2, 1>([x.data, grad], [&mut *dx], |[u, h]| {
            let scale = normalize(u, self.epsilon);
            for c in 0..C {
                for r in 0..ROWS {
                    let g = h[c][r] * leak(gain[c] * u[c][r] + bias[c], self.slope);
                    sums[c][0][r] += g * u[c][r];
                    sums[c][1][r] += g;
                    h[c][r] = g * gain[c];
                }
            }
            let (level, tilt) = (means(h, h, |h, _| h), means(h, u, |h, u| h * u));
            for (u, h) in u.iter_mut().zip(h) {
                for r in 0..ROWS {
                    u[r] = scale[r] * (h[r] - level[r] - u[r] * tilt[r]);
                }
            }
        }));
        for (n, weights) in of_weights.into_iter().enumerate() {
            weights.iter_mut().zip(&sums).for_each(|(w, sums)| *w += total(sums[n]));
        }
    }

    /// The same for any number of columns.
    fn wide_gradient(
        &self,
        [x, gain, bias]: [Mat<'_>; 3],
        grad: &[f32],
        [d_gain, d_bias]: [&mut [f32]; 2],
        dx: &mut [MaybeUninit<f32>],
    ) {
        let cols = x.cols.max(1);
        let (gain, bias) = (&gain.data[..x.cols], &bias.data[..x.cols]);
        let [mut unit, mut h] = [(); 2].map(|()| vec![0f32; x.cols]);
        vectorized!({
            let rows = x.data.chunks_exact(cols).zip(grad.chunks_exact(cols));
            for ((x, g), dx) in rows.zip(dx.chunks_exact_mut(cols)) {
                let [mean, scale] = row_moments(x, self.epsilon);
                let affine = gain.iter().zip(bias).zip(d_gain.iter_mut().zip(&mut *d_bias));
                let made = unit.iter_mut().zip(&mut h);
                for (((&x, &g), (u, h)), ((&gain, &b), (d_gain, d_bias))) in
                    x.iter().zip(g).zip(made).zip(affine)
                {
                    *u = (x - mean) * scale;
                    let g = g * leak(gain * *u + b, self.slope);
                    *d_gain += g * *u;
                    *d_bias += g;
                    *h = g * gain;
                }
                let n = cols as f32;
                let (level, tilt) = (row_sum(&h, &h, |h, _| h) / n, row_sum(&h, &unit, |h, u| h * u) / n);
                for ((dx, &h), &u) in dx.iter_mut().zip(&h).zip(&unit) {
                    dx.write(scale * (h - level - u * tilt));
                }
            }
        });
    }
}

impl HostOp<3> for LayerNorm {
    fn forward(&self, all: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [x, ..] = all;
        let fill =
            |y: &mut [MaybeUninit<f32>]| by_width!(x.cols, C => self.narrow::<C>(all, y), self.wide(all, y));
        // SAFETY: every number of every row is written.
        let data = unsafe { new_vec(x.data.len(), fill) };
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        all: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let [x, gain, bias] = all;
        assert_eq!(grad.data.len(), x.data.len(), "a gradient of another shape");
        let [mut d_gain, mut d_bias] = [gain, bias].map(|w| Matrix::zeros(w.rows, w.cols));
        let fill = |dx: &mut [MaybeUninit<f32>]| {
            let of_weights = [&mut d_gain.data[..], &mut d_bias.data[..]];
            by_width!(
                x.cols,
                C => self.narrow_gradient::<C>(all, grad.data, of_weights, dx),
                self.wide_gradient(all, grad.data, of_weights, dx)
            );
        };
        // SAFETY: every number of every row is written.
        let dx = Matrix { data: unsafe { new_vec(x.data.len(), fill) }, rows: x.rows, cols: x.cols };
        [Some(dx), Some(d_gain), Some(d_bias)]
    }

    fn compose(&self, [x, gain, bias]: [Tensor<2>; 3]) -> Tensor<2> {
        let centered = x.clone() - x.mean_dim(1);
        let variance = (centered.clone() * centered.clone()).mean_dim(1);
        let z = centered / (variance + self.epsilon).sqrt() * gain + bias;
        if self.slope == 1.0 { z } else { burn::tensor::activation::leaky_relu(z, f64::from(self.slope)) }
    }
}
