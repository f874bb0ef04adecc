//! What a model is to the drivers.

mod autoencoder;
mod generator;
mod trainable;

pub use autoencoder::{Autoencoder, Posterior, PropertyGradient};
pub use generator::{
    Capabilities, Condition, Generator, LatentCondition, SampleRequest, Sampled, Sampler, sample_all,
};
pub use trainable::{
    BatchStatistics, LossTerm, NoiseKey, Phase, PhaseOptimizer, PhaseParameters, Prepared, Remark, Trainable,
    TrainingPhase, repetition_seed,
};
