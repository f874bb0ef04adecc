//! Generative models of crystals on the druse engine.
//!
//! Every model implements [`Generator`]; the drivers in `druse-run` know nothing else of it.

pub mod gemsdiff;
mod generator;
mod objective;
pub mod process;

pub use generator::{
    Capabilities, Condition, Generator, LossTerm, ModelError, NoiseKey, SampleRequest, Sampler,
};
pub use objective::{Objective, differentiate, evaluate};
