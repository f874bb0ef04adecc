//! The data set in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use druse_crystal::Structure;
use serde::{Deserialize, Serialize};

use crate::{DataError, Filter, store};

/// 2⁵³: below it every whole number is an `f64`.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// One property of one structure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A finite number, in the unit of the source's column.
    Number(f64),
    /// Anything else.
    Text(String),
}

impl Value {
    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(x) => Some(*x),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(t) => Some(t),
            _ => None,
        }
    }

    /// Word for the kind of value in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
        }
    }

    /// The value as JSON; whole numbers below 2⁵³ without a fraction.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(b) => (*b).into(),
            // Not for -0, whose sign would be lost.
            Self::Number(x)
                if x.fract() == 0.0 && x.abs() < MAX_WHOLE && x.to_bits() != (-0.0f64).to_bits() =>
            {
                (*x as i64).into()
            }
            Self::Number(x) => (*x).into(),
            Self::Text(t) => t.as_str().into(),
        }
    }

    /// The value of a JSON scalar; lists and objects become their JSON text, `null` is no value.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Null => None,
            serde_json::Value::Bool(b) => Some(Self::Bool(*b)),
            serde_json::Value::Number(n) => n.as_f64().filter(|x| x.is_finite()).map(Self::Number),
            serde_json::Value::String(t) => Some(Self::Text(t.clone())),
            nested => Some(Self::Text(nested.to_string())),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => b.fmt(f),
            Self::Number(x) => x.fmt(f),
            Self::Text(t) => t.fmt(f),
        }
    }
}

/// One structure of a data set with its properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Identifier: the id column of a table, the data block, or the file's name.
    pub id: String,
    /// The crystal. Site labels and structure-level properties are not kept here:
    /// the latter are found in [`Entry::properties`].
    pub structure: Structure,
    /// Named values; a property without value is absent.
    pub properties: BTreeMap<String, Value>,
}

impl Entry {
    /// The structure with the entry's properties as its own.
    pub fn into_structure(self) -> Structure {
        let properties =
            self.properties.iter().map(|(name, value)| (name.clone(), value.to_json())).collect();
        Structure { properties, ..self.structure }
    }
}

/// A structure of the source that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The file.
    pub file: PathBuf,
    /// Row of the table or number of the structure in the file, from 1 (a header does not count).
    pub row: Option<usize>,
    /// Line of the file at which the row begins, from 1.
    pub line: Option<usize>,
    /// Identifier, where it could be read.
    pub id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(row) = self.row {
            write!(f, ", row {row}")?;
        }
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        if let Some(id) = &self.id {
            write!(f, ", id {id}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Structures with identifiers and properties, in the order of their source.
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
    /// Remarks of the readers (deuterium read as hydrogen, files passed over …), each once with its count.
    pub notes: Vec<String>,
}

impl Dataset {
    /// A data set from its entries, with its content hash.
    pub fn new(name: impl Into<String>, entries: Vec<Entry>) -> Self {
        let content_hash = store::content_hash(&entries);
        Self { name: name.into(), entries, content_hash, skipped: Vec::new(), notes: Vec::new() }
    }

    /// Number of structures.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no structure.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The structures without identifiers and properties.
    pub fn structures(&self) -> impl ExactSizeIterator<Item = &Structure> {
        self.entries.iter().map(|e| &e.structure)
    }

    /// Names of all properties, sorted, with the number of structures that have each.
    pub fn property_names(&self) -> BTreeMap<&str, usize> {
        let mut names = BTreeMap::new();
        for key in self.entries.iter().flat_map(|e| e.properties.keys()) {
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
            filter.check(&self)?;
        }
        let total = self.entries.len();
        self.entries.retain(|e| filters.iter().all(|f| f.accepts(e)));
        if self.entries.is_empty() {
            let filters = filters.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ");
            return Err(DataError::NothingLeft { name: self.name, total, filters });
        }
        if self.entries.len() < total {
            self.notes.push(format!("{} of {total} structures pass the filters", self.entries.len()));
            self.content_hash = store::content_hash(&self.entries);
        }
        Ok(self)
    }
}
