//! Operations of the message-passing core: by hand on the CPU, composed of tensor operations elsewhere.

mod dense;
mod gather;
mod host;
mod kernels;
mod lattice_head;
mod lattice_parameters;
mod residual;
mod triplet;

pub use dense::{Activation, dense, merge_edges};
pub use gather::{gather, scatter_sum};
pub(crate) use kernels::{count_products, matrix_product};
pub use lattice_head::{LatticeHeadWeights, lattice_head};
pub use lattice_parameters::lattice_parameters;
pub use residual::residual_pair;
pub use triplet::{angular_sum, contract_degrees};

use burn::tensor::{Device, Tensor, TensorData};

/// A tensor from row-major values: shape (values / cols, cols).
pub fn matrix(values: Vec<f32>, cols: usize, device: &Device) -> Tensor<2> {
    let rows = values.len() / cols;
    Tensor::from_data(TensorData::new(values, [rows, cols]), device)
}

#[cfg(test)]
mod tests;
