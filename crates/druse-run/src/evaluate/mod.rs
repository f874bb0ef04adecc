//! Evaluation: from sets of structures to figures with their protocols.
//!
//! The formulas are in `druse_metrics`; here are files, the cache of features, progress, and what makes a report.

mod cache;
mod charts;
mod describe;
mod error;
mod evaluation;
mod figures;
mod generation;
mod matching;

pub use charts::Chart;
pub(crate) use describe::in_chunks;
pub use describe::{Described, describe};
pub use error::EvaluateError;
pub use evaluation::{Evaluation, FORMAT, Neighbor, RowReason, SetSummary, Task};
pub use figures::{Better, better, label};
pub use generation::{GenerationSettings, Optimization, generation};
pub use matching::{MatchingSettings, Pairing, matching};

use druse_data::Listing;

/// The sets of an evaluation.
#[derive(Debug, Clone, Copy)]
pub struct Sets<'a> {
    /// What is judged.
    pub generated: &'a Listing,
    /// What it is compared with.
    pub reference: &'a Listing,
    /// What the model was trained on, for novelty.
    pub train: Option<&'a Listing>,
}
