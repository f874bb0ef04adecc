//! The packed store: one binary file a data set, little-endian, checked by a BLAKE3 sum.
//!
//! | bytes | content |
//! | --- | --- |
//! | 8 | magic `DRUSEPAK` |
//! | 4 | format version, `u32` |
//! | 8 | length of the payload, `u64` |
//! | 32 | BLAKE3 of the payload |
//! | … | payload: length of the content (`u64`), content, then skipped rows and warnings as JSON |
//!
//! The content holds the entries as arrays: number of entries `u64`; atoms of each `u32`; lattices, 9 `f64` each
//! (rows a, b, c in Å); fractional coordinates, 3 `f64` an atom; atomic numbers, `u8` an atom; identifiers;
//! number of property columns `u32`; per column its name, a tag byte an entry and the values. Text is a `u32`
//! length and UTF-8 bytes. The content hash of a data set is the BLAKE3 sum of exactly these bytes.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

use druse_crystal::files::{self, FileError};
use druse_crystal::{Element, Lattice, Structure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::properties::number;
use crate::{Entry, Skipped};

/// Raised whenever the layout, a reader or the reduction changes what a source becomes.
pub(crate) const VERSION: u32 = 4;
const MAGIC: &[u8; 8] = b"DRUSEPAK";
const HEADER: usize = 8 + 4 + 8 + 32;

const TAG_NONE: u8 = 0;
const TAG_NUMBER: u8 = 1;
const TAG_TEXT: u8 = 2;
const TAG_FALSE: u8 = 3;
const TAG_TRUE: u8 = 4;

/// What an import gives and the cache keeps. Paths in `skipped` are relative to the source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Import {
    pub entries: Vec<Entry>,
    pub skipped: Vec<Skipped>,
    pub warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Beside {
    skipped: Vec<Skipped>,
    warnings: Vec<String>,
}

/// Why a packed file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("it is not a packed data set")]
    Magic,
    #[error("it has format version {0}, this program writes {VERSION}")]
    Version(u32),
    #[error("its checksum does not agree with its content")]
    Checksum,
    #[error("its content makes no sense ({0})")]
    Content(String),
}

/// BLAKE3 (hex) of the packed entries.
pub(crate) fn content_hash(entries: &[Entry]) -> String {
    blake3::hash(&encode(entries)).to_hex().to_string()
}

/// Writes the import to `path` at once; folders above it are created.
pub(crate) fn write(path: &Path, import: &Import, content: &[u8]) -> Result<(), StoreError> {
    let beside = Beside { skipped: import.skipped.clone(), warnings: import.warnings.clone() };
    let json = serde_json::to_vec(&beside).map_err(|e| StoreError::Content(e.to_string()))?;
    let mut payload = Vec::with_capacity(8 + content.len() + json.len());
    payload.extend((content.len() as u64).to_le_bytes());
    payload.extend(content);
    payload.extend(json);
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend((payload.len() as u64).to_le_bytes());
    header.extend(blake3::hash(&payload).as_bytes());
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder)?;
    }
    files::write_atomic_with(path, |file| {
        file.write_all(&header)?;
        file.write_all(&payload)
    })?;
    Ok(())
}

/// Reads a packed file; gives the import and its content hash.
pub(crate) fn read(path: &Path) -> Result<(Import, String), StoreError> {
    let bytes = files::read(path)?;
    if bytes.len() < HEADER || &bytes[..8] != MAGIC {
        return Err(StoreError::Magic);
    }
    let mut header = Reader(&bytes[8..HEADER]);
    let version = header.u32()?;
    if version != VERSION {
        return Err(StoreError::Version(version));
    }
    let length = header.u64()?;
    let payload = &bytes[HEADER..];
    if length != payload.len() as u64 || blake3::hash(payload).as_bytes() != header.take(32)? {
        return Err(StoreError::Checksum);
    }
    let mut payload = Reader(payload);
    let length = payload.length()?;
    let content = payload.take(length)?;
    let beside: Beside = serde_json::from_slice(payload.0).map_err(|e| StoreError::Content(e.to_string()))?;
    let import = Import { entries: decode(content)?, skipped: beside.skipped, warnings: beside.warnings };
    Ok((import, blake3::hash(content).to_hex().to_string()))
}

