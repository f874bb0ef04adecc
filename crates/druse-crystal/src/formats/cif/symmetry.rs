//! Symmetry operations written as `x,y,z`.

use std::str::FromStr;

use super::lexer::shorten;
use crate::formats::error::{FormatError, FormatErrorKind};
use crate::formats::{Warning, WarningKind};
use crate::symmetry::triplet::parse_part;
use crate::{Lattice, SymmetryOperation, wrap_unit};

/// Most operations a file may list: those of the largest group in a cell of a few primitive ones, with room.
pub(super) const MAX_OPERATIONS: usize = 1536;

/// Relative change of the metric tensor above which an operation does not belong to the cell. Generous, as cells are
/// sometimes given as measured.
const METRIC_TOLERANCE: f64 = 0.05;

/// A text that is no symmetry operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an operation such as `-y, x-y, z+1/3`: {problem}")]
pub struct SymmetryOperationError {
    text: String,
    problem: &'static str,
}

/// `x,y,z`
pub(super) const IDENTITY: SymmetryOperation =
    SymmetryOperation { rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], translation: [0.0; 3] };

/// Whether the rotation leaves the cell's metric tensor unchanged within [`METRIC_TOLERANCE`].
pub(super) fn fits(operation: &SymmetryOperation, lattice: &Lattice) -> bool {
    let g = lattice.matrix() * lattice.matrix().transpose();
    let r = nalgebra::Matrix3::from_fn(|i, j| f64::from(operation.rotation[i][j]));
    let image = r.transpose() * g * r;
    (0..3).all(|i| {
        (0..3).all(|j| (image[(i, j)] - g[(i, j)]).abs() <= METRIC_TOLERANCE * (g[(i, i)] * g[(j, j)]).sqrt())
    })
}

/// Reads `-y, x-y, z+1/3`; translations are wrapped into [0, 1).
impl FromStr for SymmetryOperation {
    type Err = SymmetryOperationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |problem| SymmetryOperationError { text: shorten(text), problem };
        let mut op = Self { rotation: [[0; 3]; 3], translation: [0.0; 3] };
        let mut parts = text.split(',');
        for i in 0..3 {
            let part = parts.next().ok_or_else(|| error("it needs three parts"))?;
            let (row, translation) = parse_part(part).map_err(error)?;
            op.rotation[i] = row;
            op.translation[i] = wrap_unit(translation);
        }
        if parts.next().is_some() {
            return Err(error("it needs three parts"));
        }
        let r = op.rotation;
        let determinant = r[0][0] * (r[1][1] * r[2][2] - r[1][2] * r[2][1])
            - r[0][1] * (r[1][0] * r[2][2] - r[1][2] * r[2][0])
            + r[0][2] * (r[1][0] * r[2][1] - r[1][1] * r[2][0]);
        if determinant.abs() != 1 {
            return Err(error("it does not preserve the volume"));
        }
        Ok(op)
    }
}

/// Makes a listed set of operations usable: the identity comes first, every operation fits the cell.
pub(super) fn check_listed(
    mut operations: Vec<SymmetryOperation>,
    lattice: &Lattice,
    line: usize,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<SymmetryOperation>, FormatError> {
    match operations.iter().position(|op| *op == IDENTITY) {
        Some(i) => operations[..=i].rotate_right(1),
        None => {
            let text = "the list of symmetry operations lacks `x,y,z`; it was added";
            warnings.push(Warning::new(WarningKind::Interpreted, text));
            operations.insert(0, IDENTITY);
        }
    }
    match operations.iter().find(|op| **op != IDENTITY && !fits(op, lattice)) {
        None => Ok(operations),
        Some(op) => {
            let message = format!(
                "operation `{op}` changes the lengths or angles of the cell; one of the two is wrong"
            );
            Err(FormatError::at(line, FormatErrorKind::Symmetry(message)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_and_written() {
        for (text, written) in [
            ("x, y, z", "x,y,z"),
            ("-X+1/2 , Y-x,+z+.75", "-x+1/2,-x+y,z+3/4"),
            ("1/2+x,0.3333-y,-z-1/4", "x+1/2,-y+1/3,-z+3/4"),
            ("y,x,1-z", "y,x,-z"),
            ("x,y,1*z+0.6667", "x,y,z+2/3"),
            ("x,y,z+0.123", "x,y,z+0.12300000"),
        ] {
            let op: SymmetryOperation = text.parse().unwrap();
            assert_eq!(op.to_string(), written);
            assert_eq!(written.parse::<SymmetryOperation>().unwrap(), op);
        }
        for text in [
            "",
            "x,y",
            "x,y,z,x",
            "x,x,z",
            "2x,y,z",
            "x,y,",
            "x y,z,z",
            "x,y,z+1/0",
            "x,y,q",
            "x,y,1.2.3",
            "x,y,999999999999z",
            "x+,y,z",
            "0.5x,y,z",
        ] {
            assert!(text.parse::<SymmetryOperation>().is_err(), "{text}");
        }
    }
}
