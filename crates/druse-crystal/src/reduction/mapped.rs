//! The Niggli cell as pymatgen returns it.

use nalgebra::{Matrix3, Vector3};

use super::{NiggliReduction, ReductionError, niggli};
use crate::{Lattice, Structure};

/// Angles of the mapped cell may be off by this much (degrees).
const ANGLE_TOLERANCE: f64 = 1.0;
/// Relative tolerance on lengths, times the cube root of the volume.
const LENGTH_TOLERANCE: f64 = 1e-5;
/// Slack of the sphere that holds the candidate vectors, and of the cubes it is divided into (Å).
const SLACK: f64 = 1e-8;
/// Smallest radius of the neighbor search (Å).
const MIN_RADIUS: f64 = 1.0;
/// Candidate lattice points above which the exact cell is kept: only needles and plates of thousands of Å have more.
const MAX_POINTS: f64 = 2e6;

/// A lattice vector that may become a vector of the mapped cell.
struct Candidate {
    /// Coefficients in the given basis.
    coefficients: [i64; 3],
    cart: Vector3<f64>,
    length: f64,
    /// Cell of the neighbor search it lies in; sets the order of candidates.
    cube: [i64; 3],
}

/// The cell that pymatgen's `get_niggli_reduced_lattice` returns.
///
/// pymatgen runs the iteration of [`niggli`] on the metric tensor alone and then looks for lattice vectors with the
/// lengths and angles it arrived at, allowing **one degree** and taking the first basis in the order of its neighbor
/// search. For roughly one crystal in ten that is another basis than the exact one: angles on both sides of 90°, or
/// a slightly longer vector. The order follows Cartesian coordinates, so the result depends on how the crystal lies
/// in space. Only what has to reproduce the tolerances of pymatgen, such as structure matching, wants this cell.
///
/// # Errors
/// As [`niggli`].
pub fn niggli_as_pymatgen(lattice: &Lattice) -> Result<NiggliReduction, ReductionError> {
    let exact = niggli(lattice)?;
    Ok(first_mapping(lattice, &exact).unwrap_or(exact))
}

/// The first right-handed basis in the order of the neighbor search; `None` when there is none (rounding).
fn first_mapping(given: &Lattice, exact: &NiggliReduction) -> Option<NiggliReduction> {
    let parameters = exact.lattice.parameters();
    let tolerance = LENGTH_TOLERANCE * given.volume().cbrt();
    let mut candidates = candidates(exact, tolerance)?;
    candidates.sort_by(|p, q| p.cube.cmp(&q.cube).then(q.coefficients.cmp(&p.coefficients)));
    let of_length = |i: usize| -> Vec<&Candidate> {
        let near = |c: &&Candidate| {
            let ratio = c.length / parameters[i];
            ratio < 1.0 + tolerance && ratio > 1.0 / (1.0 + tolerance)
        };
        candidates.iter().filter(near).collect()
    };
    let [first, second, third] = [0, 1, 2].map(of_length);
    let angle_fits = |p: &Candidate, q: &Candidate, want: f64| {
        let cos = (p.cart.dot(&q.cart) / p.length / q.length).clamp(-1.0, 1.0);
        (cos.acos().to_degrees() - want).abs() <= ANGLE_TOLERANCE
    };
    for a in first {
        for b in second.iter().filter(|b| angle_fits(a, b, parameters[5])) {
            for c in &third {
                if !angle_fits(a, c, parameters[4]) || !angle_fits(b, c, parameters[3]) {
                    continue;
                }
                let rows = [a.coefficients, b.coefficients, c.coefficients];
                if determinant(&rows) == 1 {
                    return rebased(given, rows);
                }
            }
        }
    }
    None
}

/// All lattice vectors that are not longer than the longest vector of the cell; `None` when there are too many.
fn candidates(exact: &NiggliReduction, tolerance: f64) -> Option<Vec<Candidate>> {
    let longest = exact.lattice.lengths().into_iter().fold(0.0, f64::max);
    let mut radius = longest * (1.0 + tolerance);
    let limit = radius;
    if radius < MIN_RADIUS {
        radius = MIN_RADIUS + SLACK;
    }
    let reach = exact.lattice.face_distances().map(|d| (limit / d + 1e-6).floor());
    if reach.iter().map(|n| 2.0 * n + 1.0).product::<f64>() > MAX_POINTS {
        return None;
    }
    let reach = reach.map(|n| n as i64);
    let mut found = Vec::new();
    for i in -reach[0]..=reach[0] {
        for j in -reach[1]..=reach[1] {
            for k in -reach[2]..=reach[2] {
                let n = [i, j, k];
                let cart = Vector3::from(exact.lattice.to_cartesian(n.map(|x| x as f64)));
                let length = cart.norm();
                if length * length > limit * limit + SLACK || n == [0, 0, 0] {
                    continue;
                }
                let coefficients = std::array::from_fn(|col| {
                    (0..3).map(|row| n[row] * i64::from(exact.transform[row][col])).sum()
                });
                let cube =
                    std::array::from_fn(|d| ((cart[d] + radius + 2.0 * SLACK) / radius).floor() as i64);
                found.push(Candidate { coefficients, cart, length, cube });
            }
        }
    }
    Some(found)
}

fn determinant(m: &[[i64; 3]; 3]) -> i128 {
    let m = m.map(|row| row.map(i128::from));
    (0..3)
        .map(|c| {
            let (p, q) = ((c + 1) % 3, (c + 2) % 3);
            m[0][c] * (m[1][p] * m[2][q] - m[1][q] * m[2][p])
        })
        .sum()
}

/// The right-handed one of the bases `±rows · given`.
fn rebased(given: &Lattice, rows: [[i64; 3]; 3]) -> Option<NiggliReduction> {
    let sign = if given.is_right_handed() { 1 } else { -1 };
    let rows = rows.map(|row| row.map(|x| sign * x));
    let matrix = Matrix3::from_fn(|i, j| rows[i][j] as f64) * given.matrix();
    let mut transform = [[0; 3]; 3];
    for (to, from) in transform.iter_mut().flatten().zip(rows.iter().flatten()) {
        *to = i32::try_from(*from).ok()?;
    }
    Some(NiggliReduction { lattice: Lattice::from_matrix(matrix).ok()?, transform })
}

impl Structure {
    /// The same crystal in the cell of [`niggli_as_pymatgen`]: sites re-expressed and wrapped, in the same order.
    ///
    /// # Errors
    /// As [`niggli`].
    pub fn niggli_reduced_as_pymatgen(&self) -> Result<Self, ReductionError> {
        Ok(self.in_cell(&niggli_as_pymatgen(&self.lattice)?))
    }
}
