//! Why sets cannot be evaluated.

use std::path::PathBuf;

use druse_data::DataError;
use druse_metrics::generation::GenerationError;
use druse_metrics::optimization::OptimizationError;

use crate::hull::HullInputError;

/// Sets that do not fit the task, in the order of the stages that notice it. But for [`EvaluateError::Interrupted`] other
/// arguments or other input put it right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// A baseline has nothing to be made of.
    #[error("the baseline substitutes elements in crystals of a training set, and none is given")]
    NoTraining,
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
    /// A row does not name the start of its optimization.
    #[error("the generated row `{id}` has no property `{property}`")]
    NoStart {
        /// Identifier of the row.
        id: String,
        /// The property that should name the start.
        property: String,
    },
    /// Success rates cannot be computed.
    #[error(transparent)]
    Optimization(#[from] OptimizationError),
    /// There is no hull.
    #[error(transparent)]
    Hull(#[from] HullInputError),
    /// A file is no evaluation of this version.
    #[error("`{}` {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is.
        problem: String,
    },
    /// A set could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Whoever started it stopped it.
    #[error("interrupted; nothing was written")]
    Interrupted,
}
