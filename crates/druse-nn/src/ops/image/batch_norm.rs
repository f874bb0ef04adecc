//! Batch normalization with the activation behind it, in one pass over memory.

use burn::tensor::{Tensor, activation};

use crate::arch::vectorized;
use crate::ops::dense::leak;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::product::new_vec;

/// Mean and biased variance of every column over the rows: (rows, C) → (2, C). Sums are in double precision.
pub fn column_moments(x: Tensor<2>) -> Tensor<2> {
    apply(&ColumnMoments, [x])
}

/// `φ(γ (x - μ) / √(σ² + ε) + β)` with the moments μ and σ² of [`column_moments`] of x and the leaky ReLU φ, which multiplies
/// what is negative by `slope`: x is (rows, C), the others are (1, C) and (2, C). The gradient takes into account that the
/// moments are those of x; with `constant` moments (running ones) it does not.
pub fn batch_norm_leaky(
    x: Tensor<2>,
    moments: Tensor<2>,
    gain: Tensor<2>,
    bias: Tensor<2>,
    [epsilon, slope]: [f32; 2],
    constant: bool,
) -> Tensor<2> {
    apply(&BatchNorm { epsilon, slope, constant }, [x, moments.detach(), gain, bias])
}

#[derive(Debug, Clone)]
pub(crate) struct ColumnMoments;

/// Rows of so many columns that are worked off as one: few columns leave most lanes of a vector empty.
fn side_by_side(cols: usize) -> usize {
    if cols < 64 { 16 } else { 1 }
}

