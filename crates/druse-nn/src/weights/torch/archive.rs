//! Zip archives as `torch.save` writes them: every entry is stored as it is, none is compressed.

use std::collections::BTreeMap;
use std::ops::Range;

/// Why bytes are no archive of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// There is no directory at the end, as in a file that is cut off.
    #[error("it has no zip directory at its end; the file is cut off or no zip file")]
    NoDirectory,
    /// A part of the directory or of an entry lies outside the file.
    #[error("{0} reaches beyond the end of the file")]
    OutOfBounds(&'static str),
    /// A record does not begin as it should.
    #[error("{0} is damaged")]
    Damaged(&'static str),
    /// An entry is compressed or encrypted.
    #[error("the entry `{0}` is compressed or encrypted, which PyTorch never does")]
    NotStored(String),
    /// An entry that was asked for is not there.
    #[error("the entry `{0}` is missing")]
    Missing(String),
    /// The bytes of an entry are not those that were written.
    #[error("the entry `{0}` is damaged (its checksum differs)")]
    Checksum(String),
}

/// Where an entry lies and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Start of the local header.
    header: usize,
    /// Size of the content in bytes.
    size: usize,
    checksum: u32,
    stored: bool,
}

/// An archive in memory.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: BTreeMap<String, Entry>,
}

const END: [u8; 4] = *b"PK\x05\x06";
const END_LENGTH: usize = 22;
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";
const LOCATOR_64_LENGTH: usize = 20;
const END_64: [u8; 4] = *b"PK\x06\x06";
const DIRECTORY_ENTRY: [u8; 4] = *b"PK\x01\x02";
const DIRECTORY_ENTRY_LENGTH: usize = 46;
const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
const LOCAL_HEADER_LENGTH: usize = 30;
/// Identifier of the extra field with 64-bit sizes.
const EXTRA_64: u16 = 1;

fn part<'a>(bytes: &'a [u8], range: Range<usize>, what: &'static str) -> Result<&'a [u8], ArchiveError> {
    bytes.get(range).ok_or(ArchiveError::OutOfBounds(what))
}

fn number<const N: usize>(bytes: &[u8], at: usize, what: &'static str) -> Result<u64, ArchiveError> {
    let end = at.checked_add(N).ok_or(ArchiveError::OutOfBounds(what))?;
    let mut value = [0; 8];
    value[..N].copy_from_slice(part(bytes, at..end, what)?);
    Ok(u64::from_le_bytes(value))
}

fn position(value: u64, what: &'static str) -> Result<usize, ArchiveError> {
    usize::try_from(value).map_err(|_| ArchiveError::OutOfBounds(what))
}

/// Number of entries and start of the directory.
fn directory(bytes: &[u8]) -> Result<(u64, usize), ArchiveError> {
    // The record may be followed by a comment of up to 65,535 bytes.
    let first = bytes.len().saturating_sub(END_LENGTH + usize::from(u16::MAX));
    let last = bytes.len().checked_sub(END_LENGTH).ok_or(ArchiveError::NoDirectory)?;
    let end =
        (first..=last).rev().find(|&i| bytes[i..].starts_with(&END)).ok_or(ArchiveError::NoDirectory)?;
    let what = "the end of the directory";
    let locator = end.checked_sub(LOCATOR_64_LENGTH).filter(|&i| bytes[i..].starts_with(&LOCATOR_64));
    let (count, start) = match locator {
        Some(locator) => {
            let record = position(number::<8>(bytes, locator + 8, what)?, what)?;
            if !part(bytes, record..bytes.len(), what)?.starts_with(&END_64) {
                return Err(ArchiveError::Damaged(what));
            }
            (number::<8>(bytes, record + 32, what)?, number::<8>(bytes, record + 48, what)?)
        }
        None => (number::<2>(bytes, end + 10, what)?, number::<4>(bytes, end + 16, what)?),
    };
    Ok((count, position(start, what)?))
}

/// Replaces the sizes and the position of a directory entry that do not fit 32 bits.
fn widen(extra: &[u8], fields: [&mut u64; 3], what: &'static str) -> Result<(), ArchiveError> {
    let mut at = 0;
    while at + 4 <= extra.len() {
        let (kind, length) = (number::<2>(extra, at, what)?, number::<2>(extra, at + 2, what)? as usize);
        at += 4;
        if kind == u64::from(EXTRA_64) {
            for field in fields {
                if *field == u64::from(u32::MAX) {
                    *field = number::<8>(extra, at, what)?;
                    at += 8;
                }
            }
            return Ok(());
        }
        at += length;
    }
    Ok(())
}

impl Archive {
    /// Reads the directory.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, ArchiveError> {
        let what = "the directory";
        let (count, mut at) = directory(&bytes)?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let record = part(&bytes, at..bytes.len(), what)?;
            if record.len() < DIRECTORY_ENTRY_LENGTH {
                return Err(ArchiveError::OutOfBounds(what));
            }
            if !record.starts_with(&DIRECTORY_ENTRY) {
                return Err(ArchiveError::Damaged(what));
            }
            let length = |offset| number::<2>(record, offset, what).map(|n| n as usize);
            let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
            let extra_start = DIRECTORY_ENTRY_LENGTH + name;
            let record_end = extra_start + extra + comment;
            let name = String::from_utf8_lossy(part(record, DIRECTORY_ENTRY_LENGTH..extra_start, what)?);
            let encrypted = number::<2>(record, 8, what)? & 1 == 1;
            let method = number::<2>(record, 10, what)?;
            let checksum = number::<4>(record, 16, what)? as u32;
            let mut packed = number::<4>(record, 20, what)?;
            let mut size = number::<4>(record, 24, what)?;
            let mut header = number::<4>(record, 42, what)?;
            let extra = part(record, extra_start..extra_start + extra, what)?;
            widen(extra, [&mut size, &mut packed, &mut header], what)?;
            let stored = method == 0 && !encrypted && packed == size;
            let (header, size) = (position(header, what)?, position(size, what)?);
            entries.insert(name.into_owned(), Entry { header, size, checksum, stored });
            at += record_end;
        }
        Ok(Self { bytes, entries })
    }

    /// Size of the file in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Names of all entries.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The content of an entry.
    pub(super) fn get(&self, name: &str) -> Result<&[u8], ArchiveError> {
        let what = "an entry";
        let entry = self.entries.get(name).ok_or_else(|| ArchiveError::Missing(name.to_owned()))?;
        if !entry.stored {
            return Err(ArchiveError::NotStored(name.to_owned()));
        }
        let local = part(&self.bytes, entry.header..self.bytes.len(), what)?;
        if !local.starts_with(&LOCAL_HEADER) {
            return Err(ArchiveError::Damaged(what));
        }
        let names = number::<2>(local, 26, what)? as usize + number::<2>(local, 28, what)? as usize;
        let start = LOCAL_HEADER_LENGTH + names;
        let end = start.checked_add(entry.size).ok_or(ArchiveError::OutOfBounds(what))?;
        let content = part(local, start..end, what)?;
        // Files saved without checksums hold zeros.
        if entry.checksum != 0 && crc32fast::hash(content) != entry.checksum {
            return Err(ArchiveError::Checksum(name.to_owned()));
        }
        Ok(content)
    }
}
