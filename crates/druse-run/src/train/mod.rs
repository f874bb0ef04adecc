//! The training driver.

pub mod batches;
pub mod data;
mod driver;
mod lookahead;

pub use driver::{BEST, CONFIG_FILE, Ending, LAST, METRICS_FILE, Outcome, holds_run, train};
