//! Generative models of crystals, and models that predict their properties, on the druse engine.
//!
//! Every model is [`Trainable`]; generative ones are [`Generator`]s, those that predict are [`Predictor`]s. The drivers in
//! `druse-run` know nothing else of them, and take them from a [`Registry`](registry::Registry) of kinds.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod bonds;
mod engine;
mod error;
pub mod generative;
pub mod parity;
pub mod process;
pub mod property;
pub mod published;
pub mod registry;
mod standardizer;
pub mod targets;
mod traits;

pub use bonds::{BondCache, BondError, Bonds};
pub use engine::{
    Batch, Gradient, InFlight, InFlightSampler, MicroBatchLimit, Objective, Reverse, differentiate, evaluate,
};
pub use error::ModelError;
pub use generative::{cdvae, gemsdiff};
pub use registry::Registry;
pub use standardizer::Standardizer;
pub use traits::{
    Autoencoder, BatchStatistics, Capabilities, Condition, ConditionSet, Conditions, Generator, LossTerm,
    Model, NoiseKey, Phase, PhaseOptimizer, PhaseParameters, Posterior, Predictor, Prepared,
    PropertyGradient, Remark, SampleRequest, Sampled, Sampler, Site, Trainable, TrainingPhase,
    repetition_seed, sample_all,
};
