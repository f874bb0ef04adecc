//! Generative models of crystals, and models that predict their properties, on the druse engine.
//!
//! Every model is [`Trainable`]; generative ones are [`Generator`]s, those that predict are [`Predictor`]s. The drivers in
//! `druse-run` know nothing else of them, and take them from a [`Registry`](registry::Registry) of kinds.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod bonds;
mod conditions;
mod engine;
mod error;
pub mod generative;
mod kinds;
pub mod parity;
pub mod process;
pub mod property;
pub mod published;
mod reference;
pub mod registry;
mod settings;
mod standardizer;
pub mod targets;
mod traits;

pub use bonds::{BondCache, BondError, Bonds};
pub use conditions::{Condition, ConditionSet, Conditions, Site};
pub use engine::{Batch, Gradient, InFlight, InFlightSampler, Reverse, differentiate, evaluate};
pub use error::ModelError;
pub use generative::{cdvae, gemsdiff};
pub use kinds::Registry;
pub use standardizer::Standardizer;
pub use traits::{
    Autoencoder, BatchStatistics, Capabilities, Generator, LossTerm, MicroBatchLimit, Model, NoiseKey,
    Objective, Phase, PhaseOptimizer, PhaseParameters, Posterior, Predictor, Prepared, PropertyGradient,
    Remark, SampleRequest, Sampled, Sampler, Trainable, TrainingPhase, repetition_seed, sample_all,
};
