//! Reference evaluations of published networks: the form of their files, what a network gives to be compared with them, and
//! what a comparison finds.

pub(crate) mod bonds;
pub(crate) mod file;
pub(crate) mod report;

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde_json::Value;

pub use report::{OutputDifference, ParityReport};

use self::file::File;
use self::report::Outputs;
use crate::ModelError;

/// Why a reference file could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    /// The text is no reference file.
    #[error("not a parity file: {0}")]
    Format(String),
    /// The file describes a network that this program does not have.
    #[error("network `{name}` is not available; available: {available}")]
    Network {
        /// The name in the file.
        name: String,
        /// The names that are known.
        available: String,
    },
    /// A tensor of the network is not listed, or has another shape.
    #[error("parameter `{name}`: {problem}")]
    Parameter {
        /// Name of the tensor.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The network cannot be built or evaluated.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A network, or a part of one, filled from a reference file.
pub(crate) trait Part {
    /// The outputs for one input crystal, by their name in the file. Parts of a network give different outputs. The
    /// reference is there for choices that the file makes by what it lists, such as the order of equal things.
    fn outputs(&self, input: &Value, reference: &BTreeMap<String, Value>) -> Result<Outputs, ParityError>;
}

/// The text of a file that lies beside a reference file, by its name, or why there is none.
pub type Beside<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Reference files of a form of their own.
#[derive(Clone, Copy)]
pub(crate) struct ReferenceFiles {
    /// What the networks of these files are called.
    pub name: &'static str,
    /// Whether a file is one of them.
    pub recognizes: fn(&Value) -> bool,
    /// Evaluates one.
    pub compare: fn(&Value, Beside<'_>, &Device) -> Result<ParityReport, ParityError>,
}

/// Builds a part of the network of a file.
pub(crate) type Build = fn(&File, &Device) -> Result<Box<dyn Part>, ParityError>;
