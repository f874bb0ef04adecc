//! The training driver.

pub mod batches;
mod checks;
pub mod data;
mod driver;
mod lookahead;
pub mod machines;
mod phase;
pub mod ranks;
mod rollback;

pub use checks::check_shared;
pub use data::TrainingData;
pub use driver::{
    BEST, CONFIG_FILE, Ending, LAST, METRICS_FILE, Outcome, checkpoint_path, holds_run, train, train_with,
};
pub use rollback::attempt_seed;
