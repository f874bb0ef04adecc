//! Writing a store entry by entry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use druse_crystal::files::{self, Action, FileError};

use super::spool::{Spool, Stream};
use super::{Beside, HEADER, LAYOUT, MAGIC, StoreError, TAG_NONE, put_text, put_value, tag};
use crate::Entry;

/// Takes entries one at a time and holds little of them in memory: each array of the store grows in a temporary file.
pub(crate) struct Writer {
    spool: Spool,
    count: u64,
    counts: Stream,
    lattices: Stream,
    coords: Stream,
    numbers: Stream,
    ids: Stream,
    columns: BTreeMap<String, Column>,
}

#[derive(Default)]
struct Column {
    /// Entries that have a tag.
    rows: u64,
    tags: Stream,
    values: Stream,
}

impl Writer {
    /// A writer whose temporary file, if it needs one, lies in `folder`.
    pub(crate) fn new(folder: Option<&Path>) -> Self {
        let [counts, lattices, coords, numbers, ids] = std::array::from_fn(|_| Stream::default());
        let (spool, columns) = (Spool::new(folder), BTreeMap::new());
        Self { spool, count: 0, counts, lattices, coords, numbers, ids, columns }
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub(crate) fn push(&mut self, entry: &Entry) -> io::Result<()> {
        let (s, spool) = (&entry.structure, &mut self.spool);
        spool.append(&mut self.counts, |out| out.extend((s.len() as u32).to_le_bytes()))?;
        let put = |out: &mut Vec<u8>, rows: &[[f64; 3]]| {
            out.extend(rows.iter().flatten().flat_map(|x| x.to_le_bytes()));
        };
        spool.append(&mut self.lattices, |out| put(out, &s.lattice.rows()))?;
        spool.append(&mut self.coords, |out| put(out, &s.frac_coords))?;
        spool.append(&mut self.numbers, |out| out.extend(s.species.iter().map(|e| e.z())))?;
        spool.append(&mut self.ids, |out| put_text(out, &entry.id))?;
        for (name, value) in &s.properties {
            if !self.columns.contains_key(name) {
                self.columns.insert(name.clone(), Column::default());
            }
            let Some(column) = self.columns.get_mut(name) else { continue };
            column.fill_up(spool, self.count)?;
            spool.append(&mut column.tags, |out| out.push(tag(Some(value))))?;
            spool.append(&mut column.values, |out| put_value(out, value))?;
            column.rows += 1;
        }
        self.count += 1;
        Ok(())
    }

    /// BLAKE3 (hex) of the content.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub(crate) fn content_hash(mut self) -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        self.content(&mut hasher)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// Writes the store to `path` at once; folders above it are created. Gives the content hash.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub(crate) fn write(mut self, path: &Path, beside: &Beside) -> Result<String, StoreError> {
        if let Some(folder) = path.parent() {
            files::create_dir_all(folder)?;
        }
        let mut hash = String::new();
        files::write_atomic_with(path, |file| {
            hash = self.fill(file, beside)?;
            Ok(())
        })?;
        Ok(hash)
    }

    /// Writes the store to a file without a name, which vanishes with its last reader.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub(crate) fn write_unnamed(mut self, beside: &Beside) -> Result<File, StoreError> {
        let folder = std::env::temp_dir();
        let written = tempfile::tempfile().and_then(|mut file| self.fill(&mut file, beside).map(|_| file));
        Ok(written.map_err(FileError::wrap(Action::Write, &folder))?)
    }

    fn fill(&mut self, file: &mut File, beside: &Beside) -> io::Result<String> {
        let mut out = BufWriter::with_capacity(1 << 18, file);
        out.write_all(&[0; HEADER + 8])?;
        let mut content = Tee { out: &mut out, hasher: blake3::Hasher::new(), length: 0 };
        self.content(&mut content)?;
        let (length, content_hash) = (content.length, content.hasher.finalize());
        let json = serde_json::to_vec(beside)?;
        out.write_all(&json)?;
        let payload = 8 + length + json.len() as u64;
        out.flush()?;
        // The length of the content precedes it and is known now, so the sum of the payload takes a second pass.
        let mut hasher = blake3::Hasher::new();
        hasher.update(&length.to_le_bytes());
        self.content(&mut hasher)?;
        hasher.update(&json);
        out.seek(SeekFrom::Start(0))?;
        out.write_all(MAGIC)?;
        out.write_all(&LAYOUT.to_le_bytes())?;
        out.write_all(&payload.to_le_bytes())?;
        out.write_all(hasher.finalize().as_bytes())?;
        out.write_all(&length.to_le_bytes())?;
        out.flush()?;
        Ok(content_hash.to_hex().to_string())
    }

    fn content(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Self { spool, count, counts, lattices, coords, numbers, ids, columns } = self;
        out.write_all(&count.to_le_bytes())?;
        for stream in [counts, lattices, coords, numbers, ids] {
            spool.copy(stream, out)?;
        }
        out.write_all(&(columns.len() as u32).to_le_bytes())?;
        for (name, column) in columns {
            column.fill_up(spool, *count)?;
            let mut text = Vec::new();
            put_text(&mut text, name);
            out.write_all(&text)?;
            spool.copy(&column.tags, out)?;
            spool.copy(&column.values, out)?;
        }
        Ok(())
    }
}

impl Column {
    /// Tags of entries without the property.
    fn fill_up(&mut self, spool: &mut Spool, rows: u64) -> io::Result<()> {
        while self.rows < rows {
            let some = (rows - self.rows).min(1 << 16);
            spool.append(&mut self.tags, |out| out.resize(out.len() + some as usize, TAG_NONE))?;
            self.rows += some;
        }
        Ok(())
    }
}

/// Writes, sums and counts.
struct Tee<'a, W> {
    out: &'a mut W,
    hasher: blake3::Hasher,
    length: u64,
}

impl<W: Write> Write for Tee<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
