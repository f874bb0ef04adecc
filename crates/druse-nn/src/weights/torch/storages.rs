//! Where the numbers of tensors lie in a file.

use super::archive::{Archive, ArchiveError};
use super::legacy::Places;

/// The storages of a file, by key.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Storages {
    /// Entries of a zip archive.
    Archive {
        archive: Archive,
        /// Folder of all entries, with its `/`.
        folder: String,
    },
    /// Ranges of bytes.
    Listed { bytes: Vec<u8>, places: Places },
}

impl Storages {
    /// Size of the file in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Archive { archive, .. } => archive.size(),
            Self::Listed { bytes, .. } => bytes.len(),
        }
    }

    /// What a storage is called in messages.
    pub fn name(&self, key: &str) -> String {
        match self {
            Self::Archive { folder, .. } => format!("{folder}data/{key}"),
            Self::Listed { .. } => key.to_owned(),
        }
    }

    /// The bytes of a storage.
    pub fn get(&self, key: &str) -> Result<&[u8], ArchiveError> {
        match self {
            Self::Archive { archive, .. } => archive.get(&self.name(key)),
            Self::Listed { bytes, places } => match places.get(key) {
                Some(place) => Ok(&bytes[place.clone()]),
                None => Err(ArchiveError::Missing(key.to_owned())),
            },
        }
    }
}
