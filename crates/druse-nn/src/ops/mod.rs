//! Operations of the message-passing core: by hand on the CPU and on GPUs, each with a composition of tensor operations
//! beside it.

mod affine;
pub(crate) mod arch;
mod bilinear;
mod blocks;
mod cell;
#[cfg(feature = "gpu")]
pub(crate) mod cube;
mod dense;
mod edge_geometry;
mod filter;
mod gather;
mod host;
mod kernels;
mod lattice_head;
mod lattice_parameters;
mod message_sum;
mod messages;
mod perceptron;
mod product;
mod residual;
mod sines;
mod split;
mod triplet;

pub use affine::affine;
pub use bilinear::bilinear;
pub use blocks::with_idle_threads;
pub use cell::{cells, edge_vectors, to_fractional};
pub use dense::{Activation, dense, merge_edges};
pub use edge_geometry::{angular_sum_with, directions, gaussians, pair_harmonics};
pub use filter::{filter, filtered_output, filtered_sum};
pub use gather::{gather, scatter_sum, weighted_sum};
pub(crate) use host::{HostOp, Mat, Matrix, apply};
pub(crate) use kernels::{silu_backward, silu_in_place, silu_slope_backward};
pub use lattice_head::{LatticeHeadWeights, lattice_head};
pub use lattice_parameters::lattice_parameters;
pub use message_sum::message_sum;
pub use messages::{MessageUpdateWeights, message_down, message_update};
pub use perceptron::perceptron;
pub(crate) use product::{count_products, has_bf16, matrix_product};
pub use residual::{residual_gather, residual_pair, residual_sum};
pub use sines::enveloped_sines;
pub use split::{pair_dense, split_dense};
pub use triplet::{angular_sum, contract_degrees};

use burn::tensor::{Device, Tensor, TensorData};

/// A tensor from row-major values: shape (values / cols, cols).
pub fn matrix(values: Vec<f32>, cols: usize, device: &Device) -> Tensor<2> {
    let rows = values.len() / cols;
    Tensor::from_data(TensorData::new(values, [rows, cols]), device)
}

#[cfg(test)]
mod tests;
