//! Niggli reduction.

use nalgebra::Matrix3;

use super::{ReductionError, rebase};
use crate::basis::{IntMatrix, inverse_unimodular, lll};
use crate::{Lattice, Structure, wrap_unit};

/// Tolerance on entries of the metric tensor, relative to the cube root of the volume (pymatgen's `tol`).
const TOLERANCE: f64 = 1e-5;
/// Steps after which the reduction is given up.
const MAX_STEPS: usize = 100;

/// A Niggli-reduced cell and how it was reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NiggliReduction {
    /// The reduced lattice, right-handed.
    pub lattice: Lattice,
    /// Row `i` holds the coefficients of reduced vector `i` in the given vectors: `reduced = transform · given`.
    /// The determinant is 1, or −1 when the given cell is left-handed.
    pub transform: [[i32; 3]; 3],
}

impl NiggliReduction {
    /// The inverse of the transform, integer because the determinant is ±1.
    fn inverse(&self) -> IntMatrix {
        inverse_unimodular(&self.transform.map(|row| row.map(i64::from)))
    }

    fn map_by(&self, inverse: &IntMatrix, frac: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|c| wrap_unit((0..3).map(|r| frac[r] * inverse[r][c] as f64).sum()))
    }
}

/// Niggli-reduces a lattice.
///
/// LLL reduction (δ = 0.75) followed by the iteration of Grosse-Kunstleve, Sauter & Adams, Acta Cryst. A60, 1 (2004),
/// steps A1–A8, with tolerance ε = 1e-5 · V^(1/3) compared with entries of the metric tensor (Å²), as in pymatgen.
///
/// # Errors
/// [`ReductionError`] when the iteration does not settle or the cell is too skewed for double precision.
pub fn niggli(lattice: &Lattice) -> Result<NiggliReduction, ReductionError> {
    let (matrix, transform) = lll(lattice.matrix());
    let mut state = State {
        metric: matrix * matrix.transpose(),
        transform,
        epsilon: TOLERANCE * lattice.volume().cbrt(),
    };
    if !(0..MAX_STEPS).any(|_| state.step()) {
        return Err(ReductionError::NotConverged { steps: MAX_STEPS });
    }
    let mut transform = state.transform;
    let mut reduced = rebase(lattice, &transform)?;
    if !reduced.is_right_handed() {
        transform = transform.map(|row| row.map(|t| -t));
        reduced = rebase(lattice, &transform)?;
    }
    // `rebase` has checked the range.
    Ok(NiggliReduction { lattice: reduced, transform: transform.map(|row| row.map(|t| t as i32)) })
}

/// Sign of a number that counts as zero within ε.
fn sign(x: f64, epsilon: f64) -> i64 {
    if x.abs() < epsilon { 0 } else { x.signum() as i64 }
}

/// The form under reduction.
struct State {
    /// Metric tensor of the current basis (Å²).
    metric: Matrix3<f64>,
    /// Current basis in terms of the given one.
    transform: IntMatrix,
    /// Tolerance.
    epsilon: f64,
}

impl State {
    /// A, B, C, ξ, η, ζ of the paper: the squared lengths and twice the scalar products b·c, a·c, a·b.
    fn form(&self) -> [f64; 6] {
        let g = &self.metric;
        [g[(0, 0)], g[(1, 1)], g[(2, 2)], 2.0 * g[(1, 2)], 2.0 * g[(0, 2)], 2.0 * g[(0, 1)]]
    }

    /// Replaces the basis by `m` times it.
    fn apply(&mut self, m: [[i64; 3]; 3]) {
        let f = Matrix3::from_fn(|i, j| m[i][j] as f64);
        self.metric = f * self.metric * f.transpose();
        let old = self.transform;
        self.transform = std::array::from_fn(|i| {
            std::array::from_fn(|j| {
                (0..3).fold(0, |sum: i64, l| sum.saturating_add(m[i][l].saturating_mul(old[l][j])))
            })
        });
    }