/// The entries as the bytes described at the top of this file.
pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    let atoms: usize = entries.iter().map(|e| e.structure.len()).sum();
    let mut out = Vec::with_capacity(64 + entries.len() * 160 + atoms * 25);
    out.extend((entries.len() as u64).to_le_bytes());
    for e in entries {
        out.extend((e.structure.len() as u32).to_le_bytes());
    }
    for x in entries.iter().flat_map(|e| e.structure.lattice.rows()).flatten() {
        out.extend(x.to_le_bytes());
    }
    for x in entries.iter().flat_map(|e| &e.structure.frac_coords).flatten() {
        out.extend(x.to_le_bytes());
    }
    out.extend(entries.iter().flat_map(|e| &e.structure.species).map(|s| s.z()));
    for e in entries {
        put_text(&mut out, &e.id);
    }
    let properties = || entries.iter().map(|e| &e.structure.properties);
    let mut names: Vec<&str> = properties().flat_map(|p| p.keys()).map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    out.extend((names.len() as u32).to_le_bytes());
    for name in names {
        put_text(&mut out, name);
        out.extend(properties().map(|p| match p.get(name) {
            None | Some(Value::Null) => TAG_NONE,
            Some(Value::Bool(false)) => TAG_FALSE,
            Some(Value::Bool(true)) => TAG_TRUE,
            Some(Value::Number(_)) => TAG_NUMBER,
            Some(Value::String(_) | Value::Array(_) | Value::Object(_)) => TAG_TEXT,
        }));
        for value in properties().filter_map(|p| p.get(name)) {
            match value {
                Value::Null | Value::Bool(_) => {}
                // Every JSON number is a 64-bit float here, be it rounded.
                Value::Number(x) => out.extend(x.as_f64().unwrap_or(f64::NAN).to_le_bytes()),
                text => put_text(&mut out, &text_of(text)),
            }
        }
    }
    out
}

/// A string as it is, a list or object as its JSON text.
fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        nested => nested.to_string().into(),
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

fn decode(content: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let wrong = |what: &dyn std::fmt::Display| StoreError::Content(what.to_string());
    let mut reader = Reader(content);
    let count = reader.length()?;
    let counts = reader.take(count.checked_mul(4).ok_or_else(|| wrong(&"too many entries"))?)?;
    let counts: Vec<usize> = counts.chunks_exact(4).map(|c| le_u32(c) as usize).collect();
    let atoms: usize = counts.iter().sum();
    let lattices = reader.take(count * 72)?;
    let coords = reader.take(atoms.checked_mul(24).ok_or_else(|| wrong(&"too many atoms"))?)?;
    let numbers = reader.take(atoms)?;
    let mut entries = Vec::with_capacity(count);
    let mut first = 0;
    for (&n, lattice) in counts.iter().zip(lattices.chunks_exact(72)) {
        let rows = std::array::from_fn(|i| std::array::from_fn(|j| le_f64(&lattice[(3 * i + j) * 8..])));
        let lattice = Lattice::from_rows(rows).map_err(|e| wrong(&e))?;
        let species: Result<Vec<_>, _> =
            numbers[first..first + n].iter().map(|&z| Element::from_z(i64::from(z))).collect();
        let frac_coords = coords[first * 24..(first + n) * 24]
            .chunks_exact(24)
            .map(|c| std::array::from_fn(|k| le_f64(&c[8 * k..])))
            .collect();
        let structure =
            Structure::new(lattice, species.map_err(|e| wrong(&e))?, frac_coords).map_err(|e| wrong(&e))?;
        entries.push(Entry { id: reader.text()?.to_owned(), structure });
        first += n;
    }
    for _ in 0..reader.u32()? {
        let name = reader.text()?;
        let tags = reader.take(count)?;
        for (entry, &tag) in entries.iter_mut().zip(tags) {
            let value = match tag {
                TAG_NONE => continue,
                TAG_NUMBER => {
                    number(le_f64(reader.take(8)?)).ok_or_else(|| wrong(&"a property that is not finite"))?
                }
                TAG_TEXT => reader.text()?.into(),
                TAG_FALSE => false.into(),
                TAG_TRUE => true.into(),
                other => return Err(StoreError::Content(format!("property tag {other}"))),
            };
            entry.structure.properties.insert(name.to_owned(), value);
        }
    }
    if !reader.0.is_empty() {
        return Err(StoreError::Content(format!("{} bytes too many", reader.0.len())));
    }
    Ok(entries)
}