/// Sums of the columns, from sums of `wide` columns that are so many rows side by side.
fn together(wide: &[f64], cols: usize) -> Vec<f64> {
    let mut sums = vec![0f64; cols];
    for row in wide.chunks_exact(cols.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    sums
}

/// Mean and biased variance of every column.
fn moments(x: Mat<'_>) -> Matrix {
    let cols = x.cols.max(1);
    let times = side_by_side(cols);
    let n = x.rows.max(1) as f64;
    let mut sums = vec![0f64; times * cols];
    vectorized!(for x in x.data.chunks(times * cols) {
        for (sum, &x) in sums.iter_mut().zip(x) {
            *sum += f64::from(x);
        }
    });
    let mean: Vec<f64> = together(&sums, x.cols).iter().map(|sum| sum / n).collect();
    sums.fill(0.0);
    let means = mean.repeat(times);
    vectorized!(for x in x.data.chunks(times * cols) {
        for ((sum, &m), &x) in sums.iter_mut().zip(&means).zip(x) {
            let d = f64::from(x) - m;
            *sum += d * d;
        }
    });
    let variance = together(&sums, x.cols);
    let data = mean.iter().copied().chain(variance.iter().map(|s| s / n)).map(|x| x as f32).collect();
    Matrix { data, rows: 2, cols: x.cols }
}

impl HostOp<1> for ColumnMoments {
    fn forward(&self, [x]: [Mat<'_>; 1], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        (moments(x), Vec::new())
    }

    fn backward(
        &self,
        [x]: [Mat<'_>; 1],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 1],
    ) -> [Option<Matrix>; 1] {
        let found = moments(x);
        let (mean, n) = (&found.data[..x.cols], x.rows.max(1) as f32);
        let (by_mean, by_variance) = grad.data.split_at(x.cols);
        let rows = x.data.chunks_exact(x.cols.max(1));
        let data = rows.flat_map(|x| {
            let columns = x.iter().zip(mean).zip(by_mean.iter().zip(by_variance));
            columns.map(move |((x, m), (a, b))| (a + 2.0 * b * (x - m)) / n)
        });
        [Some(Matrix { data: data.collect(), rows: x.rows, cols: x.cols })]
    }

    fn compose(&self, [x]: [Tensor<2>; 1]) -> Tensor<2> {
        let mean = x.clone().mean_dim(0);
        let centered = x - mean.clone();
        Tensor::cat(vec![mean, (centered.clone() * centered).mean_dim(0)], 0)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    pub epsilon: f32,
    pub slope: f32,
    pub constant: bool,
}

impl BatchNorm {
    /// Mean and inverse deviation of every column.
    fn scales(&self, moments: Mat<'_>) -> (Vec<f32>, Vec<f32>) {
        let (mean, variance) = moments.data.split_at(moments.cols);
        (mean.to_vec(), variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect())
    }
}

impl HostOp<4> for BatchNorm {
    fn forward(&self, [x, moments, gain, bias]: [Mat<'_>; 4], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (cols, slope) = (x.cols.max(1), self.slope);
        let (mean, scale) = self.scales(moments);
        let times = side_by_side(cols);
        let [mean, scale, gain, bias] = [&*mean, &*scale, gain.data, bias.data].map(|c| c.repeat(times));
        // SAFETY: the loops write every number of every row.
        let data = unsafe {
            new_vec(x.data.len(), |y| {
                vectorized!(for (x, y) in x.data.chunks(times * cols).zip(y.chunks_mut(times * cols)) {
                    let columns = y.iter_mut().zip(x).zip(mean.iter().zip(&scale));
                    for (((y, &x), (&m, &s)), (&g, &b)) in columns.zip(gain.iter().zip(&bias)) {
                        let z = g * ((x - m) * s) + b;
                        y.write(z * leak(z, slope));
                    }
                });
            })
        };
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x, moments, gain, bias]: [Mat<'_>; 4],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 4],
    ) -> [Option<Matrix>; 4] {
        let (cols, slope) = (x.cols.max(1), self.slope);
        let (mean, scale) = self.scales(moments);
        let times = side_by_side(cols);
        let [mean, scale, gain, bias] = [&*mean, &*scale, gain.data, bias.data].map(|c| c.repeat(times));
        // Sums over rows in double precision: there are millions of them.
        let (mut d_gain, mut d_bias) = (vec![0f64; times * cols], vec![0f64; times * cols]);
        let mut dx = grad.data.to_vec();
        vectorized!(for (x, g) in x.data.chunks(times * cols).zip(dx.chunks_mut(times * cols)) {
            let columns = mean.iter().zip(&scale).zip(gain.iter().zip(&bias));
            let sums = d_gain.iter_mut().zip(&mut d_bias);
            for (((g, &x), ((&mean, &scale), (&gain, &bias))), (d_gain, d_bias)) in
                g.iter_mut().zip(x).zip(columns).zip(sums)
            {
                let u = (x - mean) * scale;
                *g *= leak(gain * u + bias, slope);
                *d_gain += f64::from(*g * u);
                *d_bias += f64::from(*g);
            }
        });
        let [d_gain, d_bias] = [d_gain, d_bias].map(|d| together(&d, x.cols));
        if wanted[0] {
            let n = x.rows.max(1) as f64;
            let mean_of = |d: &[f64]| -> Vec<f32> {
                let means = d.iter().map(|d| if self.constant { 0.0 } else { (d / n) as f32 });
                means.collect::<Vec<_>>().repeat(times)
            };
            let (level, tilt) = (mean_of(&d_bias), mean_of(&d_gain));
            vectorized!(for (x, g) in x.data.chunks(times * cols).zip(dx.chunks_mut(times * cols)) {
                let columns = mean.iter().zip(&scale).zip(gain.iter().zip(level.iter().zip(&tilt)));
                for ((g, &x), ((&mean, &scale), (&gain, (&level, &tilt)))) in g.iter_mut().zip(x).zip(columns)
                {
                    let u = (x - mean) * scale;
                    *g = gain * scale * (*g - level - u * tilt);
                }
            });
        }
        let row =
            |d: Vec<f64>| Matrix { data: d.into_iter().map(|d| d as f32).collect(), rows: 1, cols: x.cols };
        let dx = wanted[0].then_some(Matrix { data: dx, rows: x.rows, cols: x.cols });
        [dx, None, wanted[2].then(|| row(d_gain)), wanted[3].then(|| row(d_bias))]
    }

    fn compose(&self, [x, moments, gain, bias]: [Tensor<2>; 4]) -> Tensor<2> {
        let moments = if self.constant { moments } else { ColumnMoments.compose([x.clone()]) };
        let deviation = (moments.clone().narrow(0, 1, 1) + self.epsilon).sqrt();
        let z = (x - moments.narrow(0, 0, 1)) / deviation * gain + bias;
        if self.slope == 1.0 { z } else { activation::leaky_relu(z, f64::from(self.slope)) }
    }
}
