//! Reduced cells.

mod lll;

pub(crate) use lll::lll;

/// Integer change of basis: row `i` holds the coefficients of new vector `i` in the old vectors.
pub(crate) type IntMatrix = [[i64; 3]; 3];
