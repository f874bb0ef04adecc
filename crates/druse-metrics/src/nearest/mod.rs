//! Nearest neighbors and mean distances among feature vectors, exact.
//!
//! Small sets are compared by brute force: squared distances of whole blocks come from matrix products,
//! `|x|² + |y|² − 2 x·y`. That form loses digits to cancellation, so it only selects: whatever could be the minimum within
//! its error is computed again by differences. Large sets are looked up in a tree, with the same result in every bit.

mod tree;

use nalgebra::{DMatrix, DMatrixView};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::features::{FeatureError, Features};

/// Vectors of one set that meet all of the other in one piece of work; fixed, so that results do not depend on
/// threads.
const BLOCK: usize = 256;
/// Vectors of the other set per matrix product.
const TILE: usize = 512;
/// Bound on the relative error of a squared distance from a matrix product, with ample room.
const ERROR: f64 = 1e-12;
/// Pairs of vectors from which on a tree pays.
const MANY: usize = 1 << 26;

/// The nearest vector of another set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Nearest {
    /// Its index in that set; the lowest of several.
    pub index: usize,
    /// Euclidean distance.
    pub distance: f64,
}

/// For each vector of `a` the nearest of `b`, and for each of `b` the nearest of `a`.
///
/// # Errors
/// [`FeatureError`] when a set has no vector, the sets have vectors of different length, or squares overflow.
pub fn nearest_both_ways(a: &Features, b: &Features) -> Result<(Vec<Nearest>, Vec<Nearest>), FeatureError> {
    a.check_len(1)?;
    b.check_len(1)?;
    a.check_same_dim(b)?;
    for features in [a, b] {
        // Four times the square of a norm bounds whatever is computed below.
        if squared_norms(features).iter().any(|x| !(4.0 * x).is_finite()) {
            return Err(FeatureError::TooLarge);
        }
    }
    // Equal vectors (all of Carbon-24 has one composition) would all tie and all be computed again.
    let ((a, which_a), (b, which_b)) = (a.distinct(), b.distinct());
    let (for_a, for_b) = match a.len().saturating_mul(b.len()) >= MANY {
        true => tree::nearest_of_distinct(&a, &b),
        false => nearest_of_distinct(&a, &b),
    };
    let first = |which: &[usize]| {
        let mut first = vec![0; which.len()];
        for (i, &k) in which.iter().enumerate().rev() {
            first[k] = i;
        }
        first
    };
    let spread = |which: &[usize], found: &[Best], first: &[usize]| {
        which
            .iter()
            .map(|&k| Nearest { index: first[found[k].index], distance: found[k].squared.sqrt() })
            .collect()
    };
    Ok((spread(&which_a, &for_a, &first(&which_b)), spread(&which_b, &for_b, &first(&which_a))))
}

/// The nearest vector so far.
#[derive(Debug, Clone, Copy)]
struct Best {
    squared: f64,
    index: usize,
}

impl Best {
    const NONE: Self = Self { squared: f64::INFINITY, index: 0 };

    /// Takes a vector that is nearer, or as near and earlier.
    fn offer(&mut self, squared: f64, index: usize) {
        if squared < self.squared || squared == self.squared && index < self.index {
            *self = Self { squared, index };
        }
    }
}

fn nearest_of_distinct(a: &Features, b: &Features) -> (Vec<Best>, Vec<Best>) {
    let (norms_a, norms_b) = (squared_norms(a), squared_norms(b));
    let largest_b = norms_b.iter().fold(0.0, |m: f64, &x| m.max(x));
    let blocks: Vec<(Vec<Best>, Vec<Best>)> = (0..a.len().div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let rows = block * BLOCK..((block + 1) * BLOCK).min(a.len());
            let mut for_a = vec![Best::NONE; rows.len()];
            let mut for_b = vec![Best::NONE; b.len()];
            let slack = ERROR * (largest_b + norms_a[rows.clone()].iter().fold(0.0, |m: f64, &x| m.max(x)))
                + f64::MIN_POSITIVE;
            products(a, b, rows.clone(), 0, |i, first_j, dots| {
                let best_a = &mut for_a[i - rows.start];
                for (offset, &dot) in dots.iter().enumerate() {
                    let j = first_j + offset;
                    let low = norms_a[i] + norms_b[j] - 2.0 * dot - slack;
                    if low < best_a.squared || low < for_b[j].squared {
                        let exact = squared_distance(a.row(i), b.row(j));
                        best_a.offer(exact, j);
                        for_b[j].offer(exact, i);
                    }
                }
            });
            (for_a, for_b)
        })
        .collect();
    let mut for_a = Vec::with_capacity(a.len());
    let mut for_b = vec![Best::NONE; b.len()];
    for (part_a, part_b) in blocks {
        for_a.extend(part_a);
        for (best, part) in for_b.iter_mut().zip(part_b) {
            best.offer(part.squared, part.index);
        }
    }
    (for_a, for_b)
}

/// Mean Euclidean distance of all pairs; `None` for fewer than two vectors, or when squares overflow.
pub fn mean_pairwise_distance(features: &Features) -> Option<f64> {
    let n = features.len();
    if n < 2 {
        return None;
    }
    let (distinct, which) = features.distinct();
    let mut times = vec![0.0f64; distinct.len()];
    which.iter().for_each(|&k| times[k] += 1.0);
    let norms = squared_norms(&distinct);
    if norms.iter().any(|x| !(4.0 * x).is_finite()) {
        return None;
    }
    let parts: Vec<f64> = (0..distinct.len().div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let rows = block * BLOCK..((block + 1) * BLOCK).min(distinct.len());
            let mut sum = 0.0;
            products(&distinct, &distinct, rows.clone(), rows.start, |i, first_j, dots| {
                for (offset, &dot) in dots.iter().enumerate() {
                    let j = first_j + offset;
                    if j <= i {
                        continue;
                    }
                    let scale = norms[i] + norms[j];
                    let approximate = scale - 2.0 * dot;
                    // Where cancellation leaves fewer than six digits the differences are summed instead.
                    let squared = if approximate > 1e6 * ERROR * scale {
                        approximate
                    } else {
                        squared_distance(distinct.row(i), distinct.row(j))
                    };
                    sum += times[i] * times[j] * squared.sqrt();
                }
            });
            sum
        })
        .collect();
    Some(parts.iter().sum::<f64>() * 2.0 / (n as f64 * (n - 1) as f64))
}

