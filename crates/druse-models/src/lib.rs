//! Generative models of crystals on the druse engine.
//!
//! Every model is [`Trainable`], generative ones are [`Generator`]s; the drivers in `druse-run` know nothing else of them.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod bonds;
mod engine;
mod error;
pub mod generative;
pub mod parity;
pub mod process;
pub mod property;
pub mod published;
mod standardizer;
pub mod targets;
mod traits;

pub use bonds::{BondCache, BondError, Bonds};
pub use engine::{Batch, Gradient, MicroBatchLimit, Objective, differentiate, evaluate};
pub use error::ModelError;
pub use generative::{cdvae, gemsdiff};
pub use standardizer::Standardizer;
pub use traits::{
    Autoencoder, Capabilities, Condition, Generator, LatentCondition, LossTerm, NoiseKey, Posterior,
    Prepared, PropertyGradient, Remark, SampleRequest, Sampled, Sampler, Trainable, sample_all,
};
