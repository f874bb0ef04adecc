//! The data set in memory.

use std::collections::BTreeMap;

use druse_crystal::Structure;

use crate::entry::default_id;
use crate::{DataError, Entry, Filter, Skipped, store};

/// Structures with identifiers, in the order of their source: what models learn from.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Short name, taken from the source: `mp_20/train`.
    pub name: String,
    /// The structures.
    pub entries: Vec<Entry>,
    /// BLAKE3 (hex) over the packed entries: identifiers, cells, sites and properties. It does not depend on
    /// the source's place, name or format: the same data has the same hash.
    pub content_hash: String,
    /// Structures of the source that could not be used.
    pub skipped: Vec<Skipped>,
    /// Warnings of the readers (deuterium read as hydrogen, files passed over …), each once with its count.
    pub warnings: Vec<String>,
}

impl Default for Dataset {
    /// The data set without structures.
    fn default() -> Self {
        Self::new("", Vec::new())
    }
}

impl Dataset {
    /// A data set from its entries, with its content hash.
    pub fn new(name: impl Into<String>, entries: Vec<Entry>) -> Self {
        let content_hash = store::content_hash(&entries);
        Self { name: name.into(), entries, content_hash, skipped: Vec::new(), warnings: Vec::new() }
    }

    /// A data set of structures in memory, named `row-1`, `row-2` and so on.
    pub fn from_structures(name: impl Into<String>, structures: impl IntoIterator<Item = Structure>) -> Self {
        let entry = |(k, structure)| Entry { id: default_id(Some(k)), structure };
        Self::new(name, (1..).zip(structures).map(entry).collect())
    }

    /// Number of structures.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no structure.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The structures without identifiers.
    pub fn structures(&self) -> impl ExactSizeIterator<Item = &Structure> {
        self.entries.iter().map(|e| &e.structure)
    }

    /// Names of all properties, sorted, with the number of structures that have each.
    pub fn property_names(&self) -> BTreeMap<&str, usize> {
        let mut names = BTreeMap::new();
        for key in self.structures().flat_map(|s| s.properties.keys()) {
            *names.entry(key.as_str()).or_insert(0) += 1;
        }
        names
    }

    /// Largest number of atoms in a cell; 0 without structures.
    pub fn max_atoms(&self) -> usize {
        self.structures().map(Structure::len).max().unwrap_or(0)
    }

    /// Keeps the entries that pass every filter and renews the content hash.
    ///
    /// # Errors
    /// [`DataError::Filter`] when a filter names a property that no entry has or compares text with a number;
    /// [`DataError::NothingLeft`] when no entry passes.
    pub fn filter(mut self, filters: &[Filter]) -> Result<Self, DataError> {
        if filters.is_empty() {
            return Ok(self);
        }
        for filter in filters {
            filter.check_rows(
                &self.name,
                self.entries.iter().map(|e| (e.id.as_str(), &e.structure.properties)),
            )?;
        }
        let total = self.entries.len();
        self.retain(|e| filters.iter().all(|f| f.accepts(&e.structure)));
        if self.entries.is_empty() {
            let filters = filters.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ");
            return Err(DataError::NothingLeft { name: self.name, total, filters });
        }
        if self.entries.len() < total {
            self.warnings.push(format!("{} of {total} structures pass the filters", self.entries.len()));
        }
        Ok(self)
    }

    /// Keeps the entries that pass, and renews the content hash.
    pub fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        let total = self.entries.len();
        self.entries.retain(keep);
        self.renew_hash(total);
    }

    /// Keeps the first `limit` entries, and renews the content hash.
    pub fn truncate(&mut self, limit: usize) {
        let total = self.entries.len();
        self.entries.truncate(limit);
        self.renew_hash(total);
    }

    /// Takes out the entries that pass, as a data set of their own with the order kept, and renews the content hash.
    pub fn take(&mut self, name: impl Into<String>, pass: impl FnMut(&Entry) -> bool) -> Self {
        let total = self.entries.len();
        let (taken, kept) = std::mem::take(&mut self.entries).into_iter().partition(pass);
        self.entries = kept;
        self.renew_hash(total);
        Self::new(name, taken)
    }

    /// The entries of several sets as one, with what was skipped and the warnings of all.
    pub fn joined(name: impl Into<String>, sets: impl IntoIterator<Item = Self>) -> Self {
        let (mut entries, mut skipped, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for set in sets {
            entries.extend(set.entries);
            skipped.extend(set.skipped);
            warnings.extend(set.warnings);
        }
        Self { skipped, warnings, ..Self::new(name, entries) }
    }

    fn renew_hash(&mut self, total: usize) {
        if self.entries.len() < total {
            self.content_hash = store::content_hash(&self.entries);
        }
    }
}
