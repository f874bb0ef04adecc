//! Layer normalization.

use burn::tensor::Tensor;

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

/// Runs code for rows of `$cols` numbers. Where they are few, their number is a constant of the code: loops over a row become
/// straight lines, and the processor works on several rows at once.
macro_rules! for_rows_of {
    ($cols:ident => $body:expr) => {
        match $cols {
            4 => {
                let $cols = 4;
                $body
            }
            8 => {
                let $cols = 8;
                $body
            }
            12 => {
                let $cols = 12;
                $body
            }
            16 => {
                let $cols = 16;
                $body
            }
            _ => $body,
        }
    };
}
pub(crate) use for_rows_of;

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
    sums.iter().sum::<f32>() + rest
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

impl HostOp<3> for LayerNorm {
    fn forward(&self, [x, gain, bias]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let cols = x.cols.max(1);
        let Self { epsilon, slope } = *self;
        // SAFETY: the loops write every number of every row.
        let data = unsafe {
            new_vec(x.data.len(), |y| {
                vectorized!(for_rows_of!(cols => {
                    let (gain, bias) = (&gain.data[..cols], &bias.data[..cols]);
                    for (x, y) in x.data.chunks_exact(cols).zip(y.chunks_exact_mut(cols)) {
                        let [mean, scale] = row_moments(x, epsilon);
                        for (((y, &x), &g), &b) in y.iter_mut().zip(x).zip(gain).zip(bias) {
                            let z = g * ((x - mean) * scale) + b;
                            y.write(z * leak(z, slope));
                        }
                    }
                }));
            })
        };
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x, gain, bias]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let cols = x.cols.max(1);
        let Self { epsilon, slope } = *self;
        let mut dx = Matrix { data: grad.data.to_vec(), rows: x.rows, cols: x.cols };
        let [mut d_gain, mut d_bias] = [gain, bias].map(|w| Matrix::zeros(w.rows, w.cols));
        let mut unit = vec![0f32; cols];
        vectorized!(for_rows_of!(cols => {
            let (gain, bias, unit) = (&gain.data[..cols], &bias.data[..cols], &mut unit[..cols]);
            let (d_gain, d_bias) = (&mut d_gain.data[..cols], &mut d_bias.data[..cols]);
            for (x, g) in x.data.chunks_exact(cols).zip(dx.data.chunks_exact_mut(cols)) {
                let [mean, scale] = row_moments(x, epsilon);
                for (u, &x) in unit.iter_mut().zip(x) {
                    *u = (x - mean) * scale;
                }
                for (((g, &u), &gain), &b) in g.iter_mut().zip(&*unit).zip(gain).zip(bias) {
                    *g *= leak(gain * u + b, slope);
                }
                for ((d, &g), &u) in d_gain.iter_mut().zip(&*g).zip(&*unit) {
                    *d += g * u;
                }
                for (d, &g) in d_bias.iter_mut().zip(&*g) {
                    *d += g;
                }
                for (g, &gain) in g.iter_mut().zip(gain) {
                    *g *= gain;
                }
                let (level, tilt) =
                    (row_sum(g, g, |g, _| g) / cols as f32, row_sum(g, unit, |g, u| g * u) / cols as f32);
                for (g, &u) in g.iter_mut().zip(&*unit) {
                    *g = scale * (*g - level - u * tilt);
                }
            }
        }));
        [Some(dx), Some(d_gain), Some(d_bias)]
    }

    fn compose(&self, [x, gain, bias]: [Tensor<2>; 3]) -> Tensor<2> {
        let centered = x.clone() - x.mean_dim(1);
        let variance = (centered.clone() * centered.clone()).mean_dim(1);
        let z = centered / (variance + self.epsilon).sqrt() * gain + bias;
        if self.slope == 1.0 { z } else { burn::tensor::activation::leaky_relu(z, f64::from(self.slope)) }
    }
}
