//! Group normalization with SiLU.

use burn::tensor::{Tensor, activation};

use super::ImageGrid;
use crate::arch::vectorized;
use crate::ops::blocks::for_each;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{add_assign, normalized_silu_backward, normalized_silu_into};
use crate::ops::product::new_vec;

/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Rows that are summed in 32 bits before the sum goes into a 64-bit one.
const RUN: usize = 64;
/// Operations that a number of an elementwise loop counts for where threads are shared out.
const COST: usize = 16;

/// `silu(γ (x - μ) / √(σ² + 1e-5) + β)` with mean and (biased) variance over the pixels and the channels of a group of each
/// image (Wu and He 2018): x is (pixels, C), γ and β are (1, C).
///
/// # Panics
/// When C is no multiple of `groups`.
pub fn group_norm_silu(
    x: Tensor<2>,
    gain: Tensor<2>,
    bias: Tensor<2>,
    grid: ImageGrid,
    groups: usize,
) -> Tensor<2> {
    apply(&GroupNormSilu { grid, groups }, [x, gain, bias])
}

/// `silu((γ (x - μ) / √(σ² + 1e-5) + β) (s + 1) + t)` with factors s and shifts t of each image and channel: `[s ‖ t]` is
/// (images, 2 C). All else as [`group_norm_silu`].
///
/// # Panics
/// As [`group_norm_silu`].
pub fn modulated_group_norm_silu(
    x: Tensor<2>,
    gain: Tensor<2>,
    bias: Tensor<2>,
    modulation: Tensor<2>,
    grid: ImageGrid,
    groups: usize,
) -> Tensor<2> {
    apply(&ModulatedGroupNormSilu(GroupNormSilu { grid, groups }), [x, gain, bias, modulation])
}

#[derive(Debug, Clone)]
pub(crate) struct GroupNormSilu {
    pub grid: ImageGrid,
    pub groups: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct ModulatedGroupNormSilu(pub GroupNormSilu);

/// What an image is normalized by: one number for each channel.
struct Columns {
    mean: Vec<f32>,
    /// Inverse deviation.
    scale: Vec<f32>,
    factor: Vec<f32>,
    offset: Vec<f32>,
}

/// Sums of the columns of `f(x, column)`.
#[inline(always)]
fn column_sums(x: &[f32], cols: usize, f: impl Fn(f32, usize) -> f32) -> Vec<f64> {
    let mut sums = vec![0f64; cols];
    let mut run = vec![0f32; cols];
    for rows in x.chunks(RUN * cols) {
        run.fill(0.0);
        for row in rows.chunks_exact(cols) {
            for (c, (sum, &x)) in run.iter_mut().zip(row).enumerate() {
                *sum += f(x, c);
            }
        }
        for (sum, &x) in sums.iter_mut().zip(&run) {
            *sum += f64::from(x);
        }
    }
    sums
}

impl GroupNormSilu {
    /// Inverse deviations and means of the channels of one image, equal within a group.
    fn moments(&self, x: &[f32], cols: usize) -> [Vec<f32>; 2] {
        let width = cols / self.groups;
        let count = (self.grid.pixels() * width) as f64;
        let mean_of = |sums: Vec<f64>| -> Vec<f64> {
            let groups = sums.chunks(width).map(|group| group.iter().sum::<f64>() / count);
            groups.flat_map(|mean| std::iter::repeat_n(mean, width)).collect()
        };
        let mean = mean_of(vectorized!(column_sums(x, cols, |x, _| x)));
        let mean: Vec<f32> = mean.into_iter().map(|x| x as f32).collect();
        let squares = vectorized!(column_sums(x, cols, |x, c| (x - mean[c]) * (x - mean[c])));
        let scale = mean_of(squares).into_iter().map(|v| (1.0 / (v + EPSILON).sqrt()) as f32).collect();
        [mean, scale]
    }

