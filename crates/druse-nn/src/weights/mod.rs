//! Weight files: safetensors with a text header, and readers of what other programs write.

mod serialize;
pub mod torch;

use std::collections::BTreeMap;
use std::path::Path;

use druse_crystal::files::{self, Action, FileError};
use safetensors::{Dtype, SafeTensors};

/// Why a weight file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The operating system refused to read or write it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bytes are no complete safetensors file.
    #[error("{name} is not a safetensors file, or it is cut off: {reason}")]
    Format {
        /// The file, or what stands for it.
        name: String,
        /// What the reader stumbled over.
        reason: String,
    },
    /// A tensor that is needed is not there or has another shape.
    #[error("{name}: tensor `{tensor}` {problem}")]
    Tensor {
        /// The file, or what stands for it.
        name: String,
        /// Name of the tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The content of a weight file: named 32-bit tensors (shape, row-major values) and a text header.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WeightFile {
    /// Where it came from, for messages.
    pub name: String,
    /// Header entries.
    pub metadata: BTreeMap<String, String>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl WeightFile {
    /// Parses the bytes of a safetensors file; `name` appears in messages.
    ///
    /// # Errors
    /// [`WeightsError::Format`] for anything that is no complete file of 32-bit floats.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, WeightsError> {
        let format = |reason: String| WeightsError::Format { name: name.to_owned(), reason };
        let (length, header) = SafeTensors::read_metadata(bytes).map_err(|e| format(e.to_string()))?;
        // Behind the header's length and the header; reading it has compared all offsets with what is there.
        let data = &bytes[size_of::<u64>() + length..];
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut tensors = BTreeMap::new();
        for (tensor, info) in header.tensors() {
            if info.dtype != Dtype::F32 {
                return Err(format(format!("tensor `{tensor}` is {:?}, expected F32", info.dtype)));
            }
            let (begin, end) = info.data_offsets;
            let values = data[begin..end].as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
            tensors.insert(tensor, (info.shape.clone(), values));
        }
        Ok(Self { name: name.to_owned(), metadata, tensors })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`WeightsError`] when it cannot be read or is no complete safetensors file.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = files::read(path)?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Writes the file at once ([`files::write_atomic`]), so that `path` always holds a complete file. Equal content gives
    /// equal bytes.
    ///
    /// # Errors
    /// [`WeightsError::File`] when the folder cannot be written or the disk is full; `path` is then unchanged.
    pub fn write(&self, path: &Path) -> Result<(), WeightsError> {
        let content = serialize::serialize(&self.metadata, &self.tensors)
            .map_err(FileError::wrap(Action::Write, path))?;
        Ok(files::write_atomic(path, &content)?)
    }

    /// Takes the tensor `name` of the given shape.
    ///
    /// # Errors
    /// [`WeightsError::Tensor`] when it is missing or has another shape.
    pub fn take(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let wrong = |problem: String| WeightsError::Tensor {
            name: self.name.clone(),
            tensor: name.to_owned(),
            problem,
        };
        let (found, values) = self.tensors.get(name).ok_or_else(|| wrong("is missing".into()))?;
        if found != shape {
            return Err(wrong(format!("has shape {found:?}, expected {shape:?}")));
        }
        Ok(values.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn example() -> WeightFile {
        let mut file = WeightFile { name: "example".into(), ..WeightFile::default() };
        file.metadata.insert("kind".into(), "test".into());
        file.tensors
            .insert("a.weight".into(), (vec![2, 3], vec![1.0, -2.5, 3.0, 4.0, 5.0, f32::MIN_POSITIVE]));
        file.tensors.insert("b".into(), (vec![1], vec![7.0]));
        file
    }

    #[test]
    fn files_survive_a_round_trip() {
        let dir = std::env::temp_dir().join(format!("druse-weights-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("w.safetensors");
        example().write(&path).unwrap();
        let read = WeightFile::read(&path).unwrap();
        assert_eq!((&read.metadata, &read.tensors), (&example().metadata, &example().tensors));
        assert!(read.take("a.weight", &[2, 3]).is_ok());
        assert!(read.take("a.weight", &[3, 2]).unwrap_err().to_string().contains("[2, 3]"));
        assert!(read.take("c", &[1]).is_err());
        let bytes = fs::read(&path).unwrap();
        read.write(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "the same content, the same bytes");
        for cut in [0, 4, 20, bytes.len() - 1] {
            assert!(matches!(WeightFile::from_bytes(&bytes[..cut], "cut"), Err(WeightsError::Format { .. })));
        }
        let nowhere = dir.join("missing").join("w.safetensors");
        assert!(matches!(example().write(&nowhere), Err(WeightsError::File(_))));
        fs::remove_dir_all(&dir).unwrap();
    }
}
