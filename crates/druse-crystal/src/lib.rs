//! Crystal structures: elements, lattices, compositions, file formats, periodic neighbours, cell reduction and symmetry.
//!
//! Conventions used by every druse crate: lattice vectors are the **rows** of a 3×3 matrix in Å,
//! `cartesian = fractional · L`; fractional coordinates lie in [0, 1); angles are in degrees.

mod composition;
pub mod coordination;
mod element;
pub mod formats;
mod lattice;
mod neighbors;
pub mod reduction;
mod structure;
pub mod symmetry;

pub use composition::{Composition, FormulaError};
pub use element::{Element, ElementError};
pub use lattice::{Lattice, LatticeError};
pub use neighbors::{Neighbor, NeighborList, k_nearest, within_cutoff};
pub use reduction::{NiggliReduction, ReductionError, niggli};
pub use structure::{Structure, StructureError, wrap_unit};
pub use symmetry::{SymmetryDataset, SymmetryError, SymmetryOperation};
