//! Reduced cells.

mod mapped;
mod niggli;
mod primitive;

use nalgebra::Matrix3;

use crate::basis::IntMatrix;
use crate::{Lattice, LatticeError};

pub use crate::basis::lll;
pub use mapped::niggli_as_pymatgen;
pub use niggli::{NiggliReduction, niggli};

/// Why a cell could not be reduced.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReductionError {
    /// The new vectors need coefficients that do not fit `i32`, or rounding destroys them.
    #[error(
        "cell is too skewed to be reduced in double precision; give a more compact cell of the same lattice"
    )]
    TooSkewed,
    /// The reduction conditions are not met after the allowed number of steps.
    #[error("Niggli reduction did not settle within {steps} steps; the cell is nearly degenerate")]
    NotConverged {
        /// Steps taken.
        steps: usize,
    },
    /// The new vectors do not span a cell.
    #[error(transparent)]
    Lattice(#[from] LatticeError),
}

/// LLL-reduced basis (δ = 0.75) of the same lattice, as pymatgen's `get_lll_reduced_lattice` finds it.
///
/// # Errors
/// [`ReductionError`] when the cell is so skewed that rounding makes the reduced vectors degenerate.
pub fn lll_reduced(lattice: &Lattice) -> Result<Lattice, ReductionError> {
    let (_, transform) = lll(lattice.matrix());
    rebase(lattice, &transform)
}

/// The lattice spanned by `transform · rows`, computed from the given rows so that no rounding accumulates.
fn rebase(lattice: &Lattice, transform: &IntMatrix) -> Result<Lattice, ReductionError> {
    if transform.iter().flatten().any(|t| i32::try_from(*t).is_err()) {
        return Err(ReductionError::TooSkewed);
    }
    let t = Matrix3::from_fn(|i, j| transform[i][j] as f64);
    let rebased = Lattice::from_matrix(t * lattice.matrix())?;
    // Both cells must hold one lattice point; a lost volume means lost digits.
    if (rebased.volume() / lattice.volume() - 1.0).abs() > 1e-6 {
        return Err(ReductionError::TooSkewed);
    }
    Ok(rebased)
}