/// Calls `take(i, j, [a_i·b_j, a_i·b_(j+1) …])` for every `i` in `rows` and every tile of `b` from vector `from` on.
fn products(
    a: &Features,
    b: &Features,
    rows: std::ops::Range<usize>,
    from: usize,
    mut take: impl FnMut(usize, usize, &[f64]),
) {
    let dim = a.dim();
    // Features are stored vector by vector: the columns of a matrix.
    let block = DMatrixView::from_slice(&a.as_slice()[rows.start * dim..rows.end * dim], dim, rows.len());
    let mut j = from;
    while j < b.len() {
        let end = (j + TILE).min(b.len());
        let tile = DMatrixView::from_slice(&b.as_slice()[j * dim..end * dim], dim, end - j);
        // Column i of tileᵀ · block holds the products of a_i with the tile.
        let mut dots = DMatrix::zeros(end - j, rows.len());
        dots.gemm(1.0, &tile.transpose(), &block, 0.0);
        for (i, column) in rows.clone().zip(dots.as_slice().chunks_exact(end - j)) {
            take(i, j, column);
        }
        j = end;
    }
}

fn squared_norms(features: &Features) -> Vec<f64> {
    features.rows().map(|r| r.iter().map(|x| x * x).sum()).collect()
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    // Four sums side by side, in a fixed order.
    let mut sums = [0.0; 4];
    let (head_a, head_b) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 = head_a.remainder().iter().zip(head_b.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in head_a.zip(head_b) {
        for k in 0..4 {
            sums[k] += (x[k] - y[k]) * (x[k] - y[k]);
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn brute(a: &Features, b: &Features) -> Vec<Nearest> {
        a.rows()
            .map(|x| {
                let mut best = Best::NONE;
                b.rows().enumerate().for_each(|(j, y)| best.offer(squared_distance(x, y), j));
                Nearest { index: best.index, distance: best.squared.sqrt() }
            })
            .collect()
    }

    /// Vectors far from the origin, with near and exact duplicates: what cancellation is worst for.
    fn random(n: usize, dim: usize, seed: u64) -> Features {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for i in 0..n {
            let fresh = (0..dim).map(|_| 30.0 + rng.random_range(-1.0..1.0)).collect();
            rows.push(match rng.random_range(0..4) {
                0 if i > 0 => rows[rng.random_range(0..i)].clone(),
                1 if i > 0 => {
                    rows[rng.random_range(0..i)].iter().map(|x| x + rng.random_range(-1e-9..1e-9)).collect()
                }
                _ => fresh,
            });
        }
        Features::from_rows(rows).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn equals_the_plain_search(n in 1usize..700, m in 1usize..700, dim in 1usize..9, seed in 0u64..1000) {
            // A shared seed makes half of the vectors of one set occur in the other.
            let (a, b) = (random(n, dim, seed), random(m, dim, seed ^ (n as u64 & 1)));
            let (for_a, for_b) = nearest_both_ways(&a, &b).unwrap();
            prop_assert_eq!(for_a, brute(&a, &b));
            prop_assert_eq!(for_b, brute(&b, &a));
        }

        #[test]
        fn the_tree_equals_the_plain_search(
            n in 1usize..700, m in 1usize..700, dim in 1usize..40, seed in 0u64..1000,
        ) {
            let (a, b) = (random(n, dim, seed), random(m, dim, seed ^ (n as u64 & 1)));
            let found = |best: Vec<Best>| -> Vec<Nearest> {
                best.iter().map(|b| Nearest { index: b.index, distance: b.squared.sqrt() }).collect()
            };
            let (for_a, for_b) = tree::nearest_of_distinct(&a, &b);
            prop_assert_eq!(found(for_a), brute(&a, &b));
            prop_assert_eq!(found(for_b), brute(&b, &a));
        }

        #[test]
        fn mean_distance_equals_the_plain_sum(n in 2usize..400, dim in 1usize..9, seed in 0u64..1000) {
            let a = random(n, dim, seed);
            let mut sum = 0.0;
            for i in 0..n {
                for j in 0..i {
                    sum += squared_distance(a.row(i), a.row(j)).sqrt();
                }
            }
            let want = sum / (n * (n - 1) / 2) as f64;
            prop_assert!((mean_pairwise_distance(&a).unwrap() - want).abs() < 1e-9 * want.max(1e-9));
        }
    }

    #[test]
    fn result_does_not_depend_on_threads() {
        let (a, b) = (random(900, 5, 3), random(700, 5, 4));
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (nearest_both_ways(&a, &b).unwrap(), mean_pairwise_distance(&a)))
        };
        assert_eq!(with(1), with(3));
        assert_eq!(mean_pairwise_distance(&a.select(&[0])), None);
        let large = Features::from_rows([[1e200], [0.0]]).unwrap();
        assert_eq!(nearest_both_ways(&large, &large), Err(FeatureError::TooLarge));
        assert_eq!(mean_pairwise_distance(&large), None);
    }
}
