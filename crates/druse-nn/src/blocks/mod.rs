//! Layers shared by the models. A layer registers its tensors in a [`crate::ParamBuilder`] and is afterwards a
//! function of [`crate::Params`] and its inputs.

mod batch_norm;
mod continuous_filter;
mod convolution;
pub mod dimenet;
mod edge_gated_convolution;
mod embedding;
mod gated_convolution;
mod gemnet;
mod layer_norm;
mod linear;
mod radial;
mod spectral;
pub mod spherenet;
pub mod unet;

pub use batch_norm::BatchNorm;
pub use continuous_filter::{ContinuousFilterPotential, ContinuousFilterSizes};
pub use convolution::Convolution;
pub use edge_gated_convolution::{EdgeGatedConvolution, EdgeGates};
pub use embedding::{AtomEmbedding, MAX_ELEMENT};
pub use gated_convolution::{GatedConvolution, WeightedEdges};
pub use gemnet::{
    AtomUpdate, BlockScales, EdgeHead, GemNetSizes, Geometry, InteractionBlock, ProjectedBasis, Receiver,
    ScaleFactors, ScaleFactorsError, SharedBasis, TripletInteraction, Trunk, TrunkState,
};
pub use layer_norm::LayerNorm;
pub use linear::{Dense, Linear, ResidualDense, SplitDense};
pub use radial::BesselBasis;
pub use spectral::{RescaledWeight, SpectralLinear};

pub use crate::basis::{GaussianBasis, SphericalBesselBasis, envelope_dimenet, envelope_gemnet};
