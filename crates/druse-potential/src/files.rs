//! What weight files of all potentials have in common.

use druse_nn::weights::{WeightFile, WeightsError};

/// Entry of the header that names the format, and its value.
const FORMAT: (&str, &str) = ("format", "druse potential 1");
/// Entry of the header that names the kind of network.
const KIND: &str = "kind";

/// Why there is no potential in a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read, is no weight file, or lacks a tensor.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The file holds something else, or sizes that make no network.
    #[error("{name} holds no {kind} potential: {problem}")]
    Content {
        /// The file, or what stands for it.
        name: String,
        /// Kind of the potential that was looked for.
        kind: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The kind of network that a file says it holds.
pub(crate) fn kind(file: &WeightFile) -> Option<&str> {
    file.metadata.get(KIND).map(String::as_str)
}

/// Writes format and kind into the header of a file.
pub(crate) fn mark(file: &mut WeightFile, kind: &str) {
    for (key, value) in [FORMAT, (KIND, kind)] {
        file.metadata.insert(key.into(), value.into());
    }
}

/// Checks format and kind in the header of a file.
pub(crate) fn check_mark(file: &WeightFile, kind: &str) -> Result<(), LoadError> {
    for (key, value) in [FORMAT, (KIND, kind)] {
        match file.metadata.get(key) {
            Some(found) if found == value => {}
            Some(found) => {
                let problem = format!("its {key} is `{found}`, this version reads `{value}`");
                return Err(content(file, kind, problem));
            }
            None => return Err(content(file, kind, format!("its header names no {key}"))),
        }
    }
    Ok(())
}

/// A file with other content.
pub(crate) fn content(file: &WeightFile, kind: &str, problem: String) -> LoadError {
    LoadError::Content { name: file.name.clone(), kind: kind.to_owned(), problem }
}

/// The numbers of a tensor, if it has so many and all are finite.
pub(crate) fn numbers<'a>(file: &'a WeightFile, name: &str, len: usize) -> Result<&'a [f32], LoadError> {
    let wrong = |problem| WeightsError::Tensor { name: file.name.clone(), tensor: name.to_owned(), problem };
    match file.tensors.get(name).map(|(_, values)| values) {
        None => Err(wrong("is missing".to_owned()).into()),
        Some(values) if values.len() != len => {
            Err(wrong(format!("has {} numbers, expected {len}", values.len())).into())
        }
        Some(values) if values.iter().any(|x| !x.is_finite()) => {
            Err(wrong("holds a value that is no finite number".to_owned()).into())
        }
        Some(values) => Ok(values),
    }
}
