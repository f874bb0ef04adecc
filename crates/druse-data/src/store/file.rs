//! The bytes of a store, each window of them checked whenever it is read.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use druse_crystal::files::{self, Action, FileError};

use super::{HEADER, LAYOUT, MAGIC, StoreError};

/// Bytes read at a time.
const WINDOW: usize = 1 << 16;
/// Where the content begins: behind its length.
const CONTENT: u64 = HEADER as u64 + 8;

/// Sum of a window: half of its BLAKE3 sum.
type Sum = [u8; 16];

/// A store's file after it was read once and found whole.
pub(super) struct Checked {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
    sums: Vec<Sum>,
    content_hash: blake3::Hash,
}

fn sum(bytes: &[u8]) -> Sum {
    let mut sum = Sum::default();
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    sum
}

impl Checked {
    /// Opens a store and reads it from end to end.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::of_file(files::open(path)?, path)
    }

    /// As [`Checked::open`], of a file that is open; `path` is for messages.
    pub(super) fn of_file(mut file: File, path: &Path) -> Result<Self, StoreError> {
        let failed = |e| StoreError::File(FileError::wrap(Action::Read, path)(e));
        let found = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut window = vec![0; WINDOW];
        let (mut at, mut sums) = (0, Vec::with_capacity((found / WINDOW as u64) as usize + 1));
        let (mut hasher, mut expected) = (blake3::Hasher::new(), [0; 32]);
        let (mut content, mut content_end) = (blake3::Hasher::new(), 0);
        loop {
            let n = fill(&mut file, &mut window).map_err(failed)?;
            let bytes = &window[..n];
            if at == 0 {
                let Some((header, rest)) =
                    bytes.split_at_checked(HEADER).filter(|(h, _)| h.starts_with(MAGIC))
                else {
                    // Half a header is the beginning of a store, too.
                    let cut = n > 0 && MAGIC.starts_with(&bytes[..n.min(8)]);
                    return Err(match cut {
                        true => StoreError::Length { expected: HEADER as u64, found },
                        false => StoreError::Magic,
                    });
                };
                let number = |from: usize, length: usize| {
                    let mut bytes = [0; 8];
                    bytes[..length].copy_from_slice(&header[from..from + length]);
                    u64::from_le_bytes(bytes)
                };
                let version = number(8, 4);
                if version != u64::from(LAYOUT) {
                    return Err(StoreError::Version(version as u32));
                }
                let length = number(12, 8).saturating_add(HEADER as u64);
                if length != found {
                    return Err(StoreError::Length { expected: length, found });
                }
                expected.copy_from_slice(&header[20..]);
                hasher.update(rest);
                // A length that makes no sense is found when the arrays are looked for.
                let length = rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
                content_end = CONTENT.saturating_add(length).min(found);
            } else {
                hasher.update(bytes);
            }
            let inside = |place: u64| (place.saturating_sub(at) as usize).min(n);
            content.update(&bytes[inside(CONTENT).min(inside(content_end))..inside(content_end)]);
            sums.push(sum(bytes));
            at += n as u64;
            if n < WINDOW {
                break;
            }
        }
        if at != found {
            return Err(StoreError::Changed { at });
        }
        if *hasher.finalize().as_bytes() != expected {
            return Err(StoreError::Checksum);
        }
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
            length: found,
            sums,
            content_hash: content.finalize(),
        })
    }

    /// Reads the window that holds the byte at `at` into `buffer`; gives where the window begins.
    fn window(&self, at: u64, buffer: &mut Vec<u8>) -> Result<u64, StoreError> {
        let index = at / WINDOW as u64;
        let start = index * WINDOW as u64;
        buffer.resize((self.length - start).min(WINDOW as u64) as usize, 0);
        // A panic elsewhere leaves nothing but another place in the file.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(buffer));
        drop(file);
        match read {
            Ok(()) if self.sums.get(index as usize) == Some(&sum(buffer)) => Ok(start),
            Ok(()) => Err(StoreError::Changed { at: start }),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(StoreError::Changed { at: start }),
            Err(e) => Err(StoreError::File(FileError::wrap(Action::Read, &self.path)(e))),
        }
    }

    /// A reader of the bytes from `start` up to `end`.
    pub(super) fn cursor(&self, start: u64, end: u64) -> Cursor<'_> {
        Cursor { data: self, at: start, end: end.min(self.length), buffer: Vec::new(), start: 0 }
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// BLAKE3 of the content.
    pub(super) fn content_hash(&self) -> blake3::Hash {
        self.content_hash
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match file.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

/// Reads a part of a store from its beginning to its end.
pub(super) struct Cursor<'a> {
    data: &'a Checked,
    at: u64,
    end: u64,
    /// The window read last, and where it begins in the file.
    buffer: Vec<u8>,
    start: u64,
}

impl Cursor<'_> {
    /// Place in the file.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.end - self.at
    }

    fn early() -> StoreError {
        StoreError::content("it ends early")
    }

    /// Passes over bytes without reading them.
    pub(super) fn skip(&mut self, n: u64) -> Result<(), StoreError> {
        self.at = self.at.checked_add(n).filter(|at| *at <= self.end).ok_or_else(Self::early)?;
        Ok(())
    }

    /// Fills a buffer.
    pub(super) fn fill(&mut self, mut out: &mut [u8]) -> Result<(), StoreError> {
        if out.len() as u64 > self.left() {
            return Err(Self::early());
        }
        while !out.is_empty() {
            let inside = self.at.checked_sub(self.start).filter(|k| *k < self.buffer.len() as u64);
            let Some(inside) = inside else {
                self.start = self.data.window(self.at, &mut self.buffer)?;
                continue;
            };
            let bytes = &self.buffer[inside as usize..];
            let n = bytes.len().min(out.len());
            let (head, rest) = out.split_at_mut(n);
            head.copy_from_slice(&bytes[..n]);
            self.at += n as u64;
            out = rest;
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, StoreError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, StoreError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, StoreError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, StoreError> {
        self.array().map(f64::from_le_bytes)
    }

    pub(super) fn vector(&mut self) -> Result<[f64; 3], StoreError> {
        let bytes: [u8; 24] = self.array()?;
        let (numbers, _) = bytes.as_chunks::<8>();
        Ok(std::array::from_fn(|k| f64::from_le_bytes(numbers[k])))
    }

    /// So many bytes; not more than there are, so that a wrong length cannot ask for endless memory.
    pub(super) fn bytes(&mut self, n: u64) -> Result<Vec<u8>, StoreError> {
        if n > self.left() {
            return Err(Self::early());
        }
        let mut bytes = vec![0; n as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        let length = self.u32()?;
        String::from_utf8(self.bytes(length.into())?).map_err(StoreError::content)
    }

    pub(super) fn skip_text(&mut self) -> Result<(), StoreError> {
        let length = self.u32()?;
        self.skip(length.into())
    }
}
