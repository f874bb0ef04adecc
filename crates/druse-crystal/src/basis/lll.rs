//! Lenstra–Lenstra–Lovász reduction of a three-dimensional basis.

use nalgebra::{Matrix3, Vector3};

use super::IntMatrix;

/// Lovász parameter, as pymatgen uses it.
const DELTA: f64 = 0.75;
/// A three-dimensional basis settles after a handful of swaps; the limit only guards against rounding noise.
const MAX_SWAPS: usize = 10_000;

/// Gram–Schmidt state of the rows of a basis.
struct GramSchmidt {
    /// Coefficients `u[i][j]`, j < i.
    u: [[f64; 3]; 3],
    /// Orthogonalised vectors.
    b: [Vector3<f64>; 3],
    /// Their squared norms.
    norm: [f64; 3],
}

impl GramSchmidt {
    fn new(a: &[Vector3<f64>; 3]) -> Self {
        let mut gs = Self { u: [[0.0; 3]; 3], b: *a, norm: [0.0; 3] };
        for i in 0..3 {
            gs.update(a, i);
        }
        gs
    }

    /// Recomputes row `i` from the rows before it.
    fn update(&mut self, a: &[Vector3<f64>; 3], i: usize) {
        let mut rest = a[i];
        for j in 0..i {
            self.u[i][j] = a[i].dot(&self.b[j]) / self.norm[j];
            rest -= self.u[i][j] * self.b[j];
        }
        self.b[i] = rest;
        self.norm[i] = rest.norm_squared();
    }
}

/// LLL-reduces the rows of `matrix`: returns the reduced rows and the integer `t` with `reduced = t · matrix`
/// (determinant ±1). Step order and rounding follow pymatgen's `Lattice.get_lll_reduced_lattice`, so that the Niggli
/// reduction starts from the same basis.
pub fn lll(matrix: &Matrix3<f64>) -> (Matrix3<f64>, IntMatrix) {
    let mut a: [Vector3<f64>; 3] = std::array::from_fn(|i| matrix.row(i).transpose());
    let mut t: IntMatrix = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    let mut gs = GramSchmidt::new(&a);
    let (mut k, mut swaps) = (1, 0);
    while k < 3 && swaps < MAX_SWAPS {
        for i in (0..k).rev() {
            let q = gs.u[k][i].round_ties_even();
            if q != 0.0 {
                let shift = a[i];
                a[k] -= q * shift;
                let row = t[i];
                for (x, y) in t[k].iter_mut().zip(row) {
                    *x = x.saturating_sub((q as i64).saturating_mul(y));
                }
                for j in 0..i {
                    gs.u[k][j] -= q * gs.u[i][j];
                }
                gs.u[k][i] -= q;
            }
        }
        if gs.norm[k] >= (DELTA - gs.u[k][k - 1].powi(2)) * gs.norm[k - 1] {
            k += 1;
        } else {
            swaps += 1;
            a.swap(k, k - 1);
            t.swap(k, k - 1);
            for i in k - 1..3 {
                gs.update(&a, i);
            }
            k = (k - 1).max(1);
        }
    }
    (Matrix3::from_fn(|i, j| a[i][j]), t)
}
