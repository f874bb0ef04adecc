//! Linear layers, with bias, with an activation, and over concatenated inputs that are never built.

mod affine;
mod layer;
mod layer_norm;
pub(crate) mod narrow;
mod split;

#[cfg(test)]
pub(crate) use affine::Affine;
pub use affine::affine;
pub use layer::{Activation, dense, merge_edges};
#[cfg(any(test, feature = "gpu"))]
pub(crate) use layer::{Dense, MergeEdges};
pub(crate) use layer::{add_row, add_rows_to};
#[cfg(test)]
pub(crate) use layer_norm::LayerNorm;
pub use layer_norm::{layer_norm, layer_norm_leaky};
pub(crate) use layer_norm::{leak, row_moments, row_sum, total};
#[cfg(test)]
pub(crate) use split::{PairDense, SplitDense};
pub use split::{pair_dense, split_dense};
