//! Drivers: the training loop with its checkpoints, and the sampling loop with its streaming output.
//!
//! Drivers own files, seeds, progress and interruption; models are functions of their arguments
//! ([`druse_models::Generator`]). Nothing here prints: progress goes to an [`Observer`].
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod batches;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod enumerate;
mod error;
pub mod folder;
pub mod import;
pub mod latent;
mod lookahead;
pub mod merge;
pub mod metrics;
pub mod model;
mod observer;
pub mod output;
pub mod overlay;
pub mod predict;
pub mod presets;
pub mod sample;
pub mod schedule;
pub mod train;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use config::RunConfig;
pub use error::RunError;
pub use folder::RunFolder;
pub use lookahead::Panicked;
pub use observer::{Event, Observer, Silent, Start};
