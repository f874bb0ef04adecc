//! Reading and writing files, with errors that say what was tried on which path.
//!
//! Every crate of the workspace goes through this module; `clippy.toml` refuses the functions of [`std::fs`] elsewhere.
//! What readers must never see half of is written by [`write_atomic`].
#![allow(clippy::disallowed_methods)]

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What was tried on a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Opening or reading a file, listing a folder, asking for the size.
    Read,
    /// Creating, writing, syncing, renaming or removing.
    Write,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// A file or folder that the system refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub struct FileError {
    /// The file or folder.
    pub path: PathBuf,
    /// What was tried.
    pub action: Action,
    /// The system's reason.
    pub source: io::Error,
}

impl FileError {
    /// Whether there is no such file or folder.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == ErrorKind::NotFound
    }

    /// Adds path and action to an I/O error, as an argument of `map_err`.
    pub fn wrap(action: Action, path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self { path: path.to_owned(), action, source }
    }
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    FileError::wrap(Action::Read, path)
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> FileError + '_ {
    FileError::wrap(Action::Write, path)
}

/// The bytes that stand in for a file, with its name.
static STAND_IN: OnceLock<(PathBuf, Vec<u8>)> = OnceLock::new();

/// From now on reading `path` gives these bytes, whatever lies there: how a program hands what came through its standard
/// input to all that reads files. It can do so once.
///
/// # Errors
/// [`FileError`] where there are such bytes already.
pub fn stand_in(path: PathBuf, bytes: Vec<u8>) -> Result<(), FileError> {
    STAND_IN
        .set((path, bytes))
        .map_err(|(path, _)| reading(&path)(io::Error::other("another input stands in for a file already")))
}

/// The bytes that stand in for a file; `None` for a file that is read from the disk.
fn standing_in(path: &Path) -> Option<&'static [u8]> {
    STAND_IN.get().filter(|(name, _)| name == path).map(|(_, bytes)| bytes.as_slice())
}

/// The bytes of a file.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    match standing_in(path) {
        Some(bytes) => Ok(bytes.to_vec()),
        None => fs::read(path).map_err(reading(path)),
    }
}

/// A file to be read bit by bit.
///
/// # Errors
/// [`FileError`] when it cannot be opened.
pub fn reader(path: &Path) -> Result<Box<dyn BufRead + Send>, FileError> {
    match standing_in(path) {
        Some(bytes) => Ok(Box::new(bytes)),
        None => Ok(Box::new(BufReader::new(open(path)?))),
    }
}

/// Whether there is a file or folder, as [`Path::exists`].
pub fn exists(path: &Path) -> bool {
    standing_in(path).is_some() || path.exists()
}

/// Whether there is a file, as [`Path::is_file`].
pub fn is_file(path: &Path) -> bool {
    standing_in(path).is_some() || path.is_file()
}

/// The bytes of a file, or `None` where there is no such file.
///
/// # Errors
/// [`FileError`] for a file that is there and cannot be read.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// The text of a file in UTF-8.
///
/// # Errors
/// [`FileError`], with the kind [`ErrorKind::InvalidData`] for other bytes.
pub fn read_to_string(path: &Path) -> Result<String, FileError> {
    match standing_in(path) {
        Some(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|e| reading(path)(io::Error::new(ErrorKind::InvalidData, e.utf8_error()))),
        None => fs::read_to_string(path).map_err(reading(path)),
    }
}

/// Opens a file for reading.
///
/// # Errors
/// [`FileError`].
pub fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(reading(path))
}

/// Opens a file as the options say; for what the other functions do not cover (locks, appending).
///
/// # Errors
/// [`FileError`], as one of writing.
pub fn open_with(path: &Path, options: &OpenOptions) -> Result<File, FileError> {
    options.open(path).map_err(writing(path))
}

/// Opens a file to append to it; it is created where there is none.
///
/// # Errors
/// [`FileError`].
pub fn append(path: &Path) -> Result<File, FileError> {
    open_with(path, OpenOptions::new().create(true).append(true))
}

/// Creates a file, or empties the one that is there.
///
/// # Errors
/// [`FileError`].
pub fn create(path: &Path) -> Result<File, FileError> {
    File::create(path).map_err(writing(path))
}

/// Whether the path is a folder, as [`Path::is_dir`], but an error where it cannot be told.
///
/// # Errors
/// [`FileError`], also when there is no such file or folder.
pub fn is_dir(path: &Path) -> Result<bool, FileError> {
    match standing_in(path) {
        Some(_) => Ok(false),
        None => fs::metadata(path).map(|m| m.is_dir()).map_err(reading(path)),
    }
}

/// Length of a file in bytes.
///
/// # Errors
/// [`FileError`].
pub fn size(path: &Path) -> Result<u64, FileError> {
    match standing_in(path) {
        Some(bytes) => Ok(bytes.len() as u64),
        None => fs::metadata(path).map(|m| m.len()).map_err(reading(path)),
    }
}

/// What lies in a folder, in no particular order.
///
/// # Errors
/// [`FileError`].
pub fn list(folder: &Path) -> Result<Vec<fs::DirEntry>, FileError> {
    fs::read_dir(folder).and_then(Iterator::collect).map_err(reading(folder))
}

/// Creates a folder and those above it; one that is there is no error.
///
/// # Errors
/// [`FileError`].
pub fn create_dir_all(folder: &Path) -> Result<(), FileError> {
    fs::create_dir_all(folder).map_err(writing(folder))
}

