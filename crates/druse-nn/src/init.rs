//! Initialization of tensors.

use nalgebra::DMatrix;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

/// How a fresh tensor is filled. Every tensor has its own random stream, keyed by seed and name, so adding a layer
/// changes no other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// Random semi-orthogonal, standardized over the fan-in, times sqrt(1/fan-in) (GemNet family).
    HeOrthogonal,
    /// Random semi-orthogonal, times sqrt(2 / ((rows + columns) · variance)) (DimeNet family).
    GlorotOrthogonal,
    /// Uniform in ±bound.
    Uniform(f32),
    /// Uniform in ±bound, drawn once for every `times` neighboring rows: they begin equal.
    RepeatedRows {
        /// Largest magnitude.
        bound: f32,
        /// Rows that are equal.
        times: usize,
    },
    /// Standard normal.
    Normal,
    /// Uniform in ±1/sqrt(fan-in): the usual default of a linear layer.
    FanIn(usize),
    /// All zero.
    Zeros,
    /// All the same.
    Constant(f32),
    /// A vector of length 1 in a random direction: the start of a power iteration.
    UnitVector,
    /// π, 2π, 3π, …: frequencies of a Bessel basis.
    Frequencies,
}

impl Init {
    /// Draws the row-major values of a tensor of this shape.
    pub fn sample(self, shape: &[usize], seed: u64, name: &str) -> Vec<f32> {
        let n: usize = shape.iter().product();
        let mut rng = stream(seed, name);
        match self {
            Self::Zeros => vec![0.0; n],
            Self::Constant(value) => vec![value; n],
            Self::UnitVector => {
                let direction: Vec<f64> = (0..n).map(|_| rng.sample(StandardNormal)).collect();
                let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
                direction.into_iter().map(|x| (x / length) as f32).collect()
            }
            Self::Uniform(bound) => (0..n).map(|_| rng.random_range(-bound..=bound)).collect(),
            Self::RepeatedRows { bound, times } => {
                let row = n / shape.first().copied().unwrap_or(1).max(1);
                let drawn: Vec<f32> =
                    (0..n / times.max(1)).map(|_| rng.random_range(-bound..=bound)).collect();
                let rows = drawn.chunks(row.max(1));
                rows.flat_map(|row| std::iter::repeat_n(row, times)).flatten().copied().collect()
            }
            Self::Normal => (0..n).map(|_| rng.sample::<f32, _>(StandardNormal)).collect(),
            Self::FanIn(fan_in) => {
                let bound = 1.0 / (fan_in.max(1) as f32).sqrt();
                (0..n).map(|_| rng.random_range(-bound..=bound)).collect()
            }
            Self::HeOrthogonal => he_orthogonal(shape, &mut rng),
            Self::GlorotOrthogonal => glorot_orthogonal(shape, &mut rng),
            Self::Frequencies => (1..=n).map(|k| (k as f64 * std::f64::consts::PI) as f32).collect(),
        }
    }
}

fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    // FNV-1a of the name selects the stream.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}

/// A random matrix with orthonormal rows or columns, whichever are fewer: QR of a Gaussian matrix with the signs of
/// R's diagonal moved into Q, which makes it uniform.
fn orthogonal(rows: usize, cols: usize, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let (tall, wide) = (rows.max(cols), rows.min(cols));
    let gauss = DMatrix::from_fn(tall, wide, |_, _| rng.sample::<f64, _>(StandardNormal));
    let qr = gauss.qr();
    let (mut q, r) = (qr.q(), qr.r());
    for j in 0..wide {
        if r[(j, j)] < 0.0 {
            q.column_mut(j).neg_mut();
        }
    }
    if rows >= cols { q } else { q.transpose() }
}

