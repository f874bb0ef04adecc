//! Generative models of crystals on the druse engine.
//!
//! Every model is [`Trainable`], generative ones are [`Generator`]s; the drivers in `druse-run` know nothing else of them.

mod autoencoder;
mod bonds;
pub mod cdvae;
mod error;
pub mod gemsdiff;
mod generator;
mod objective;
pub mod parity;
mod pieces;
pub mod process;
pub mod property;
pub mod published;
mod standardizer;
pub mod targets;
mod trainable;

pub use autoencoder::{Autoencoder, Posterior, PropertyGradient};
pub use bonds::{BondCache, BondError, Bonds};
pub use error::ModelError;
pub use generator::{
    Capabilities, Condition, Generator, LatentCondition, SampleRequest, Sampled, Sampler, sample_all,
};
pub use objective::{Batch, Gradient, Objective, differentiate, evaluate};
pub use pieces::PieceLimit;
pub use standardizer::Standardizer;
pub use trainable::{LossTerm, NoiseKey, Prepared, Remark, Trainable};
