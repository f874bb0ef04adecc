//! Comparison with reference evaluations of published networks.
//!
//! A reference file lists the tensors of a network with a formula for their values, input crystals, and what the
//! published implementation computed for them in double precision. The network is built from the file's
//! configuration, filled by the formula and evaluated; every listed output is compared.

use burn::tensor::Device;
use serde_json::Value;

use crate::kinds::{Kind, Registry};
use crate::reference::file::{self, File};
use crate::reference::report::Outputs;
pub use crate::reference::{Beside, OutputDifference, ParityError, ParityReport};

/// Evaluates a reference file (its JSON text) on a device.
///
/// # Errors
/// [`ParityError`] when the text is no reference file, needs another one, or the network cannot be built from it.
pub fn compare(registry: &Registry, text: &str, device: &Device) -> Result<ParityReport, ParityError> {
    compare_beside(registry, text, &|_| Err("only the text of the first file is given".into()), device)
}

/// [`compare`] for a file that may name crystals of another file beside it.
///
/// # Errors
/// As [`compare`].
pub fn compare_beside(
    registry: &Registry,
    text: &str,
    beside: Beside<'_>,
    device: &Device,
) -> Result<ParityReport, ParityError> {
    let head: Value = serde_json::from_str(text).map_err(file::malformed)?;
    let forms = || registry.kinds().iter().filter_map(Kind::reference_files);
    if let Some(files) = forms().find(|files| (files.recognizes)(&head)) {
        return (files.compare)(&head, beside, device);
    }
    let name = head
        .get("network")
        .and_then(Value::as_str)
        .ok_or_else(|| ParityError::Format("it names no `network`".into()))?;
    let with_parts = || registry.kinds().iter().filter(|kind| !kind.parity().is_empty());
    let Some(kind) = with_parts().find(|kind| kind.reference_name() == name) else {
        let available = with_parts().map(Kind::reference_name).chain(forms().map(|files| files.name));
        let available = available.collect::<Vec<_>>().join(", ");
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
