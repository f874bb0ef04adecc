//! The shortest of all vectors between two points of a lattice, with work that no shape of the cell can blow up.
//!
//! Enumeration by planes (U. Fincke, M. Pohst, Math. Comput. 44, 463 (1985)) in an LLL-reduced basis. With the
//! orthogonalised vectors b*₀, b*₁, b*₂ of such a basis, δ = 3/4 gives |b*ⱼ|² ≤ 2 |b*ⱼ₊₁|². Going to the nearest plane,
//! line and point in turn leaves at most |b*ⱼ|²/4 along each; whatever plane or line another candidate is on, no more
//! than the rest of that sum remains for it, at most 7 |b*ⱼ|²/4 at step j. So there are at most three choices in each
//! step, however flat, long or skewed the cell.

use nalgebra::Matrix3;

use super::{IntMatrix, inverse_unimodular, lll};

/// Choices in one step to either side of the nearest: the reduction leaves one, the other is for lost digits.
const SIDE: i64 = 2;

/// A lattice made ready to look for shortest vectors.
pub(crate) struct ClosestImage {
    /// Reduced lattice vectors (Å).
    rows: [[f64; 3]; 3],
    /// `overlap[i][j]`, j < i: reduced vector i along b*ⱼ in units of |b*ⱼ|.
    overlap: [[f64; 3]; 3],
    /// |b*ⱼ|² (Å²).
    norm: [f64; 3],
    /// Reduced vectors in terms of the given ones, and the other way round.
    transform: IntMatrix,
    inverse: IntMatrix,
}

impl ClosestImage {
    /// For the lattice that the rows of a matrix (Å) span.
    pub(crate) fn new(matrix: &Matrix3<f64>) -> Self {
        let (_, transform) = lll(matrix);
        // From the given vectors, so that no rounding accumulates.
        let reduced = Matrix3::from_fn(|i, j| transform[i][j] as f64) * matrix;
        let rows: [[f64; 3]; 3] = std::array::from_fn(|i| std::array::from_fn(|j| reduced[(i, j)]));
        let (mut star, mut overlap, mut norm) = (rows, [[0.0; 3]; 3], [0.0; 3]);
        for i in 0..3 {
            for j in 0..i {
                overlap[i][j] = dot(rows[i], star[j]) / norm[j];
                star[i] = std::array::from_fn(|k| star[i][k] - overlap[i][j] * star[j][k]);
            }
            norm[i] = dot(star[i], star[i]);
        }
        Self { rows, overlap, norm, inverse: inverse_unimodular(&transform), transform }
    }

    /// The shortest vector (Å) of the form `delta + t` with a lattice translation t, and t in the given basis; `delta`
    /// holds fractional coordinates in the given basis. `visit` is called for each vector that is looked at.
    pub(crate) fn find(&self, delta: [f64; 3], mut visit: impl FnMut()) -> ([f64; 3], [i64; 3]) {
        let in_reduced: [f64; 3] =
            std::array::from_fn(|c| (0..3).map(|r| delta[r] * self.inverse[r][c] as f64).sum());
        let whole = in_reduced.map(f64::round);
        let x: [f64; 3] = std::array::from_fn(|i| in_reduced[i] - whole[i]);
        let mut best = (f64::INFINITY, [0i64; 3]);
        // Components along b*₂, b*₁, b*₀; each is fixed by the coefficients chosen so far.
        for t2 in around(x[2]) {
            let u2 = x[2] + t2 as f64;
            let d2 = u2 * u2 * self.norm[2];
            if d2 > best.0 {
                continue;
            }
            let at1 = x[1] + u2 * self.overlap[2][1];
            for t1 in around(at1) {
                let u1 = at1 + t1 as f64;
                let d1 = d2 + u1 * u1 * self.norm[1];
                if d1 > best.0 {
                    continue;
                }
                let at0 = x[0] + u2 * self.overlap[2][0] + (x[1] + t1 as f64) * self.overlap[1][0];
                for t0 in around(at0) {
                    let u0 = at0 + t0 as f64;
                    let d0 = d1 + u0 * u0 * self.norm[0];
                    if d0 > best.0 {
                        continue;
                    }
                    visit();
                    if d0 < best.0 {
                        best = (d0, [t0, t1, t2]);
                    }
                }
            }
        }
        let f: [f64; 3] = std::array::from_fn(|i| x[i] + best.1[i] as f64);
        let vector = std::array::from_fn(|k| (0..3).map(|i| f[i] * self.rows[i][k]).sum());
        let shift: [i64; 3] = std::array::from_fn(|i| best.1[i].saturating_sub(whole[i] as i64));
        let image = std::array::from_fn(|c| {
            (0..3).fold(0i64, |sum, r| sum.saturating_add(shift[r].saturating_mul(self.transform[r][c])))
        });
        (vector, image)
    }
}

