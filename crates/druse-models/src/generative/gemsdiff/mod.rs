//! GemsDiff: diffusion on atom positions (torus) and lattice (Lie algebra of GL3), conditioned on the composition.
//!
//! Klipfel, Fregier, Sayede, Bouraoui, "Vector Field Oriented Diffusion Model for Crystal Material Generation",
//! AAAI 2024. [`Variant::Paper`] is the method of the paper, [`Variant::Released`] the published code.

mod config;
mod model;
mod network;
mod objective;
pub(crate) mod parity;
mod sampler;
mod scaler;

pub use config::{GemsDiffConfig, GemsNetConfig, PositionLoss, Variant};
pub use model::GemsDiff;
pub(crate) use network::Trace;
pub use network::{AtomEmbedding, Decoder, Encoder, GeometryInput, MAX_ELEMENT, Prediction};
pub use scaler::LatticeScaler;