/// Gives a file another name on the same file system; a file of that name is replaced.
///
/// # Errors
/// [`FileError`], which names the new path.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(writing(to))
}

/// Removes a file.
///
/// # Errors
/// [`FileError`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    fs::remove_file(path).map_err(writing(path))
}

/// Removes a folder that is empty.
///
/// # Errors
/// [`FileError`], also when it is not empty.
pub fn remove_dir(folder: &Path) -> Result<(), FileError> {
    fs::remove_dir(folder).map_err(writing(folder))
}

/// Writes a file that may be lost in a crash of the machine: it is not synced. When writing fails nothing stays.
///
/// # Errors
/// [`FileError`].
pub fn write(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let mut file = create(path)?;
    file.write_all(content).map_err(|source| {
        // Half a file would read as a broken one; the error that counts is the first.
        let _ = fs::remove_file(path);
        writing(path)(source)
    })
}

/// Writes a whole file at once: readers see the old content or the new one, never a part, and after a crash of the
/// machine one of the two is there. See [`write_atomic_with`].
///
/// # Errors
/// [`FileError`]; an existing file is then unchanged.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_atomic_with(path, |file| file.write_all(content))
}

/// Fills a new file under a temporary name in the same folder, syncs it, renames it and syncs the folder.
///
/// The temporary name (hidden, `.NAME.PID-NUMBER.tmp`) is one that no other file has, so that several processes, also
/// of several machines, can write the same file; the last one wins.
///
/// # Errors
/// [`FileError`] with the system's or the writer's reason; the temporary file is removed and an existing file unchanged.
pub fn write_atomic_with(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let (temporary, mut file) = create_temporary(path).map_err(writing(path))?;
    let filled = fill(&mut file).and_then(|()| file.sync_all());
    drop(file);
    filled.and_then(|()| fs::rename(&temporary, path)).map_err(|source| {
        // The first error is the one that matters; a left-over file would only take space.
        let _ = fs::remove_file(&temporary);
        writing(path)(source)
    })?;
    sync_folder(path).map_err(writing(path))
}

/// A new file beside `path`, created under a name that was free.
fn create_temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path does not name a file"))?;
    loop {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}-{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let temporary = path.with_file_name(hidden);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // Left behind by a process of the same number, here or on another machine.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (temporary, file)),
        }
    }
}

/// Makes the new name of a file survive a crash of the machine.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Folders that may be written but not read, and file systems that cannot sync folders: the file is in its place.
        Err(e)
            if matches!(
                e.kind(),
                ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Other systems have no way to sync a folder.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(folder: &Path) -> usize {
        list(folder).unwrap().len()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        let error = write_atomic_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert!(error.unwrap_err().to_string().contains("no more"));
        assert_eq!((read(&path).unwrap(), count(dir.path())), (b"two".to_vec(), 1));
    }

    #[test]
    fn bytes_stand_in_for_a_file_once() {
        let path = Path::new("no such folder/handed over.txt");
        assert!(!exists(path) && read(path).is_err());
        stand_in(path.to_owned(), b"one\ntwo\n".to_vec()).unwrap();
        assert!(exists(path) && is_file(path) && !is_dir(path).unwrap());
        assert_eq!((read(path).unwrap(), size(path).unwrap()), (b"one\ntwo\n".to_vec(), 8));
        assert_eq!(read_to_string(path).unwrap(), "one\ntwo\n");
        assert_eq!(reader(path).unwrap().lines().map(Result::unwrap).collect::<Vec<_>>(), ["one", "two"]);
        assert!(stand_in("another".into(), Vec::new()).is_err());
        assert!(read(Path::new("no such folder/other.txt")).is_err());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_atomic(&dir.path().join("missing/f.txt"), b"x").unwrap_err();
        assert!(error.is_not_found() && error.action == Action::Write, "{error}");
        assert!(error.to_string().contains("missing/f.txt"), "{error}");
        // A folder stands where the file should be.
        let taken = dir.path().join("taken");
        create_dir_all(&taken.join("deeper")).unwrap();
        assert!(write_atomic(&taken, b"x").is_err() && write(&taken, b"x").is_err());
        assert_eq!(count(dir.path()), 1);
        assert!(write_atomic(Path::new("/"), b"x").is_err());
        let error = read(&dir.path().join("none")).unwrap_err();
        assert!(error.is_not_found() && error.to_string().starts_with("cannot read `"), "{error}");
        assert_eq!(read_if_exists(&dir.path().join("none")).unwrap(), None);
    }

    #[test]
    fn many_writers_of_one_file_leave_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::thread::scope(|scope| {
            for byte in 0..8u8 {
                let path = &path;
                scope.spawn(move || (0..8).for_each(|_| write_atomic(path, &[byte; 4096]).unwrap()));
            }
        });
        let bytes = read(&path).unwrap();
        assert!(bytes.len() == 4096 && bytes.iter().all(|b| *b == bytes[0]));
        assert_eq!(count(dir.path()), 1);
    }

    /// The names of files that a process left behind are passed over.
    #[test]
    fn left_over_files_are_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let (left, _) = create_temporary(&path).unwrap();
        write_atomic(&path, b"x").unwrap();
        assert!(left.exists() && read(&left).unwrap().is_empty());
    }
}
