//! The cell half-way between two cells, in which distances are measured.

use druse_crystal::reduction::lll;
use nalgebra::Matrix3;

use super::mappings::{dot, reciprocal_lengths};

/// Cell of the averaged parameters with what distances in it need.
pub(super) struct AverageCell {
    /// Largest difference of two fractional coordinates of sites that may be one.
    pub(super) tolerance: [f64; 3],
    /// The same along the vectors of the reduced cell.
    pub(super) reduced_tolerance: [f64; 3],
    /// From fractional coordinates to those of the reduced cell; `None` when the cell is reduced as it is.
    pub(super) to_reduced: Option<[[f64; 3]; 3]>,
    /// Rows of the reduced cell (Å).
    rows: [[f64; 3]; 3],
    /// One of each pair ±t of the 26 combinations t of them with coefficients −1, 0, 1; coordinate by coordinate.
    images: [[f64; IMAGES]; 3],
    /// Their squares.
    squares: [f64; IMAGES],
    /// No image of a difference vector with a smaller square is shorter than itself.
    safe: f64,
    /// Inverse length (V/N)^(-1/3) that distances are multiplied by.
    pub(super) normalization: f64,
}

/// Half of the 26 neighbor images, padded to a multiple of the vector width.
const IMAGES: usize = 16;

/// Nearest integer, as a sum that compiles to two instructions; ties go to even, exact below 2^51.
#[inline(always)]
pub(super) fn round(x: f64) -> f64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    (x + SHIFT) - SHIFT
}

impl AverageCell {
    /// The cell between `p` and `q` (lengths in Å, angles in degrees) for `n` sites; `None` when the averaged angles
    /// enclose no cell.
    pub(super) fn new(p: &[f64; 6], q: &[f64; 6], n: usize, stol: f64) -> Option<Self> {
        let mean: [f64; 6] = std::array::from_fn(|i| (p[i] + q[i]) / 2.0);
        let [a, b, c, ..] = mean;
        let [alpha, beta, gamma] = [3, 4, 5].map(|i| mean[i].to_radians());
        let (cos_al, cos_be, (sin_ga, cos_ga)) = (alpha.cos(), beta.cos(), gamma.sin_cos());
        let y = (cos_al - cos_be * cos_ga) / sin_ga;
        let rest = 1.0 - cos_be * cos_be - y * y;
        let rows =
            [[a, 0.0, 0.0], [b * cos_ga, b * sin_ga, 0.0], [c * cos_be, c * y, c * rest.max(0.0).sqrt()]];
        let volume = rows[0][0] * rows[1][1] * rows[2][2];
        if !(volume > 1e-12 * a * b * c && volume.is_finite()) {
            return None;
        }
        let free_length = (volume / n as f64).cbrt();
        let tolerance = |rows: &[[f64; 3]; 3]| reciprocal_lengths(rows).map(|r| 2.0 * r * stol * free_length);
        let in_cell = tolerance(&rows);
        let (rows, to_reduced, reduced_tolerance) = if is_reduced(&rows) {
            (rows, None, in_cell)
        } else {
            let (short, transform) = lll(&Matrix3::from_fn(|i, j| rows[i][j]));
            let rows = std::array::from_fn(|i| std::array::from_fn(|j| short[(i, j)]));
            let mut basis = [[0; 3]; 3];
            for (to, from) in basis.iter_mut().flatten().zip(transform.iter().flatten()) {
                *to = i32::try_from(*from).ok()?;
            }
            (rows, Some(super::mappings::inverse(&basis)), tolerance(&rows))
        };
        // The padding is never the nearest.
        let (mut images, mut squares) = ([[0.0; IMAGES]; 3], [f64::INFINITY; IMAGES]);
        let steps = (-1..2).flat_map(|i| (-1..2).flat_map(move |j| (-1..2).map(move |k| [i, j, k])));
        for (slot, n) in steps.filter(|n| *n > [0, 0, 0]).enumerate() {
            let n = n.map(f64::from);
            let t = times(n, &rows);
            squares[slot] = dot(t, t);
            (0..3).for_each(|k| images[k][slot] = t[k]);
        }
        // |d + t| >= |t| - |d| >= |d| when |d| is at most half the shortest translation.
        let shortest = squares.into_iter().fold(f64::INFINITY, f64::min);
        Some(Self {
            tolerance: in_cell,
            reduced_tolerance,
            to_reduced,
            rows,
            images,
            squares,
            safe: shortest / 4.0,
            normalization: 1.0 / free_length,
        })
    }