    /// One round of steps A1–A8; true when nothing was left to do.
    fn step(&mut self) -> bool {
        let e = self.epsilon;
        let [a, b, _, xi, eta, _] = self.form();
        // A1, A2: order by length, then by the size of the products.
        if b + e < a || ((a - b).abs() < e && xi.abs() > eta.abs() + e) {
            self.apply([[0, -1, 0], [-1, 0, 0], [0, 0, -1]]);
        }
        let [_, b, c, _, eta, zeta] = self.form();
        if c + e < b || ((b - c).abs() < e && eta.abs() > zeta.abs() + e) {
            self.apply([[-1, 0, 0], [0, 0, -1], [0, -1, 0]]);
            return false;
        }
        self.make_signs_equal();

        let [a, b, c, xi, eta, zeta] = self.form();
        // A5, A6, A7: shorten c along b, c along a, b along a.
        if xi.abs() > b + e
            || ((xi - b).abs() < e && 2.0 * eta < zeta - e)
            || ((xi + b).abs() < e && zeta < -e)
        {
            self.apply([[1, 0, 0], [0, 1, 0], [0, -(xi.signum() as i64), 1]]);
            return false;
        }
        if eta.abs() > a + e
            || ((a - eta).abs() < e && 2.0 * xi < zeta - e)
            || ((a + eta).abs() < e && zeta < -e)
        {
            self.apply([[1, 0, 0], [0, 1, 0], [-(eta.signum() as i64), 0, 1]]);
            return false;
        }
        if zeta.abs() > a + e
            || ((a - zeta).abs() < e && 2.0 * xi < eta - e)
            || ((a + zeta).abs() < e && eta < -e)
        {
            self.apply([[1, 0, 0], [-(zeta.signum() as i64), 1, 0], [0, 0, 1]]);
            return false;
        }
        // A8: c + a + b may be shorter than c.
        let sum = xi + eta + zeta + a + b;
        if sum < -e || (sum.abs() < e && e < zeta + 2.0 * (a + eta)) {
            self.apply([[1, 0, 0], [0, 1, 0], [1, 1, 1]]);
            return false;
        }
        debug_assert!(c + e >= b);
        true
    }

    /// A3, A4: all three products positive, or none.
    fn make_signs_equal(&mut self) {
        let [.., xi, eta, zeta] = self.form();
        let s = [xi, eta, zeta].map(|x| sign(x, self.epsilon));
        let positive = s.iter().product::<i64>() == 1;
        let mut flip = s.map(|s| if s == if positive { -1 } else { 1 } { -1 } else { 1 });
        if !positive && flip.iter().product::<i64>() == -1 {
            // A product of zero does not mind the flip of one more vector, which keeps the handedness.
            if let Some(i) = [2, 1, 0].into_iter().find(|&i| s[i] == 0) {
                flip[i] = -1;
            }
        }
        self.apply([[flip[0], 0, 0], [0, flip[1], 0], [0, 0, flip[2]]]);
    }
}

impl Structure {
    /// The same crystal in its Niggli-reduced cell: sites re-expressed in the new vectors and wrapped, in the same
    /// order; the Cartesian orientation stays.
    ///
    /// # Errors
    /// As [`niggli`].
    pub fn niggli_reduced(&self) -> Result<Self, ReductionError> {
        Ok(self.in_cell(&niggli(&self.lattice)?))
    }

    /// The sites in the cell of a reduction, wrapped.
    pub(super) fn in_cell(&self, reduction: &NiggliReduction) -> Self {
        let inverse = reduction.inverse();
        let frac_coords = self.frac_coords.iter().map(|&f| reduction.map_by(&inverse, f)).collect();
        Self { lattice: reduction.lattice, frac_coords, ..self.clone() }
    }

    /// The cell on which generative models are trained: Niggli-reduced, then rebuilt from its six parameters with c
    /// along z and a in the xz plane ([`Lattice::from_parameters`]), fractional coordinates kept. The matrix is thus
    /// a function of lengths and angles alone.
    ///
    /// # Errors
    /// As [`niggli`].
    pub fn canonical(&self) -> Result<Self, ReductionError> {
        let mut reduced = self.niggli_reduced()?;
        reduced.lattice = Lattice::from_parameters(reduced.lattice.parameters())?;
        Ok(reduced)
    }
}
