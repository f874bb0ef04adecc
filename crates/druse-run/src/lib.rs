//! Drivers: the training loop with its checkpoints, and the sampling loop with its streaming output.
//!
//! Drivers own files, seeds, progress and interruption; models are functions of their arguments
//! ([`druse_models::Generator`]). Nothing here prints: progress goes to an [`Observer`].
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod checkpoint;
pub mod config;
pub mod enumerate;
mod error;
pub mod folder;
pub mod import;
pub mod latent;
pub mod metrics;
pub mod model;
mod observer;
pub mod predict;
pub mod sample;
pub mod train;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use config::{RunConfig, overlay, presets, schedule};
pub use error::{Panicked, RunError};
pub use folder::RunFolder;
pub use observer::{Event, Observer, Silent, Start};
pub use sample::{merge, output};
pub use train::{batches, data};