    /// Cartesian vector (Å) of a fractional difference in the reduced cell, and its square.
    #[inline(always)]
    fn cartesian(&self, d: [f64; 3]) -> ([f64; 3], f64) {
        let v = times(d, &self.rows);
        (v, dot(v, v))
    }

    /// By how much the square of `v` shrinks at each of the images ±t: 2 |v·t| − t².
    #[inline(always)]
    fn gains(&self, v: [f64; 3]) -> [f64; IMAGES] {
        let [x, y, z] = &self.images;
        std::array::from_fn(|i| 2.0 * (v[0] * x[i] + v[1] * y[i] + v[2] * z[i]).abs() - self.squares[i])
    }

    /// Square of the shortest vector (Å²) with the given fractional difference in the reduced cell (components
    /// within ±1/2).
    #[inline]
    pub(super) fn shortest_square(&self, d: [f64; 3]) -> f64 {
        let (v, square) = self.cartesian(d);
        if square <= self.safe {
            return square;
        }
        let gains = self.gains(v);
        let mut lanes = [0.0f64; 4];
        for chunk in gains.chunks_exact(4) {
            for (lane, g) in lanes.iter_mut().zip(chunk) {
                *lane = if *g > *lane { *g } else { *lane };
            }
        }
        square - lanes.into_iter().fold(0.0, f64::max)
    }

    /// The shortest vector (Å) itself.
    pub(super) fn shortest(&self, d: [f64; 3]) -> [f64; 3] {
        let (v, square) = self.cartesian(d);
        if square <= self.safe {
            return v;
        }
        let mut best = (0.0, None);
        for (i, gain) in self.gains(v).into_iter().enumerate() {
            if gain > best.0 {
                best = (gain, Some(i));
            }
        }
        let Some(i) = best.1 else { return v };
        let t = [self.images[0][i], self.images[1][i], self.images[2][i]];
        let sign = if dot(v, t) > 0.0 { -1.0 } else { 1.0 };
        std::array::from_fn(|k| v[k] + sign * t[k])
    }
}

/// Row vector times matrix.
#[inline(always)]
pub(super) fn times(f: [f64; 3], m: &[[f64; 3]; 3]) -> [f64; 3] {
    std::array::from_fn(|c| f[0] * m[0][c] + f[1] * m[1][c] + f[2] * m[2][c])
}

/// Whether the LLL reduction (δ = 3/4) would leave the basis as it is.
fn is_reduced(rows: &[[f64; 3]; 3]) -> bool {
    let [a, b, c] = *rows;
    let aa = dot(a, a);
    let u = dot(b, a) / aa;
    let b_rest: [f64; 3] = std::array::from_fn(|k| b[k] - u * a[k]);
    let bb = dot(b_rest, b_rest);
    let v = dot(c, b_rest) / bb;
    let w = dot(c, a) / aa;
    let c_rest: [f64; 3] = std::array::from_fn(|k| c[k] - v * b_rest[k] - w * a[k]);
    let cc = dot(c_rest, c_rest);
    u.abs() <= 0.5
        && v.abs() <= 0.5
        && w.abs() <= 0.5
        && bb >= (0.75 - u * u) * aa
        && cc >= (0.75 - v * v) * bb
}
