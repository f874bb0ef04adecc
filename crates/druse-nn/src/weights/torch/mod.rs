//! Files of `torch.save`: zip archives of a pickle, which describes tensors, and one entry for each storage; before version 1.6
//! pickles and storages one after the other. Weights that were converted to safetensors are read as the same.
//!
//! The pickle is read into data; nothing in a file is ever executed. The reader is our own because readers of weights alone
//! refuse two things that published runs have: dictionaries whose keys are classes (PyTorch Lightning before 1.5 keeps the
//! states of callbacks so), and objects with tensors for attributes (scalers).

mod archive;
mod error;
mod legacy;
mod pickle;
mod safetensors;
mod storages;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

use druse_crystal::files::{self, FileError};

pub use archive::ArchiveError;
pub use error::PickleError;
pub use legacy::LegacyError;
pub use value::{ElementType, TorchTensor};

use archive::Archive;
use storages::Storages;
use value::{Id, Value, Values};

/// Why a file of `torch.save` could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file has the format of PyTorch before version 1.6, and cannot be read.
    #[error("{name} has the format of PyTorch before version 1.6: {source}")]
    Legacy {
        /// The file, or what stands for it.
        name: String,
        /// What the reader stumbled over.
        source: LegacyError,
    },
    /// The file looks like safetensors, and is none.
    #[error("{name} is not a safetensors file, or it is cut off: {reason}")]
    Safetensors {
        /// The file, or what stands for it.
        name: String,
        /// What the reader stumbled over.
        reason: String,
    },
    /// The bytes are no archive of PyTorch.
    #[error("{name} is not a file of torch.save: {source}")]
    Archive {
        /// The file, or what stands for it.
        name: String,
        /// What the reader stumbled over.
        source: ArchiveError,
    },
    /// The description of the content cannot be read.
    #[error("{name}: the pickle in it cannot be read at byte {position}: {source}")]
    Pickle {
        /// The file, or what stands for it.
        name: String,
        /// Start of the instruction.
        position: usize,
        /// What the reader stumbled over.
        source: PickleError,
    },
    /// The file holds something else than was asked for.
    #[error("{name} {problem}")]
    Content {
        /// The file, or what stands for it.
        name: String,
        /// What it holds or lacks.
        problem: String,
    },
}

/// A file of `torch.save`, or its weights in a safetensors file.
#[derive(Debug, Clone, PartialEq)]
pub struct TorchFile {
    name: String,
    storages: Storages,
    values: Values,
    root: Id,
}

/// Values that [`TorchFile::plain`] gives at most: references can repeat a small file's values any number of times.
const MAX_PLAIN: usize = 100_000;

impl TorchFile {
    /// Parses the bytes of a file; `name` appears in messages.
    ///
    /// # Errors
    /// [`TorchError`] for anything that PyTorch did not write on a little-endian machine, and that is no safetensors file.
    pub fn from_bytes(bytes: Vec<u8>, name: &str) -> Result<Self, TorchError> {
        let name = name.to_owned();
        if bytes.starts_with(legacy::MAGIC) {
            return match legacy::read(&bytes) {
                Ok((values, root, places)) => {
                    Ok(Self { name, storages: Storages::Listed { bytes, places }, values, root })
                }
                Err(source) => Err(TorchError::Legacy { name, source }),
            };
        }
        if safetensors::recognizes(&bytes) {
            return match safetensors::read(&bytes) {
                Ok((values, root, places)) => {
                    Ok(Self { name, storages: Storages::Listed { bytes, places }, values, root })
                }
                Err(reason) => Err(TorchError::Safetensors { name, reason }),
            };
        }
        let archive = match Archive::new(bytes) {
            Ok(archive) => archive,
            Err(source) => return Err(TorchError::Archive { name, source }),
        };
        const PICKLE: &str = "data.pkl";
        let folder = archive.names().find_map(|entry| {
            entry.strip_suffix(PICKLE).filter(|folder| folder.is_empty() || folder.ends_with('/'))
        });
        let Some(folder) = folder.map(str::to_owned) else {
            return Err(TorchError::Archive { name, source: ArchiveError::Missing(PICKLE.into()) });
        };
        // Older files lack the entry.
        if archive.get(&format!("{folder}byteorder")).is_ok_and(|order| order != b"little") {
            return Err(TorchError::Content { name, problem: "was written by a big-endian machine".into() });
        }
        let read = match archive.get(&format!("{folder}{PICKLE}")) {
            Ok(bytes) => pickle::read(bytes),
            Err(source) => return Err(TorchError::Archive { name, source }),
        };
        match read {
            Ok((values, root)) => {
                Ok(Self { name, storages: Storages::Archive { archive, folder }, values, root })
            }
            Err((position, source)) => Err(TorchError::Pickle { name, position, source }),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`TorchError`] when it cannot be read; see [`TorchFile::from_bytes`].
    pub fn read(path: &Path) -> Result<Self, TorchError> {
        Self::from_bytes(files::read(path)?, &path.display().to_string())
    }

    /// Where it came from, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> usize {
        self.storages.size()
    }

