//! What a model is to the drivers.

mod autoencoder;
mod conditions;
mod generator;
mod model;
mod predictor;
mod trainable;

pub use autoencoder::{Autoencoder, Posterior, PropertyGradient};
pub use conditions::{Capabilities, Condition, ConditionSet, Conditions, Site};
pub use generator::{Generator, SampleRequest, Sampled, Sampler, sample_all};
pub use model::Model;
pub use predictor::Predictor;
pub use trainable::{
    BatchStatistics, LossTerm, NoiseKey, Phase, PhaseOptimizer, PhaseParameters, Prepared, Remark, Trainable,
    TrainingPhase, repetition_seed,
};
