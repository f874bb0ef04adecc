//! CDVAE: a variational autoencoder of crystals whose decoder is a score network.
//!
//! Xie, Fu, Ganea, Barzilay, Jaakkola, "Crystal Diffusion Variational Autoencoder for Periodic Material Generation",
//! ICLR 2022.

mod config;
mod decoder;
mod heads;
mod latent;
mod model;
mod objective;
pub(crate) mod parity;
mod published;
mod sampler;

pub use config::{CdvaeConfig, LossWeights, NoiseConfig};
pub use decoder::{Decoder, DecoderConfig, DecoderInput, DecoderOutput};
pub(crate) use heads::AggregateHeads;
pub use model::Cdvae;
pub(crate) use model::cell_parameters;
pub use published::PublishedStatistics;