    fn content(&self, problem: impl Into<String>) -> TorchError {
        TorchError::Content { name: self.name.clone(), problem: problem.into() }
    }

    /// The tensors of a dictionary with texts for keys.
    fn tensors(&self, dict: Id) -> BTreeMap<&str, &TorchTensor> {
        let Value::Dict(pairs) = self.values.get(dict) else { return BTreeMap::new() };
        let named = pairs.iter().filter_map(|&(key, value)| match self.values.get(value) {
            Value::Tensor(tensor) => Some((&**self.values.text(key)?, tensor.as_ref())),
            _ => None,
        });
        named.collect()
    }

    /// The weights: the tensors of the dictionary `state_dict`, where there is one, else those of the whole file.
    ///
    /// # Errors
    /// [`TorchError::Content`] when the file holds none.
    pub fn state_dict(&self) -> Result<BTreeMap<&str, &TorchTensor>, TorchError> {
        let dict = self.values.entry(self.root, "state_dict").unwrap_or(self.root);
        let tensors = self.tensors(dict);
        match tensors.is_empty() {
            true => Err(self.content("holds no weights: no dictionary of tensors, alone or as `state_dict`")),
            false => Ok(tensors),
        }
    }

    /// The tensors of the dictionary under a key of the whole file.
    ///
    /// # Errors
    /// [`TorchError::Content`] when there is no such dictionary, or no tensor in it.
    pub fn dictionary(&self, key: &str) -> Result<BTreeMap<&str, &TorchTensor>, TorchError> {
        let tensors = self.values.entry(self.root, key).map(|dict| self.tensors(dict)).unwrap_or_default();
        match tensors.is_empty() {
            true => Err(self.content(format!("holds no dictionary of tensors as `{key}`"))),
            false => Ok(tensors),
        }
    }

    /// The value under a key of the whole file where it is plain: a text, a number, a list or dictionary of such. What is
    /// not plain in it is null, and so is what lies deeper than any settings do.
    pub fn plain(&self, key: &str) -> Option<serde_json::Value> {
        let mut left = MAX_PLAIN;
        Some(self.values.plain(self.values.entry(self.root, key)?, 8, &mut left))
    }

    /// The tensors among the attributes of the object that the file holds, and the name of its class.
    ///
    /// # Errors
    /// [`TorchError::Content`] when the file holds no object.
    pub fn attributes(&self) -> Result<(String, BTreeMap<&str, &TorchTensor>), TorchError> {
        match self.values.get(self.root) {
            Value::Object(object) => {
                let tensors = object.state.map(|state| self.tensors(state)).unwrap_or_default();
                let class = object.class.as_ref().map(|c| format!("{}.{}", c.module, c.name));
                Ok((class.unwrap_or_default(), tensors))
            }
            _ => Err(self.content("holds no object with attributes")),
        }
    }

    /// The integer under a key of the whole file; checkpoints of PyTorch Lightning keep `epoch` and `global_step` there.
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.values.get(self.values.entry(self.root, key)?) {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The numbers of a tensor of this file, row-major; integers beyond 2^53 are rounded.
    ///
    /// # Errors
    /// [`TorchError`] when the storage is missing, damaged or too short, or its type is unknown.
    pub fn numbers(&self, tensor: &TorchTensor) -> Result<Vec<f64>, TorchError> {
        let entry = self.storages.name(&tensor.storage);
        let bytes = self
            .storages
            .get(&tensor.storage)
            .map_err(|source| TorchError::Archive { name: self.name.clone(), source })?;
        let element = tensor
            .element
            .ok_or_else(|| self.content(format!("has a storage of unknown type: `{entry}`")))?;
        let (size, stored) = (element.size(), bytes.len() / element.size());
        if stored < tensor.storage_len {
            let (len, shape) = (tensor.storage_len, &tensor.shape);
            return Err(self.content(format!(
                "has a tensor of shape {shape:?} whose storage `{entry}` ends after {stored} of {len} elements"
            )));
        }
        Ok(tensor.positions().map(|i| element.number(&bytes[i * size..])).collect())
    }
}
