//! Weights of published codes: what their checkpoints name is compared with what a model here asks for, name by name.

mod dimenet;
#[cfg(test)]
pub(crate) mod fixtures;
mod keys;
mod scalers;

pub(crate) use dimenet::encoder_sizes;
pub use keys::Ignored;
pub(crate) use keys::Keys;
pub use scalers::{lattice_scaler, property_scaler, read_scaler};

use druse_nn::weights::torch::TorchError;

use crate::ModelError;

/// A model read from a published checkpoint.
pub struct PublishedModel<M> {
    /// The model with its statistics.
    pub model: M,
    /// Weights in the order of its parameters.
    pub weights: Vec<Vec<f32>>,
    /// Tensors that were left out on purpose.
    pub ignored: Vec<Ignored>,
    /// What its user should know.
    pub remarks: Vec<String>,
}

/// Why a published checkpoint does not make a model.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] TorchError),
    /// The tensors are not those of the model.
    #[error("{name} does not hold the weights of a published {kind} model\n{}", .mismatch.lines().join("\n"))]
    Mismatch {
        /// The file.
        name: String,
        /// Kind of the model.
        kind: &'static str,
        /// What differs.
        mismatch: Box<Mismatch>,
    },
    /// A file that should hold a scaler holds something else.
    #[error("{name} is no scaler of published CDVAE: {problem}")]
    Scaler {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A value that the weights alone do not tell is missing or not wanted.
    #[error("{0}")]
    Statistics(String),
    /// The sizes of the tensors describe no model.
    #[error("{name}: {source}")]
    Model {
        /// The file.
        name: String,
        /// The model's reason.
        source: ModelError,
    },
}

/// All differences between the tensors of a file and those of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors that the model needs and the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the model does not know.
    pub unexpected: Vec<String>,
    /// Tensors of other shapes, and constants of other values, with both in words.
    pub different: Vec<String>,
}

impl Mismatch {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.different.is_empty()
    }

    fn lines(&self) -> Vec<String> {
        let lists =
            [("missing", &self.missing), ("unexpected", &self.unexpected), ("different", &self.different)];
        let line = |(title, list): (&str, &Vec<String>)| format!("  {title}: {}", list.join(", "));
        lists.into_iter().filter(|(_, list)| !list.is_empty()).map(line).collect()
    }
}
