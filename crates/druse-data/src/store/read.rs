//! Reading a store entry by entry.

use std::fs::File;
use std::path::Path;

use druse_crystal::{Element, Lattice, Structure};

use super::columns::{Column, ColumnReader};
use super::file::{Checked, Cursor};
use super::{Beside, HEADER, StoreError};
use crate::Entry;

/// A packed store: where its arrays lie, and what is beside them. Entries stay in the file.
pub(crate) struct Store {
    data: Checked,
    count: u64,
    places: Places,
    columns: Vec<Column>,
    beside: Beside,
    content_hash: String,
}

/// Where the arrays begin, in bytes of the file.
#[derive(Clone, Copy)]
struct Places {
    counts: u64,
    lattices: u64,
    coords: u64,
    numbers: u64,
    ids: u64,
    columns: u64,
}

impl Store {
    /// Opens a store and checks all of its bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::of(Checked::open(path)?)
    }

    /// As [`Store::open`], of a file that is open; `path` is for messages.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn of_file(file: File, path: &Path) -> Result<Self, StoreError> {
        Self::of(Checked::of_file(file, path)?)
    }

    fn of(data: Checked) -> Result<Self, StoreError> {
        let mut cursor = data.cursor(HEADER as u64, data.length());
        let length = cursor.u64()?;
        if length > cursor.left() {
            return Err(StoreError::Content(format!("length {length} exceeds the file")));
        }
        let start = cursor.at();
        let end = start + length;
        let mut json = data.cursor(end, data.length());
        let json = json.bytes(json.left())?;
        let beside = serde_json::from_slice(&json).map_err(StoreError::content)?;
        let content_hash = data.content_hash().to_hex().to_string();
        let (count, places, columns) = layout(&data, start, end)?;
        Ok(Self { data, count, places, columns, beside, content_hash })
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count as usize
    }

    /// Skipped rows, warnings, and how the source was read.
    pub(crate) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// BLAKE3 (hex) of the content.
    pub(crate) fn content_hash(&self) -> &str {
        &self.content_hash
    }

    /// The file; for messages.
    pub(crate) fn path(&self) -> &Path {
        self.data.path()
    }

    /// The property columns, by name.
    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The values of a column, one after another.
    pub(crate) fn column(&self, column: &Column) -> ColumnReader<'_> {
        column.reader(&self.data)
    }

    /// The entries, one after another.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn entries(&self) -> Result<EntryReader<'_>, StoreError> {
        let Places { counts, lattices, coords, numbers, ids, columns } = self.places;
        let cursor = |from, to| self.data.cursor(from, to);
        Ok(EntryReader {
            left: self.count,
            counts: cursor(counts, lattices),
            lattices: cursor(lattices, coords),
            coords: cursor(coords, numbers),
            numbers: cursor(numbers, ids),
            ids: cursor(ids, columns),
            columns: self.columns.iter().map(|c| (c.name.as_str(), self.column(c))).collect(),
        })
    }
}

/// Finds the arrays of the content.
fn layout(data: &Checked, start: u64, end: u64) -> Result<(u64, Places, Vec<Column>), StoreError> {
    let mut cursor = data.cursor(start, end);
    let count = cursor.u64()?;
    // Numbers of things that exceed the file are found here, before anything is made of them.
    let times =
        |n: u64, size: u64| n.checked_mul(size).ok_or_else(|| StoreError::content("too many entries"));
    let counts = cursor.at();
    cursor.skip(times(count, 4)?)?;
    let lattices = cursor.at();
    let (mut reader, mut atoms) = (data.cursor(counts, lattices), 0u64);
    for _ in 0..count {
        atoms += u64::from(reader.u32()?);
    }
    cursor.skip(times(count, 72)?)?;
    let coords = cursor.at();
    cursor.skip(times(atoms, 24)?)?;
    let numbers = cursor.at();
    cursor.skip(atoms)?;
    let ids = cursor.at();
    for _ in 0..count {
        cursor.skip_text()?;
    }
    let places = Places { counts, lattices, coords, numbers, ids, columns: cursor.at() };
    let columns =
        (0..cursor.u32()?).map(|_| Column::find(data, &mut cursor, count)).collect::<Result<_, _>>()?;
    match cursor.left() {
        0 => Ok((count, places, columns)),
        n => Err(StoreError::Content(format!("{n} bytes too many"))),
    }
}

/// Reads the entries of a store in their order.
pub(crate) struct EntryReader<'a> {
    left: u64,
    counts: Cursor<'a>,
    lattices: Cursor<'a>,
    coords: Cursor<'a>,
    numbers: Cursor<'a>,
    ids: Cursor<'a>,
    columns: Vec<(&'a str, ColumnReader<'a>)>,
}

impl EntryReader<'_> {
    /// The next entry; `None` behind the last one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, StoreError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let n = u64::from(self.counts.u32()?);
        let mut rows = [[0.0; 3]; 3];
        for row in &mut rows {
            *row = self.lattices.vector()?;
        }
        let lattice = Lattice::from_rows(rows).map_err(StoreError::content)?;
        let numbers = self.numbers.bytes(n)?;
        let species = numbers.into_iter().map(Element::from_z).collect::<Result<Vec<_>, _>>();
        let coords = (0..n).map(|_| self.coords.vector()).collect::<Result<Vec<_>, _>>()?;
        let mut structure = Structure::new(lattice, species.map_err(StoreError::content)?, coords)
            .map_err(StoreError::content)?;
        for (name, column) in &mut self.columns {
            if let Some(value) = column.next()? {
                structure.properties.insert((*name).to_owned(), value);
            }
        }
        Ok(Some(Entry { id: self.ids.text()?, structure }))
    }

    /// Up to `n` entries; none behind the last one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn block(&mut self, n: usize) -> Result<Vec<Entry>, StoreError> {
        let mut block = Vec::with_capacity(n.min(self.left as usize));
        while block.len() < n {
            let Some(entry) = self.next()? else { break };
            block.push(entry);
        }
        Ok(block)
    }
}
