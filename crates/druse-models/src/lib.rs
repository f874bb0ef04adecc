//! Generative models of crystals on the druse engine.
//!
//! Every model implements [`Generator`]; the drivers in `druse-run` know nothing else of it.

pub mod gemsdiff;
mod generator;

pub use generator::{Capabilities, Condition, Generator, Loss, ModelError, NoiseKey, SampleRequest, Sampler};
