//! Cells, vectors of edges and what networks read of them, differentiable with respect to the structure.

mod cell;
mod edge_geometry;
mod lattice_parameters;

#[cfg(test)]
pub(crate) use cell::{Cells, EdgeVectors, ToFractional};
pub use cell::{cells, edge_vectors, to_fractional};
#[cfg(test)]
pub(crate) use edge_geometry::{AngularSumWith, Directions, Gaussians, PairHarmonics};
pub use edge_geometry::{angular_sum_with, directions, gaussians, pair_harmonics};
#[cfg(test)]
pub(crate) use lattice_parameters::LatticeParameters;
pub use lattice_parameters::lattice_parameters;
