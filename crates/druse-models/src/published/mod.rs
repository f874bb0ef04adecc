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

use druse_data::Benchmark;
use druse_nn::weights::torch::{TorchError, TorchFile};

use crate::settings::ModelSettings;
use crate::{Model, ModelError, Standardizer};

/// What a published checkpoint was trained on: its weights do not tell.
#[derive(Debug, Clone, Default)]
pub struct Training {
    /// The published data set. Its scalers are used where no others are given.
    pub data_set: Option<Benchmark>,
    /// The scaler of lattices that lies beside the checkpoint.
    pub lattice_scaler: Option<TorchFile>,
    /// The scaler of the property that lies beside the checkpoint.
    pub property_scaler: Option<TorchFile>,
    /// Name of the property; that of the data set, where none is given.
    pub property: Option<String>,
}

impl Training {
    pub(crate) fn lattice(&self) -> Result<Standardizer, PublishedError> {
        match (&self.lattice_scaler, self.data_set) {
            (Some(file), _) => read_scaler(file, 6),
            (None, Some(set)) => Ok(lattice_scaler(set)),
            (None, None) => Err(PublishedError::Statistics(
                "neither the published data set nor the scaler of lattices is given, and the weights do not tell it"
                    .into(),
            )),
        }
    }

    pub(crate) fn property(&self) -> Result<(String, Standardizer), PublishedError> {
        let of_set = self.data_set.map(Benchmark::property);
        let name = self.property.clone().or_else(|| of_set.map(str::to_owned));
        let missing = |what| {
            Err(PublishedError::Statistics(format!("the model predicts a property, but {what} is not given")))
        };
        let Some(name) = name else { return missing("its name") };
        match (&self.property_scaler, self.data_set) {
            (Some(file), _) => Ok((name, read_scaler(file, 1)?)),
            (None, Some(set)) if name == set.property() => Ok((name, property_scaler(set))),
            _ => missing("its scaler"),
        }
    }
}

/// A published checkpoint, read.
pub struct Imported {
    /// The model with its statistics.
    pub model: Model,
    /// Its settings.
    pub settings: ModelSettings,
    /// The preset that has what tensors do not tell: how it was trained.
    pub preset: &'static str,
    /// Weights in the order of its parameters.
    pub weights: Vec<Vec<f32>>,
    /// Tensors that were left out on purpose.
    pub ignored: Vec<Ignored>,
    /// What its user should know.
    pub warnings: Vec<String>,
}

/// Reads a checkpoint of the published code of a kind.
///
/// # Errors
/// [`PublishedError`] when a file cannot be read, a tensor is missing, unexpected or different, or the training lacks what
/// the model needs.
pub type Import = fn(&TorchFile, &Training) -> Result<Imported, PublishedError>;

/// A model read from a published checkpoint.
pub struct PublishedModel<M> {
    /// The model with its statistics.
    pub model: M,
    /// Weights in the order of its parameters.
    pub weights: Vec<Vec<f32>>,
    /// Tensors that were left out on purpose.
    pub ignored: Vec<Ignored>,
    /// What its user should know.
    pub warnings: Vec<String>,
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