    fn columns(&self, x: &[f32], [gain, bias]: [Mat<'_>; 2], modulation: Option<&[f32]>) -> Columns {
        let cols = gain.data.len();
        assert!(cols.is_multiple_of(self.groups), "{cols} channels in {} groups", self.groups);
        let [mean, scale] = self.moments(x, cols);
        let factor = |c: usize| modulation.map_or(1.0, |m| m[c] + 1.0);
        let shift = |c: usize| modulation.map_or(0.0, |m| m[cols + c]);
        let offset = (0..cols).map(|c| bias.data[c] * factor(c) + shift(c)).collect();
        let factor = (0..cols).map(|c| gain.data[c] * factor(c) * scale[c]).collect();
        Columns { mean, scale, factor, offset }
    }

    fn forward(&self, [x, gain, bias]: [Mat<'_>; 3], modulation: Option<Mat<'_>>) -> Matrix {
        assert_eq!(x.rows, self.grid.rows(), "a row for each pixel");
        let image = (self.grid.pixels() * x.cols).max(1);
        // Rows of an image that are one piece of work.
        let piece = image.div_ceil(4 * x.cols.max(1)) * x.cols.max(1);
        // SAFETY: the loops write every number of every image.
        let data = unsafe {
            new_vec(x.data.len(), |y| {
                let images = x.data.chunks_exact(image).zip(y.chunks_exact_mut(image)).enumerate();
                for (i, (x, y)) in images {
                    let c = self.columns(x, [gain, bias], modulation.map(|m| row(m, i)));
                    let pieces = x.chunks(piece).zip(y.chunks_mut(piece));
                    for_each(x.len() * COST, pieces, |(x, y)| {
                        normalized_silu_into(x, [&c.mean, &c.factor, &c.offset], y);
                    });
                }
            })
        };
        Matrix { data, rows: x.rows, cols: x.cols }
    }

    fn backward(
        &self,
        [x, gain, bias]: [Mat<'_>; 3],
        modulation: Option<Mat<'_>>,
        grad: Mat<'_>,
    ) -> [Matrix; 4] {
        let (cols, width) = (x.cols, x.cols / self.groups);
        let image = (self.grid.pixels() * cols).max(1);
        let count = (self.grid.pixels() * width) as f32;
        let mut dx = Matrix { data: grad.data.to_vec(), rows: x.rows, cols };
        let mut d_gain = Matrix::zeros(gain.rows, gain.cols);
        let mut d_bias = Matrix::zeros(bias.rows, bias.cols);
        let mut d_modulation = Matrix::zeros(self.grid.images, 2 * cols);
        let images = x.data.chunks_exact(image).zip(dx.data.chunks_exact_mut(image)).enumerate();
        for (i, (x, g)) in images {
            let modulation = modulation.map(|m| row(m, i));
            let c = self.columns(x, [gain, bias], modulation);
            let [mut sums, mut tilts] = [vec![0f32; cols], vec![0f32; cols]];
            let [mut run_sums, mut run_tilts] = [vec![0f32; cols], vec![0f32; cols]];
            for (x, g) in x.chunks(RUN * cols).zip(g.chunks_mut(RUN * cols)) {
                run_sums.fill(0.0);
                run_tilts.fill(0.0);
                let columns = [&*c.mean, &*c.factor, &*c.offset];
                normalized_silu_backward(x, columns, g, &mut run_sums, &mut run_tilts);
                add_assign(&mut sums, &run_sums);
                add_assign(&mut tilts, &run_tilts);
            }
            // Of the normalized x: Σ g x̂.
            tilts.iter_mut().zip(&c.scale).for_each(|(t, s)| *t *= s);
            let factor = |k: usize| modulation.map_or(1.0, |m| m[k] + 1.0);
            for k in 0..cols {
                d_gain.data[k] += tilts[k] * factor(k);
                d_bias.data[k] += sums[k] * factor(k);
                d_modulation.data[2 * cols * i + k] = tilts[k] * gain.data[k] + sums[k] * bias.data[k];
                d_modulation.data[2 * cols * i + cols + k] = sums[k];
            }
            // With h = g · γ (s + 1): dx = (h - mean(h) - x̂ mean(h x̂)) / σ, means over the group.
            let weights: Vec<f32> = (0..cols).map(|k| gain.data[k] * factor(k)).collect();
            let mean_of = |sums: &[f32]| -> Vec<f32> {
                let weighted = sums.chunks(width).zip(weights.chunks(width));
                weighted
                    .map(|(s, w)| s.iter().zip(w).map(|(s, w)| s * w).sum::<f32>() / count)
                    .flat_map(|mean| std::iter::repeat_n(mean, width))
                    .collect()
            };
            let (level, tilt) = (mean_of(&sums), mean_of(&tilts));
            let tilt: Vec<f32> = (0..cols).map(|k| tilt[k] * c.scale[k] * c.scale[k]).collect();
            let level: Vec<f32> = (0..cols).map(|k| level[k] * c.scale[k]).collect();
            vectorized!(for (x, g) in x.chunks_exact(cols).zip(g.chunks_exact_mut(cols)) {
                let columns = c.mean.iter().zip(&c.factor).zip(&level).zip(&tilt);
                for ((g, &x), (((&m, &f), &level), &tilt)) in g.iter_mut().zip(x).zip(columns) {
                    *g = *g * f - level - (x - m) * tilt;
                }
            });
        }
        [dx, d_gain, d_bias, d_modulation]
    }

    fn compose(&self, [x, gain, bias]: [Tensor<2>; 3], modulation: Option<Tensor<2>>) -> Tensor<2> {
        let ([rows, cols], ImageGrid { images, .. }) = (x.dims(), self.grid);
        let pixels = self.grid.pixels();
        let grouped = x.reshape([images, pixels, self.groups, cols / self.groups]);
        let centered = grouped.clone() - grouped.mean_dim(3).mean_dim(1);
        let variance = (centered.clone() * centered.clone()).mean_dim(3).mean_dim(1);
        let normalized: Tensor<2> = (centered / (variance + EPSILON).sqrt()).reshape([rows, cols]);
        let y = normalized * gain + bias;
        let y = match modulation {
            None => y,
            Some(m) => {
                let part = |start| m.clone().narrow(1, start, cols).reshape([images, 1, cols]);
                let (factor, shift): (Tensor<3>, Tensor<3>) = (part(0), part(cols));
                (y.reshape([images, pixels, cols]) * (factor + 1.0) + shift).reshape([rows, cols])
            }
        };
        activation::silu(y)
    }
}

fn row(m: Mat<'_>, i: usize) -> &[f32] {
    &m.data[i * m.cols..][..m.cols]
}

impl HostOp<3> for GroupNormSilu {
    fn forward(&self, inputs: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        (self.forward(inputs, None), Vec::new())
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let [dx, d_gain, d_bias, _] = self.backward(inputs, None, grad);
        [Some(dx), Some(d_gain), Some(d_bias)]
    }

    fn compose(&self, inputs: [Tensor<2>; 3]) -> Tensor<2> {
        self.compose(inputs, None)
    }
}

impl HostOp<4> for ModulatedGroupNormSilu {
    fn forward(&self, [x, gain, bias, m]: [Mat<'_>; 4], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        assert_eq!([m.rows, m.cols], [self.0.grid.images, 2 * x.cols], "factors and shifts of each image");
        (self.0.forward([x, gain, bias], Some(m)), Vec::new())
    }

    fn backward(
        &self,
        [x, gain, bias, m]: [Mat<'_>; 4],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 4],
    ) -> [Option<Matrix>; 4] {
        self.0.backward([x, gain, bias], Some(m), grad).map(Some)
    }

    fn compose(&self, [x, gain, bias, m]: [Tensor<2>; 4]) -> Tensor<2> {
        self.0.compose([x, gain, bias], Some(m))
    }
}
