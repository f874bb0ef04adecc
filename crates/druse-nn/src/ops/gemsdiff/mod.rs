//! Operations of GemsDiff alone.

mod lattice_head;

#[cfg(any(test, feature = "gpu"))]
pub(crate) use lattice_head::LatticeHead;
pub use lattice_head::{LatticeHeadWeights, lattice_head};
