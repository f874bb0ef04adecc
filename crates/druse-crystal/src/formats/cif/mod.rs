//! Crystallographic Information Files (CIF 1.1, and of CIF 2.0 what structures are written with).
//!
//! Reading follows pymatgen where conventions differ: coordinates within 1e-4 (relative) of 1/3 or 2/3 are set to
//! them, coordinates are wrapped into [0, 1), sites are grouped by element and ordered by electronegativity, and the
//! cell has c along z and a in the xz plane.

// From text to structures: `lexer` (tokens) → `block` (tags, values, loops) → `parse`, which asks `cell` for the lattice,
// `sites` for the asymmetric unit, `listed` and `space_group` for the operations, `content` for what is stated beside
// them, and `expand` for the atoms.
mod block;
mod cell;
mod content;
mod expand;
mod lexer;
mod listed;
mod parse;
mod sites;
mod space_group;
mod split;
mod symmetry;
mod write;

pub use parse::read;
pub(super) use parse::read_with;
pub use space_group::number_of_symbol;
pub(super) use split::{recognize, split};
pub use symmetry::SymmetryOperationError;
pub use write::{write, write_symmetric, write_symmetrized};
