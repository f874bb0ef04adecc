//! The crystal in a compact cell.

use crate::{
    Lattice,
    basis::{IntMatrix, inverse_unimodular, lll},
};

/// The crystal in a reduced basis, its atoms wrapped into that cell.
pub(crate) struct Frame {
    /// Reduced lattice vectors.
    pub(crate) rows: [[f64; 3]; 3],
    /// Reduced vectors in terms of the given ones; `None` when they are the same.
    pub(super) transform: Option<IntMatrix>,
    /// Distances between opposite faces of the reduced cell (Å).
    pub(super) faces: [f64; 3],
    /// Length of the shortest reduced vector (Å).
    pub(super) shortest: f64,
    /// Fractional coordinates in the reduced basis, in [0, 1] or NaN.
    pub(super) frac: Vec<[f64; 3]>,
    /// Cartesian coordinates of the wrapped atoms (Å).
    pub(crate) cart: Vec<[f64; 3]>,
    /// Translation, in the given basis, that wrapping took away: `given position = wrapped position + shift`.
    pub(super) shift: Vec<[i64; 3]>,
}

impl Frame {
    pub(crate) fn new(lattice: &Lattice, frac: &[[f64; 3]]) -> Self {
        let (reduced, transform) = if is_minkowski_reduced(lattice) {
            (*lattice, None)
        } else {
            let (matrix, t) = lll(lattice.matrix());
            // A basis that rounding has made singular cannot be used; the given one always can.
            Lattice::from_matrix(matrix).map_or((*lattice, None), |reduced| (reduced, Some(t)))
        };
        let inverse = transform.as_ref().map(inverse_unimodular);
        let mut frame = Self {
            rows: reduced.rows(),
            faces: reduced.face_distances(),
            shortest: reduced.lengths().into_iter().fold(f64::INFINITY, f64::min),
            transform,
            frac: Vec::with_capacity(frac.len()),
            cart: Vec::with_capacity(frac.len()),
            shift: Vec::with_capacity(frac.len()),
        };
        for &f in frac {
            let f = inverse
                .as_ref()
                .map_or(f, |inv| std::array::from_fn(|c| (0..3).map(|r| f[r] * inv[r][c] as f64).sum()));
            let floor = f.map(f64::floor);
            let wrapped = std::array::from_fn(|c| f[c] - floor[c]);
            frame.cart.push(reduced.to_cartesian(wrapped));
            frame.frac.push(wrapped);
            frame.shift.push(frame.given_basis(floor.map(|x| x as i64)));
        }
        frame
    }

    /// Volume of the cell (Å³).
    pub(super) fn volume(&self) -> f64 {
        let [a, b, c] = self.rows;
        let cross = [b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0]];
        (0..3).map(|i| a[i] * cross[i]).sum::<f64>().abs()
    }

    /// A translation of the reduced basis in the given one.
    pub(super) fn given_basis(&self, t: [i64; 3]) -> [i64; 3] {
        self.transform.as_ref().map_or(t, |m| {
            std::array::from_fn(|c| {
                (0..3).fold(0, |sum: i64, r| sum.saturating_add(t[r].saturating_mul(m[r][c])))
            })
        })
    }
}

/// Whether no vector of the basis can be shortened by adding the others with coefficients −1, 0, 1, which makes the
/// cell as compact as it gets.
fn is_minkowski_reduced(lattice: &Lattice) -> bool {
    const SLACK: f64 = 1.0 + 1e-9;
    let m = lattice.matrix();
    let g = m * m.transpose();
    let pairwise = |i: usize, j: usize| 2.0 * g[(i, j)].abs() <= SLACK * g[(i, i)].min(g[(j, j)]);
    let longest = g.diagonal().max();
    pairwise(0, 1)
        && pairwise(0, 2)
        && pairwise(1, 2)
        && [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)].into_iter().all(|(p, q)| {
            let sum = g.trace() + 2.0 * (p * g[(0, 1)] + q * g[(0, 2)] + p * q * g[(1, 2)]);
            sum * SLACK >= longest
        })
}
