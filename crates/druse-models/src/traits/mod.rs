//! What a model is to the drivers.

mod autoencoder;
mod capabilities;
mod generator;
mod limit;
mod model;
mod predictor;
mod trainable;

pub use autoencoder::{Autoencoder, Posterior, PropertyGradient};
pub use capabilities::Capabilities;
pub use generator::{Generator, SampleRequest, Sampled, Sampler, sample_all};
pub use limit::MicroBatchLimit;
pub(crate) use limit::cut;
pub use model::Model;
pub use predictor::Predictor;
pub use trainable::{
    Arrays, BatchStatistics, LossTerm, NoiseKey, Objective, Phase, PhaseOptimizer, PhaseParameters, Prepared,
    Trainable, TrainingPhase, Warning, repetition_seed,
};
