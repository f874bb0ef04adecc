//! Metrics of generation under the protocols of the field.

mod evaluate;
mod protocol;

pub use evaluate::{GenerationError, GenerationMetrics, Options, PlacedCoverage, evaluate};
pub use protocol::{Population, Protocol};

use serde::{Deserialize, Serialize};

use crate::distribution::Interval;

/// One figure with what it was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Short name: `cov_recall`, `wdist_density` …
    pub key: String,
    /// The value; `None` when it could not be computed.
    pub value: Option<f64>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Number of crystals the value is an average over, or the size of the generated sample of a distance.
    pub of: usize,
    /// Number of crystals of the other set that they were compared with; `None` for figures of one set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<usize>,
    /// What was measured, on which crystals, with which tolerance.
    pub protocol: String,
    /// Bootstrap interval over the crystals that the value is an average over, or over both samples of a distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}