/// The first four bytes as a number; the caller has taken at least four.
fn le_u32(b: &[u8]) -> u32 {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

/// The first eight bytes as a number; the caller has taken at least eight.
fn le_f64(b: &[u8]) -> f64 {
    f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
}

/// Takes fields off the front of a byte slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], StoreError> {
        let (head, rest) =
            self.0.split_at_checked(n).ok_or_else(|| StoreError::Content("it ends early".into()))?;
        self.0 = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, StoreError> {
        self.take(4).map(le_u32)
    }

    fn u64(&mut self) -> Result<u64, StoreError> {
        self.take(8).map(|b| le_f64(b).to_bits())
    }

    /// A count that must be smaller than the bytes left, so that a wrong one cannot ask for endless memory.
    fn length(&mut self) -> Result<usize, StoreError> {
        let n = self.u64()?;
        usize::try_from(n)
            .ok()
            .filter(|&n| n <= self.0.len())
            .ok_or_else(|| StoreError::Content(format!("length {n} exceeds the file")))
    }

    fn text(&mut self) -> Result<&'a str, StoreError> {
        let n = self.u32()? as usize;
        std::str::from_utf8(self.take(n)?).map_err(|e| StoreError::Content(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    fn sample() -> Import {
        let lattice = Lattice::from_rows([[4.0, 0.1, 0.0], [0.0, 3.0, 0.3], [0.2, 0.0, 5.0]]).unwrap();
        let species = ["Na", "Cl"].map(|s| Element::from_symbol(s).unwrap()).to_vec();
        let structure =
            Structure::new(lattice, species, vec![[0.0, 0.1, 0.7], [1.0 / 3.0, 0.5, 0.25]]).unwrap();
        let entry = |id: &str, properties: &[(&str, Value)]| {
            let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
            Entry { id: id.to_owned(), structure: Structure { properties, ..structure.clone() } }
        };
        Import {
            entries: vec![
                entry("a", &[("gap", 1.5.into()), ("theoretical", true.into())]),
                entry("β", &[("formula", "NaCl, \"salt\"".into()), ("theoretical", false.into())]),
                entry("", &[]),
            ],
            skipped: vec![Skipped {
                file: PathBuf::new(),
                row: Some(2),
                line: Some(30),
                id: None,
                reason: "broken".into(),
            }],
            warnings: vec!["a warning".into()],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/x.druse");
        let import = sample();
        write(&path, &import, &encode(&import.entries)).unwrap();
        let (back, hash) = read(&path).unwrap();
        assert_eq!(back, import);
        assert_eq!(hash, content_hash(&import.entries));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the temporary file is gone");
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.druse");
        let import = sample();
        write(&path, &import, &encode(&import.entries)).unwrap();
        let good = fs::read(&path).unwrap();
        for n in 0..good.len() {
            fs::write(&path, &good[..n]).unwrap();
            assert!(read(&path).is_err(), "cut to {n} bytes");
            let mut bad = good.clone();
            bad[n] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            assert!(read(&path).is_err(), "byte {n} flipped");
        }
        let mut newer = good;
        newer[8] = VERSION as u8 + 1;
        fs::write(&path, &newer).unwrap();
        assert!(matches!(read(&path), Err(StoreError::Version(v)) if v == VERSION + 1));
    }

    #[test]
    fn content_that_lies_is_an_error_even_with_a_right_checksum() {
        let content = encode(&sample().entries);
        for n in 0..content.len() {
            assert!(decode(&content[..n]).is_err(), "cut to {n} bytes");
        }
        let mut bad = content;
        bad[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode(&bad).is_err());
    }

    fn value() -> impl Strategy<Value = Value> {
        let number = (-1e12..1e12f64).prop_map(|x| number(x).unwrap());
        prop_oneof![number, any::<String>().prop_map(Value::from), any::<bool>().prop_map(Value::from)]
    }

    proptest! {
        #[test]
        fn any_entries_survive_the_packing(
            raw in prop::collection::vec(
                (
                    any::<String>(),
                    prop::array::uniform3(2.0..9.0f64),
                    prop::collection::vec((1u8..=118, prop::array::uniform3(0.0..1.0f64)), 1..9),
                    prop::collection::btree_map("[a-c]", value(), 0..3),
                ),
                0..6,
            ),
        ) {
            let entries: Vec<Entry> = raw
                .into_iter()
                .map(|(id, [a, b, c], sites, properties)| {
                    let lattice = Lattice::from_rows([[a, 0.3, 0.0], [0.0, b, 0.1], [0.7, 0.0, c]]).unwrap();
                    let (species, coords): (Vec<_>, Vec<_>) =
                        sites.into_iter().map(|(z, f)| (Element::from_z(z).unwrap(), f)).unzip();
                    let structure = Structure::new(lattice, species, coords).unwrap();
                    Entry { id, structure: Structure { properties, ..structure } }
                })
                .collect();
            prop_assert_eq!(decode(&encode(&entries)).unwrap(), entries);
        }
    }

    #[test]
    fn the_hash_follows_the_content() {
        let import = sample();
        let before = content_hash(&import.entries);
        let mut changed = import.entries.clone();
        changed[1].structure.frac_coords[0][2] += 1e-12;
        assert_ne!(content_hash(&changed), before);
        let mut changed = import.entries;
        changed[0].structure.properties.insert("gap".into(), 1.6.into());
        assert_ne!(content_hash(&changed), before);
    }
}