/// he-orth: fan-in is `in` for a (out, in) matrix and the product of the first two dimensions for a 3-tensor.
fn he_orthogonal(shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let rest: usize = shape[1..].iter().product();
    let q = orthogonal(shape[0], rest, rng);
    let mut flat: Vec<f64> =
        (0..shape[0]).flat_map(|i| (0..rest).map(move |j| (i, j))).map(|ij| q[ij]).collect();
    // Groups that are standardized together: rows of a matrix, last index of a 3-tensor.
    let (groups, fan_in, stride, step) = if shape.len() == 3 {
        (shape[2], shape[0] * shape[1], 1, shape[2])
    } else {
        (shape[0], rest, rest, 1)
    };
    for g in 0..groups {
        let at = |k: usize| g * stride + k * step;
        let mean = (0..fan_in).map(|k| flat[at(k)]).sum::<f64>() / fan_in as f64;
        let unbiased = (fan_in.max(2) - 1) as f64;
        let var = (0..fan_in).map(|k| (flat[at(k)] - mean).powi(2)).sum::<f64>() / unbiased;
        let scale = (1.0 / fan_in as f64).sqrt() / (var + 1e-6).sqrt();
        for k in 0..fan_in {
            flat[at(k)] = (flat[at(k)] - mean) * scale;
        }
    }
    flat.into_iter().map(|x| x as f32).collect()
}

/// glorot-orth of a matrix (rows, columns).
fn glorot_orthogonal(shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let (rows, cols) = (shape[0], shape[1..].iter().product::<usize>());
    let q = orthogonal(rows, cols, rng);
    let n = (rows * cols) as f64;
    let mean = q.sum() / n;
    let unbiased = (n - 1.0).max(1.0);
    let variance = q.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / unbiased;
    // A single entry has no variance, and none is needed: it is ±1.
    let scale = if variance > 0.0 { (2.0 / ((rows + cols) as f64 * variance)).sqrt() } else { 1.0 };
    (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))).map(|ij| (q[ij] * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glorot_orthogonal_has_its_variance_and_orthogonal_rows() {
        for [rows, cols] in [[128, 128], [64, 128], [128, 64], [8, 42], [1, 5], [1, 1]] {
            let w = Init::GlorotOrthogonal.sample(&[rows, cols], 3, "w");
            assert!(w.iter().all(|x| x.is_finite()));
            if rows * cols < 64 {
                continue;
            }
            let square = w.iter().map(|x| x * x).sum::<f32>() / (rows * cols) as f32;
            assert!((square * (rows + cols) as f32 / 2.0 - 1.0).abs() < 0.02, "{rows} {cols}: {square}");
            if rows <= cols {
                let dot: f32 = (0..cols).map(|k| w[k] * w[cols + k]).sum();
                assert!(dot.abs() < 1e-4, "{dot}");
            }
        }
    }

    #[test]
    fn he_orthogonal_rows_are_standardized() {
        for shape in [vec![16, 64], vec![64, 16], vec![128, 384]] {
            let w = Init::HeOrthogonal.sample(&shape, 1, "w");
            for row in w.chunks(shape[1]) {
                let mean: f32 = row.iter().sum::<f32>() / row.len() as f32;
                let square: f32 = row.iter().map(|x| x * x).sum();
                assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 0.08, "{mean} {square}");
            }
        }
        let w = Init::HeOrthogonal.sample(&[8, 4, 6], 1, "w");
        for o in 0..6 {
            let square: f32 = (0..32).map(|k| w[k * 6 + o].powi(2)).sum();
            assert!((square - 1.0).abs() < 0.05, "{square}");
        }
    }

    #[test]
    fn unit_vectors_have_length_one() {
        let u = Init::UnitVector.sample(&[100], 3, "u");
        assert!((u.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
        let rows = Init::RepeatedRows { bound: 1.0, times: 4 }.sample(&[8, 3], 3, "r");
        assert!(rows[..12].chunks(3).all(|row| row == &rows[..3]) && rows[12..15] != rows[..3]);
        assert!(rows[12..].chunks(3).all(|row| row == &rows[12..15]) && rows.len() == 24);
        assert_eq!(Init::Constant(2.5).sample(&[2], 3, "c"), [2.5, 2.5]);
    }

    #[test]
    fn seed_and_name_decide_the_values() {
        let draw = |seed, name| Init::Uniform(1.0).sample(&[50], seed, name);
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }
}
