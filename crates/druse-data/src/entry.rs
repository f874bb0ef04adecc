//! One structure of a data set, or why there is none.

use std::fmt;
use std::path::PathBuf;

use druse_crystal::Structure;
use serde::{Deserialize, Serialize};

/// One structure of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Identifier: the id column of a table, the data block, or the file's name.
    pub id: String,
    /// The crystal, with the columns of the set as its properties, each in the form of
    /// [`properties::scalar`](crate::properties::scalar); a property without value is absent. Site labels are not kept.
    pub structure: Structure,
}

/// A structure of the source that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// Row of the table or number of the structure in the file, from 1 (a header does not count).
    pub row: Option<usize>,
    /// Line of the file at which the row begins, from 1.
    pub line: Option<usize>,
    /// Identifier, where it could be read.
    pub id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        if let Some(id) = &self.id {
            write!(f, ", id {id}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// The name of a row without one.
pub(crate) fn default_id(row: Option<usize>) -> String {
    format!("row-{}", row.unwrap_or(1))
}

/// Half of the BLAKE3 sum of some bytes: what tells many texts apart without keeping them.
pub(crate) fn fingerprint(bytes: &[u8]) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    u128::from_le_bytes(half)
}
