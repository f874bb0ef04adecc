//! Layers shared by the models. A layer registers its tensors in a [`crate::ParamBuilder`] and is afterwards a
//! function of [`crate::Params`] and its inputs.

mod gemnet;
mod linear;
mod radial;

pub use gemnet::{
    AtomUpdate, EdgeHead, GemNetSizes, Geometry, InteractionBlock, ProjectedBasis, SharedBasis,
    TripletInteraction,
};
pub use linear::{Dense, Linear, ResidualDense, SplitDense};
pub use radial::{GaussianBasis, envelope_dimenet, envelope_gemnet};
