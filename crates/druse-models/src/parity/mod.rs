//! Comparison with reference evaluations of published networks.
//!
//! A reference file lists the tensors of a network with a formula for their values, input crystals, and what the
//! published implementation computed for them in double precision. The network is built from the file's
//! configuration, filled by the formula and evaluated; every listed output is compared.

pub(crate) mod file;
pub(crate) mod report;

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde_json::Value;

pub use report::{OutputDifference, ParityReport};

use self::file::File;
use self::report::Outputs;
use crate::ModelError;
use crate::registry::{Kind, Registry};

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

/// Builds a part of the network of a file.
pub(crate) type Build = fn(&File, &Device) -> Result<Box<dyn Part>, ParityError>;

/// Evaluates a reference file (its JSON text) on a device.
///
/// # Errors
/// [`ParityError`] when the text is no reference file or the network cannot be built from it.
pub fn compare(registry: &Registry, text: &str, device: &Device) -> Result<ParityReport, ParityError> {
    let head: Value = serde_json::from_str(text).map_err(file::malformed)?;
    let name = head
        .get("network")
        .and_then(Value::as_str)
        .ok_or_else(|| ParityError::Format("it names no `network`".into()))?;
    let with_parts = || registry.kinds().iter().filter(|kind| !kind.parity().is_empty());
    let Some(kind) = with_parts().find(|kind| kind.name() == name) else {
        let available = with_parts().map(Kind::name).collect::<Vec<_>>().join(", ");
        return Err(ParityError::Network { name: name.to_owned(), available });
    };
    let file = File::new(head)?;
    let parts = kind.parity().iter().map(|build| build(&file, device)).collect::<Result<Vec<_>, _>>()?;
    let mut report = ParityReport { outputs: Vec::new(), skipped: Vec::new(), crystals: file.inputs.len() };
    for (input, reference) in file.inputs.iter().zip(&file.outputs) {
        let mut ours = Outputs::new();
        for part in &parts {
            ours.extend(part.outputs(input, reference)?);
        }
        for (name, value) in reference {
            match ours.get(name.as_str()) {
                Some(values) => report.record(name, values, value),
                None => report.skip(name),
            }
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_files_are_refused() {
        let (registry, device) = (Registry::builtin(), druse_nn::device::cpu());
        let compare = |text: &str, device: &Device| compare(&registry, text, device);
        assert!(matches!(compare("{", &device), Err(ParityError::Format(_))));
        assert!(matches!(compare("{}", &device), Err(ParityError::Format(_))));
        let unknown = compare(r#"{"network": "alexnet"}"#, &device).unwrap_err();
        assert!(unknown.to_string().contains("gemsdiff"), "{unknown}");
        for network in ["cdvae", "gemsdiff"] {
            let text = format!(r#"{{"network": "{network}"}}"#);
            assert!(matches!(compare(&text, &device), Err(ParityError::Format(_))));
        }
    }
}
