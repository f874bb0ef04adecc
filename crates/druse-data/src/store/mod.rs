//! The packed store: one binary file a data set, little-endian, checked by a BLAKE3 sum.
//!
//! | bytes | content |
//! | --- | --- |
//! | 8 | magic `DRUSEPAK` |
//! | 4 | version of the layout, `u32` |
//! | 8 | length of the payload, `u64` |
//! | 32 | BLAKE3 of the payload |
//! | … | payload: length of the content (`u64`), content, then skipped rows, warnings and how it was read as JSON |
//!
//! The content holds the entries as arrays: number of entries `u64`; atoms of each `u32`; lattices, 9 `f64` each
//! (rows a, b, c in Å); fractional coordinates, 3 `f64` an atom; atomic numbers, `u8` an atom; identifiers;
//! number of property columns `u32`; per column its name, a tag byte an entry and the values. Text is a `u32`
//! length and UTF-8 bytes. The content hash of a data set is the BLAKE3 sum of exactly these bytes.
//!
//! A store is written and read in memory that does not grow with it. [`Writer`] lets each array grow in a file of its own
//! making and joins them in the end. [`Store`] reads arrays side by side, each through a window of 64 KiB.
//!
//! **A store that changes under a reader is an error, not a crash.** Windows are read at their places in the file; the file
//! is not mapped into memory, because a mapping dies with SIGBUS where the file is cut off under it, and shows bytes that
//! nobody has checked. When a store is opened it is read once from end to end, against its length and its sum; the sum of
//! each window is noted on the way, and every later read of a window is held against it.

mod columns;
mod encode;
mod file;
mod read;
mod spool;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;
use std::path::Path;

use druse_crystal::files::FileError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Entry, Skipped};

pub use columns::Kinds;
pub(crate) use encode::content_hash;
pub(crate) use read::Store;
pub(crate) use write::Writer;

/// Raised whenever a reader or the reduction changes what a source becomes: kept imports are then made anew.
pub(crate) const READING: u32 = 4;
/// Version of the layout of the file.
const LAYOUT: u32 = 4;
const MAGIC: &[u8; 8] = b"DRUSEPAK";
const HEADER: usize = 8 + 4 + 8 + 32;

const TAG_NONE: u8 = 0;
const TAG_NUMBER: u8 = 1;
const TAG_TEXT: u8 = 2;
const TAG_FALSE: u8 = 3;
const TAG_TRUE: u8 = 4;

/// What an import gives and the cache keeps. Paths in `skipped` are relative to the source.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Import {
    pub entries: Vec<Entry>,
    pub beside: Beside,
}

/// What a store holds beside its entries.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Beside {
    /// Rows of the source that gave no entry.
    pub skipped: Vec<Skipped>,
    pub warnings: Vec<String>,
    /// Whether every cell is Niggli-reduced. Stores of earlier versions do not say.
    #[serde(default)]
    pub niggli: bool,
    /// Whether doubtful structures were refused.
    #[serde(default)]
    pub strict: bool,
}

/// Why a packed store cannot be used. The message continues a sentence that begins with the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is something else.
    #[error("is no packed data set (it does not begin with `DRUSEPAK`)")]
    Magic,
    /// Another version of the program wrote it.
    #[error("has version {0} of the layout, this program reads {LAYOUT}; write it again from its source")]
    Version(u32),
    /// Its end is missing, or something follows it.
    #[error(
        "is cut off or joined with something: it has {found} bytes, its header says {expected}; copy it again"
    )]
    Length {
        /// Bytes that the header promises.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error("is damaged: its checksum does not agree with its content; copy it again")]
    Checksum,
    /// Somebody wrote to it after it was opened.
    #[error("was changed or cut off while it was read (at byte {at}); read it again when its writer is done")]
    Changed {
        /// Where, in bytes from its beginning.
        at: u64,
    },
    /// The bytes are those that were written, and make no sense.
    #[error("has a content that makes no sense ({0})")]
    Content(String),
}

impl StoreError {
    fn content(what: impl std::fmt::Display) -> Self {
        Self::Content(what.to_string())
    }
}

/// Reads a packed file whole; gives the import and its content hash.
pub(crate) fn read(path: &Path) -> Result<(Import, String), StoreError> {
    let store = Store::open(path)?;
    let mut entries = Vec::with_capacity(store.len());
    let mut reader = store.entries()?;
    while let Some(entry) = reader.next()? {
        entries.push(entry);
    }
    Ok((Import { entries, beside: store.beside().clone() }, store.content_hash().to_owned()))
}

/// A string as it is, a list or object as its JSON text.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        nested => nested.to_string().into(),
    }
}

/// Tag of a property in its column.
fn tag(value: Option<&Value>) -> u8 {
    match value {
        None | Some(Value::Null) => TAG_NONE,
        Some(Value::Bool(false)) => TAG_FALSE,
        Some(Value::Bool(true)) => TAG_TRUE,
        Some(Value::Number(_)) => TAG_NUMBER,
        Some(Value::String(_) | Value::Array(_) | Value::Object(_)) => TAG_TEXT,
    }
}

/// Appends the bytes that a property has behind its tag.
fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        // Every JSON number is a 64-bit float here, be it rounded.
        Value::Number(x) => out.extend(x.as_f64().unwrap_or(f64::NAN).to_le_bytes()),
        text => put_text(out, &text_of(text)),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}
