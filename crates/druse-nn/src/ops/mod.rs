//! Operations of the message-passing core: by hand on the CPU and on GPUs, each with a composition of tensor operations
//! beside it.
//!
//! Its rooms in order, each reading only those before it: `product` (matrix products), `blocks` (threads), `kernels`
//! (elementwise loops) and `matrix`; `device_op` and `host`, which make an operation out of a forward and a backward
//! pass; `gather`, `attention`, `dense`, `geometry`; the families `gemnet`, `dimenet`, `spherenet`, `gemsdiff`, `image`, `unet`, `crystal_graph`;
//! and `cube`, the kernels for GPUs of those that have any. `cargo xtask layers` checks that.

mod attention;
mod blocks;
mod crystal_graph;
#[cfg(feature = "gpu")]
pub(crate) mod cube;
mod dense;
#[cfg(feature = "gpu")]
mod device_op;
mod dimenet;
mod gather;
mod gemnet;
mod gemsdiff;
mod geometry;
mod host;
mod image;
mod kernels;
mod matrix;
mod product;
mod spherenet;
mod unet;

pub use attention::{TokenSets, pair_attention};
pub use blocks::with_idle_threads;
pub use crystal_graph::{EdgeWeights, batch_norm_silu, gate_mean, gate_sum, softplus};
pub use dense::{
    Activation, affine, dense, layer_norm, layer_norm_leaky, merge_edges, pair_dense, split_dense,
};
pub(crate) use dense::{leak, narrow, row_moments, row_sum, total};
pub use dimenet::{
    MessageUpdateWeights, enveloped_sines, filter, filtered_output, filtered_sum, message_down, message_sum,
    message_update, zonal_sum,
};
pub use gather::{gather, scatter_sum, weighted_sum};
pub use gemnet::{
    angular_sum, bilinear, contract_degrees, perceptron, residual_gather, residual_pair, residual_sum,
};
pub use gemsdiff::{LatticeHeadWeights, lattice_head};
pub use geometry::{
    angular_sum_with, cells, directions, edge_vectors, gaussians, lattice_parameters, pair_harmonics,
    to_fractional,
};
pub(crate) use host::{HostOp, Mat, Matrix, apply};
pub use image::{ConvGeometry, batch_norm_leaky, column_moments, conv, conv_transposed, leaky_relu};
pub(crate) use kernels::silu_slope_backward;
pub use kernels::{exp, silu_backward, silu_in_place};
pub use matrix::matrix;
pub(crate) use product::new_vec;
pub use product::{Panels, View, multiply_into};
pub(crate) use product::{count_products, matrix_product};
pub use spherenet::{incoming_sum, torsion_sum};
pub use unet::{
    AttentionHeads, ImageGrid, attention, depthwise, gated_sum, gelu, group_norm_silu, join,
    linear_attention, modulated_group_norm_silu, pixel_shuffle, pixel_unshuffle, softmax_pool, waves,
};

#[cfg(test)]
mod tests;
