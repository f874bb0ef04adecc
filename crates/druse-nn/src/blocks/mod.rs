//! Layers shared by the models. A layer registers its tensors in a [`crate::ParamBuilder`] and is afterwards a
//! function of [`crate::Params`] and its inputs.

mod bessel;
mod continuous_filter;
pub mod dimenet;
mod embedding;
mod gemnet;
mod linear;
mod radial;

pub use bessel::{BesselBasis, SphericalBesselBasis};
pub use continuous_filter::{ContinuousFilterPotential, ContinuousFilterSizes};
pub use embedding::{AtomEmbedding, MAX_ELEMENT};
pub use gemnet::{
    AtomUpdate, BlockScales, EdgeHead, GemNetSizes, Geometry, InteractionBlock, ProjectedBasis, Receiver,
    ScaleFactors, ScaleFactorsError, SharedBasis, TripletInteraction, Trunk, TrunkState,
};
pub use linear::{Dense, Linear, ResidualDense, SplitDense};
pub(crate) use radial::envelope_gemnet_slope;
pub use radial::{GaussianBasis, envelope_dimenet, envelope_gemnet};
