//! Files of lines that grow while they are read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use druse_crystal::files::{self, Action, FileError};

/// Bytes read at a time.
const BLOCK: usize = 4 << 20;
/// A line that is longer is no structure; it is passed over.
const LONGEST: usize = 64 << 20;

/// A whole line: where it is and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its first byte in the file.
    pub offset: u64,
    /// Its number, from 1.
    pub number: usize,
    /// Its text, without the end of the line.
    pub text: String,
}

/// What became of a file since the last look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing.
    None,
    /// Whole lines behind those that were there.
    Lines(Vec<Line>),
    /// Another file has taken its place, or it was cut: what was read of it is void.
    Replaced,
}

/// Reads a file from where it was left, whole lines only: what a writer has not finished yet is read later.
#[derive(Debug, Clone)]
pub(crate) struct Follower {
    path: PathBuf,
    offset: u64,
    number: usize,
    identity: Option<u64>,
    size: u64,
}

/// What tells a file from another one of the same name.
#[cfg(unix)]
fn identity(file: &File) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    file.metadata().ok().map(|m| m.ino())
}

/// What tells a file from another one of the same name: nothing here but its size, which is looked at, too.
#[cfg(not(unix))]
fn identity(_: &File) -> Option<u64> {
    None
}

impl Follower {
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, number: 0, identity: None, size: 0 }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes read and bytes there.
    pub fn progress(&self) -> (u64, u64) {
        (self.offset, self.size.max(self.offset))
    }

    /// Whole lines behind those that were read, some megabytes at most. A file that is not there (yet) has none.
    ///
    /// # Errors
    /// [`FileError`] when it is there and cannot be read.
    pub fn news(&mut self) -> Result<News, FileError> {
        let mut file = match files::open(&self.path) {
            Ok(file) => file,
            Err(e) if e.is_not_found() => {
                return Ok(if self.offset > 0 { News::Replaced } else { News::None });
            }
            Err(e) => return Err(e),
        };
        let wrap = |e| FileError::wrap(Action::Read, &self.path)(e);
        let (found, size) = (identity(&file), file.metadata().map_err(wrap)?.len());
        if size < self.offset || (self.offset > 0 && found != self.identity) {
            return Ok(News::Replaced);
        }
        self.identity = found;
        self.size = size;
        if size == self.offset {
            return Ok(News::None);
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(wrap)?;
        let mut bytes = Vec::new();
        // More than a block only while no line has ended in it.
        let end = loop {
            let read = (&mut file).take(BLOCK as u64).read_to_end(&mut bytes).map_err(wrap)?;
            match bytes.iter().rposition(|&b| b == b'\n') {
                Some(end) => break end + 1,
                None if read == 0 => {
                    // A last line without its end is whole when it is JSON as a whole.
                    let whole = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
                    break if whole { bytes.len() } else { 0 };
                }
                None if bytes.len() > LONGEST => break bytes.len(),
                None => {}
            }
        };
        Ok(self.lines(&bytes[..end]))
    }

    fn lines(&mut self, bytes: &[u8]) -> News {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|&b| b == b'\n') {
            self.number += 1;
            let text = String::from_utf8_lossy(part);
            let text = text.trim();
            if !text.is_empty() && part.len() <= LONGEST {
                lines.push(Line { offset: self.offset, number: self.number, text: text.to_owned() });
            }
            if !part.ends_with(b"\n") {
                // Its end comes later and ends no further line.
                self.number -= 1;
            }
            self.offset += part.len() as u64;
        }
        if lines.is_empty() { News::None } else { News::Lines(lines) }
    }
}

/// The line that begins at a byte of a file.
///
/// # Errors
/// [`FileError`].
pub(crate) fn line_at(path: &Path, offset: u64) -> Result<String, FileError> {
    use std::io::BufRead;
    let mut file = files::open(path)?;
    let wrap = |e| FileError::wrap(Action::Read, path)(e);
    file.seek(SeekFrom::Start(offset)).map_err(wrap)?;
    let mut bytes = Vec::new();
    std::io::BufReader::new(file.take(LONGEST as u64)).read_until(b'\n', &mut bytes).map_err(wrap)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn texts(news: News) -> Vec<String> {
        match news {
            News::Lines(lines) => lines.into_iter().map(|l| l.text).collect(),
            News::None => Vec::new(),
            News::Replaced => panic!("replaced"),
        }
    }

    #[test]
    fn half_a_line_is_read_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        let mut follower = Follower::new(path.clone());
        assert_eq!(follower.news().unwrap(), News::None);
        fs::write(&path, "{\"a\":1}\n\n{\"b\":").unwrap();
        assert_eq!(texts(follower.news().unwrap()), ["{\"a\":1}"]);
        assert_eq!(follower.news().unwrap(), News::None);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"2}\n{\"c\":3}").unwrap();
        let News::Lines(lines) = follower.news().unwrap() else { panic!() };
        assert_eq!((lines[0].text.as_str(), lines[0].offset, lines[0].number), ("{\"b\":2}", 9, 3));
        assert_eq!(line_at(&path, 9).unwrap(), "{\"b\":2}");
        // The last line has no end, but is JSON as a whole; its end ends nothing else.
        assert_eq!(texts(follower.news().unwrap()), ["{\"c\":3}"]);
        file.write_all(b"\n{\"d\":4}\n").unwrap();
        let News::Lines(lines) = follower.news().unwrap() else { panic!() };
        assert_eq!((lines[0].text.as_str(), lines[0].number), ("{\"d\":4}", 5));
    }

    #[test]
    fn a_file_that_was_cut_or_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        fs::write(&path, "1\n2\n").unwrap();
        let mut follower = Follower::new(path.clone());
        assert_eq!(texts(follower.news().unwrap()), ["1", "2"]);
        fs::write(&path, "1\n").unwrap();
        assert_eq!(follower.news().unwrap(), News::Replaced);
        let mut follower = Follower::new(path.clone());
        follower.news().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(follower.news().unwrap(), News::Replaced);
    }

    #[cfg(unix)]
    #[test]
    fn another_file_of_the_same_size_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a.jsonl"), dir.path().join("b"));
        fs::write(&path, "1\n2\n").unwrap();
        let mut follower = Follower::new(path.clone());
        follower.news().unwrap();
        fs::write(&other, "2\n1\n").unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(follower.news().unwrap(), News::Replaced);
    }
}
