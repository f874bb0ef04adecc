//! The configuration of a training run: its settings, presets, and what is laid over them.

mod error;
pub mod overlay;
pub mod presets;
pub mod schedule;
mod settings;

pub use error::{ConfigError, Violation};
pub use settings::{DataConfig, OptimConfig, RunConfig, Schedule, TrainConfig};
