//! CDVAE: a variational autoencoder of crystals whose decoder is a score network.
//!
//! Xie, Fu, Ganea, Barzilay, Jaakkola, "Crystal Diffusion Variational Autoencoder for Periodic Material Generation",
//! ICLR 2022.

mod decoder;

pub use decoder::{Decoder, DecoderConfig, DecoderInput, DecoderOutput};