/// Integers t for which `at + t` is small, nearest first.
fn around(at: f64) -> impl Iterator<Item = i64> {
    let nearest = (-at).round();
    let first = if -at < nearest { -1 } else { 1 };
    let steps = (1..=SIDE).flat_map(move |k| [first * k, -first * k]);
    std::iter::once(0).chain(steps).map(move |k| (nearest as i64).saturating_add(k))
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lattice;
    use proptest::prelude::*;

    fn length(v: [f64; 3]) -> f64 {
        dot(v, v).sqrt()
    }

    proptest! {
        #[test]
        fn the_shortest_vector_agrees_with_an_exhaustive_search(
            edges in prop::array::uniform3(-1.0..1.5f64),
            shear in prop::array::uniform3(-3i32..4),
            delta in prop::array::uniform3(-3.0..3.0f64),
        ) {
            let [a, b, c] = edges.map(|e| 10f64.powf(e));
            let short = Lattice::from_rows([[a, 0.0, 0.1 * a], [0.2 * a, b, 0.0], [0.0, 0.3 * b, c]]).unwrap();
            let [s, t, u] = shear.map(f64::from);
            let shear = Matrix3::new(1.0, s, t, 0.0, 1.0, u, 0.0, 0.0, 1.0);
            let lattice = Lattice::from_matrix(shear * short.matrix()).unwrap();
            let (mut visited, closest) = (0, ClosestImage::new(lattice.matrix()));
            let (vector, image) = closest.find(delta, || visited += 1);
            prop_assert!(visited <= 27, "{visited}");
            let end = std::array::from_fn(|i| delta[i] + image[i] as f64);
            prop_assert!(length(std::array::from_fn(|k| lattice.to_cartesian(end)[k] - vector[k])) < 1e-8);
            let shortest = exhaustive(&short, short.to_fractional(lattice.to_cartesian(delta)));
            prop_assert!((length(vector) - shortest).abs() < 1e-8, "{} against {shortest}", length(vector));
        }
    }

    /// Length of the shortest vector: every one within the length that wrapping leaves is looked at.
    fn exhaustive(lattice: &Lattice, delta: [f64; 3]) -> f64 {
        let wrapped = delta.map(|d| d - d.round());
        let start = length(lattice.to_cartesian(wrapped));
        let [i, j, k] = lattice.face_distances().map(|face| (start / face + 1.0).ceil() as i32);
        let mut shortest = start;
        for x in -i..=i {
            for y in -j..=j {
                for z in -k..=k {
                    let t = [x, y, z].map(f64::from);
                    let f = std::array::from_fn(|c| wrapped[c] + t[c]);
                    shortest = shortest.min(length(lattice.to_cartesian(f)));
                }
            }
        }
        shortest
    }

    #[test]
    fn extreme_cells_take_no_more_work_than_others() {
        let cells = [
            [[1000.0, 0.0, 0.0], [0.0, 0.01, 0.0], [0.0, 0.0, 0.01]],
            [[100.0, 0.0, 0.0], [0.0, 100.0, 0.0], [0.0, 0.0, 1e-4]],
            [[40.0, 0.0, 0.0], [39.9, 0.3, 0.0], [39.8, 0.4, 0.3]],
            [[1.0, 0.0, 0.0], [1e4, 1.0, 0.0], [-3e4, 70.0, 1.0]],
        ];
        for rows in cells {
            let lattice = Lattice::from_rows(rows).unwrap();
            let closest = ClosestImage::new(lattice.matrix());
            for k in 0..200 {
                let delta = [0.618, 0.414, 0.732].map(|x| x * f64::from(k));
                let mut visited = 0;
                let (vector, _) = closest.find(delta, || visited += 1);
                assert!(visited <= 27, "{visited} in {rows:?}");
                let reach = 0.5 * closest.rows.iter().map(|&r| length(r)).sum::<f64>();
                assert!(length(vector) <= reach);
            }
        }
    }
}
