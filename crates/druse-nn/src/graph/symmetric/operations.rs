//! The operations of a space group as the search for copies needs them: with their inverses.

use druse_crystal::SymmetryOperation;

/// Translations closer than this to whole numbers are lattice translations.
const WHOLE: f64 = 1e-3;

/// The operations of a space group in a cell, with the number of the inverse of each.
#[derive(Debug, Clone)]
pub struct GroupOperations {
    operations: Vec<SymmetryOperation>,
    inverses: Vec<Inverse>,
    identity: u32,
}

/// The inverse of an operation: another operation of the list, moved by whole cells.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inverse {
    /// Its number.
    pub operation: u32,
    /// The exact inverse is the operation of the list followed by this.
    pub shift: [i32; 3],
}

/// The operations of a list do not form a group in its cell.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{count} symmetry operations do not form a group: `{operation}` has no inverse among them")]
pub struct NoGroup {
    /// Number of operations.
    pub count: usize,
    /// The first without an inverse; the identity where that is missing.
    pub operation: SymmetryOperation,
}

fn applied(rotation: &[[i32; 3]; 3], x: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|i| (0..3).map(|j| f64::from(rotation[i][j]) * x[j]).sum())
}

fn product(a: &[[i32; 3]; 3], b: &[[i32; 3]; 3]) -> [[i32; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

const UNIT: [[i32; 3]; 3] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];

impl GroupOperations {
    /// Finds the inverse of every operation.
    ///
    /// # Errors
    /// [`NoGroup`] when an inverse or the identity is missing.
    pub fn new(operations: Vec<SymmetryOperation>) -> Result<Self, NoGroup> {
        let whole = |t: [f64; 3]| t.iter().all(|x| (x - x.round()).abs() < WHOLE);
        let count = operations.len();
        let inverse = |op: &SymmetryOperation| {
            // r (R x + t) + s = x + r t + s for r = R⁻¹.
            let undone = |other: &SymmetryOperation| {
                let back = applied(&other.rotation, op.translation);
                std::array::from_fn(|i| back[i] + other.translation[i])
            };
            let found = operations
                .iter()
                .position(|other| product(&other.rotation, &op.rotation) == UNIT && whole(undone(other)))?;
            let shift = undone(&operations[found]).map(|x: f64| -x.round() as i32);
            Some(Inverse { operation: found as u32, shift })
        };
        let inverses = operations.iter().map(|op| inverse(op).ok_or(NoGroup { count, operation: *op }));
        let inverses = inverses.collect::<Result<Vec<_>, _>>()?;
        let is_identity = |op: &SymmetryOperation| op.rotation == UNIT && whole(op.translation);
        let identity = operations.iter().position(is_identity).ok_or(NoGroup {
            count,
            operation: SymmetryOperation { rotation: UNIT, translation: [0.0; 3] },
        })? as u32;
        Ok(Self { operations, inverses, identity })
    }

    /// The operations.
    pub fn operations(&self) -> &[SymmetryOperation] {
        &self.operations
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is none; never so.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Number of the identity.
    pub(super) fn identity(&self) -> u32 {
        self.identity
    }

    pub(super) fn inverse(&self, operation: u32) -> Inverse {
        self.inverses[operation as usize]
    }

    /// A fractional vector turned by the inverse of an operation.
    pub(super) fn turned_back(&self, operation: u32, vector: [f64; 3]) -> [f64; 3] {
        let inverse = self.inverses[operation as usize].operation as usize;
        applied(&self.operations[inverse].rotation, vector)
    }
}
