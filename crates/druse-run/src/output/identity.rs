//! What identifies a run.

use std::path::Path;

use druse_crystal::files;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::RUN_FILES;
use crate::RunError;
use crate::folder::RunFolder;

/// The identity of a run that writes structures, kept beside its output: what decides them, and the share that the folder holds.
pub trait RunIdentity: Serialize + DeserializeOwned {
    /// Name of its file.
    const FILE: &'static str;
    /// What the folder holds, in words.
    const WHAT: &'static str;
    /// The property of structures that are made to have a space group (see [`StructureWriter`](super::StructureWriter)).
    const SYMMETRIC: &'static str;

    /// Number of structures over all shards.
    fn count(&self) -> u64;

    /// That of the whole run, in place of a share.
    #[must_use]
    fn whole(self) -> Self;

    /// All that has to be equal, by name and as text.
    fn values(&self) -> Vec<(&'static str, String)>;

    /// The first key in which two runs differ, with both values.
    fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let pairs = self.values().into_iter().zip(other.values());
        pairs.map(|((key, a), (_, b))| (key, a, b)).find(|(_, a, b)| a != b)
    }

    /// Reads the identity of a folder; `None` when there is none.
    ///
    /// # Errors
    /// [`RunError::Damaged`] when it does not parse.
    fn read(folder: &Path) -> Result<Option<Self>, RunError> {
        let path = folder.join(Self::FILE);
        match files::read_if_exists(&path)? {
            Some(bytes) => match serde_json::from_slice(&bytes) {
                Ok(identity) => Ok(Some(identity)),
                Err(e) => Err(RunError::Damaged { path, reason: e.to_string() }),
            },
            None => Ok(None),
        }
    }

    /// Writes the identity of a folder.
    ///
    /// # Errors
    /// [`RunError::Write`].
    fn write(&self, folder: &Path) -> Result<(), RunError> {
        let text = serde_json::to_vec_pretty(self).expect("an identity is plain text and numbers");
        Ok(files::write_atomic(&folder.join(Self::FILE), &text)?)
    }

    /// Makes the folder that of this run, or, where the run is to be continued, sees that it is.
    ///
    /// # Errors
    /// [`RunError::Occupied`] when it holds a run that is not to be continued, or one of another kind; [`RunError::Changed`] when it holds another.
    fn claim(&self, folder: &RunFolder, resume: bool) -> Result<(), RunError> {
        let path = || folder.path().to_owned();
        let others = RUN_FILES.iter().filter(|name| **name != Self::FILE);
        if others.map(|name| folder.join(name)).any(|file| file.is_file()) {
            return Err(RunError::Occupied { path: path(), what: "a run of another kind" });
        }
        match Self::read(folder.path())? {
            None => self.write(folder.path()),
            Some(_) if !resume => Err(RunError::Occupied { path: path(), what: Self::WHAT }),
            Some(stored) => match stored.difference(self) {
                Some((key, stored, given)) => {
                    Err(RunError::Changed { path: path(), key: key.into(), stored, given })
                }
                None => Ok(()),
            },
        }
    }
}
