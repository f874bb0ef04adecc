//! Why sets cannot be evaluated.

use druse_metrics::generation::GenerationError;

/// Sets that do not fit the task, in the order of the stages that notice it.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// No row of a set gives a structure.
    #[error("none of the {rows} rows of the {role} set `{name}` gives a structure; the first: {first}")]
    NoStructures {
        /// `generated`, `reference` or `training`.
        role: &'static str,
        /// Name of the set.
        name: String,
        /// Its rows.
        rows: usize,
        /// Why the first gives none.
        first: String,
    },
    /// Nothing can be measured.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// A property is missing.
    #[error("no structure of the {role} set `{name}` has the number `{property}`; it has {available}")]
    NoProperty {
        /// `generated` or `reference`.
        role: &'static str,
        /// Name of the set.
        name: String,
        /// The property asked for.
        property: String,
        /// What there is.
        available: String,
    },
    /// Predictions and references cannot be paired.
    #[error("predictions and references cannot be paired: {0}")]
    Pairing(String),
    /// Success rates need a protocol that has constants for the data set.
    #[error("{0}")]
    Optimization(String),
}
