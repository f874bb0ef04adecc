//! Generative models of crystals on the druse engine.
//!
//! Every model implements [`Generator`]; the drivers in `druse-run` know nothing else of it.

mod bonds;
pub mod cdvae;
pub mod gemsdiff;
mod generator;
mod objective;
pub mod parity;
mod pieces;
pub mod process;

pub use bonds::{BondCache, BondError, Bonds};
pub use generator::{
    Capabilities, Condition, Generator, LossTerm, ModelError, NoiseKey, Prepared, SampleRequest, Sampled,
    Sampler, sample_all,
};
pub use objective::{Batch, Gradient, Objective, differentiate, evaluate};
pub use pieces::PieceLimit;
