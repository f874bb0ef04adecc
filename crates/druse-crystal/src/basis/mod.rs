//! Bases of three-dimensional lattices, as matrices of their rows: reduction and shortest vectors.

mod closest;
mod lll;

pub(crate) use closest::ClosestImage;
pub use lll::lll;

/// Integer change of basis: row `i` holds the coefficients of new vector `i` in the old vectors.
pub(crate) type IntMatrix = [[i64; 3]; 3];

/// Inverse of an integer matrix of determinant ±1.
pub(crate) fn inverse_unimodular(m: &IntMatrix) -> IntMatrix {
    let cofactor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1].wrapping_mul(m[r2][c2]).wrapping_sub(m[r1][c2].wrapping_mul(m[r2][c1]))
    };
    let det = (0..3).fold(0i64, |sum, c| sum.wrapping_add(m[0][c].wrapping_mul(cofactor(0, c))));
    std::array::from_fn(|r| std::array::from_fn(|c| cofactor(c, r).wrapping_mul(det)))
}
