//! A run's folder: who may write to it, and files that grow line by line.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use druse_crystal::files;

use crate::RunError;

/// Name of the lock file.
const LOCK: &str = ".lock";

/// A folder that this process alone writes to, until it is dropped. One that it has made and that is still empty then goes.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Whether the folder was not there before.
    made: bool,
    // Holds the lock; the system releases it with the process, so no stale lock outlives a crash.
    _lock: File,
}

impl RunFolder {
    /// Creates the folder where it does not exist and takes its lock.
    ///
    /// # Errors
    /// [`RunError::Write`] when it cannot be written, [`RunError::Locked`] when another process works in it.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let made = !path.exists();
        files::create_dir_all(path)?;
        let file = path.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let mut lock = files::open_with(&file, &options)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(RunError::Locked { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(RunError::Write { path: file, source }),
        }
        lock.set_len(0)
            .and_then(|()| lock.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(lock, "{}", std::process::id()))
            .map_err(RunError::write(&file))?;
        Ok(Self { path: path.to_owned(), made, _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        let only_lock = |path: &Path| {
            files::list(path).is_ok_and(|all| all.iter().all(|entry| entry.file_name() == LOCK))
        };
        // What cannot be removed stays, empty as it is.
        if self.made && only_lock(&self.path) {
            let _ = files::remove(&self.path.join(LOCK)).and_then(|()| files::remove_dir(&self.path));
        }
    }
}

/// The complete lines of a file that a killed process may have left with half a line at its end.
///
/// # Errors
/// [`RunError::Read`]; a file that does not exist has no lines.
pub fn complete_lines(path: &Path) -> Result<Vec<String>, RunError> {
    let Some(bytes) = files::read_if_exists(path)? else { return Ok(Vec::new()) };
    let end = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    Ok(String::from_utf8_lossy(&bytes[..end]).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_has_one_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = RunFolder::open(&path).unwrap();
        match RunFolder::open(&path) {
            Err(RunError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        fs::write(path.join("kept"), "").unwrap();
        drop(first);
        // A lock file left behind by a process that is gone does not matter.
        fs::write(path.join(LOCK), "4000000000\n").unwrap();
        RunFolder::open(&path).unwrap();
    }

    #[test]
    fn a_new_folder_that_stays_empty_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new"), dir.path().join("old"));
        fs::create_dir(&old).unwrap();
        for path in [&new, &old] {
            drop(RunFolder::open(path).unwrap());
        }
        assert!(!new.exists() && old.exists());
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::write(&path, "x").unwrap();
        assert!(matches!(RunFolder::open(&path), Err(RunError::Write { .. })));
    }

    #[test]
    fn half_a_line_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.jsonl");
        fs::write(&path, "{\"a\":1}\n{\"a\":2}\n{\"a\"").unwrap();
        assert_eq!(complete_lines(&path).unwrap(), ["{\"a\":1}", "{\"a\":2}"]);
        fs::write(&path, "{\"a\"").unwrap();
        assert!(complete_lines(&path).unwrap().is_empty());
        assert!(complete_lines(&dir.path().join("none")).unwrap().is_empty());
    }
}
