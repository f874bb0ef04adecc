//! The training driver.

pub mod batches;
mod checks;
pub mod data;
mod driver;
mod lookahead;
mod phase;
mod rollback;

pub use driver::{BEST, CONFIG_FILE, Ending, LAST, METRICS_FILE, Outcome, holds_run, train};
pub use rollback::attempt_seed;
