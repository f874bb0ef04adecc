//! Operations of the message-passing core: by hand on the CPU, composed of tensor operations elsewhere.

mod dense;
mod gather;
mod host;
mod kernels;
mod lattice_head;
mod lattice_parameters;
mod triplet;

pub use dense::{Activation, dense, merge_edges};
pub use gather::{gather, scatter_sum};
pub use lattice_head::{LatticeHeadWeights, lattice_head};
pub use lattice_parameters::lattice_parameters;
pub use triplet::{angular_sum, contract_degrees};

#[cfg(test)]
mod tests;
