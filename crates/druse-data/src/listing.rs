//! Every row of a source, as a structure or as the reason why there is none: what evaluation reads.

use std::path::{Path, PathBuf};

use druse_crystal::formats::{CoincidentSites, Warning};
use druse_crystal::{Composition, Properties, Structure};

use crate::crystens::Decoding;
use crate::entry::default_id;
use crate::load::{in_pool, name_of};
use crate::source::{AllRows, Found, Reading, Row, Source, json_lines, refused_by_doubts};
use crate::{DataError, Dataset, Entry, Filter, Skipped};

/// How a source is listed.
#[derive(Debug, Clone, PartialEq)]
pub struct ListOptions {
    /// Comparisons of properties that a row must pass to be listed ([`Filter::Property`]), whether or not it gives a
    /// structure; other filters look at the structure, and rows without one pass them.
    pub filters: Vec<Filter>,
    /// What becomes of coincident sites (default: they are kept, for a judge).
    pub coincident: CoincidentSites,
    /// Whether a structure that may be another one than its author meant counts as absent: a guess of the reader, or a
    /// contradiction within the file ([`WarningKind::is_doubt`](druse_crystal::formats::WarningKind::is_doubt)); default
    /// `false`.
    pub strict: bool,
    /// Whether a table of formulas is a source: a row that tells no structure, but a formula, is absent with its composition
    /// ([`Absent::composition`]); default `false`.
    pub formulas: bool,
    /// How images ([`crystens`](crate::crystens)) become structures, where the source is a file of them.
    pub decoding: Decoding,
    /// Worker threads; `None` for rayon's global pool.
    pub threads: Option<usize>,
}

impl Default for ListOptions {
    fn default() -> Self {
        Self {
            filters: Vec::new(),
            coincident: CoincidentSites::Keep,
            strict: false,
            formulas: false,
            decoding: Decoding::default(),
            threads: None,
        }
    }
}

/// One row of a source: an entry, or the reason why there is none.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Identifier: the id column of a table, the data block, or the file's name; `row-3` for a row without one.
    pub id: String,
    /// Whether the identifier was counted (`row-3`, or the number of a frame), because the source gives none. Such a name
    /// says nothing about rows of other sources.
    pub counted: bool,
    /// The file; empty for a structure in memory.
    pub file: PathBuf,
    /// Row of the table or number of the structure in the file, from 1 (a header does not count).
    pub row: Option<usize>,
    /// Line of the file at which the row begins, from 1.
    pub line: Option<usize>,
    /// The structure as it stands in the source, with its properties, or what is known without one.
    pub outcome: Result<Structure, Absent>,
    /// What the reader of the structure had to interpret, repair or leave out.
    pub warnings: Vec<String>,
}

/// What is known of a row that gives no structure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Absent {
    /// Why there is no structure.
    pub reason: String,
    /// Its properties, in the form of [`properties::scalar`](crate::properties::scalar).
    pub properties: Properties,
    /// The elements, where the row tells them.
    pub composition: Option<Composition>,
}

/// All rows of a source in its order: what is judged.
///
/// It is a [`Dataset`] that leaves nothing out: the same structures with their properties, and in the place of each one
/// that is missing the reason. Either is made [`from`](From) the other.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Listing {
    /// Short name, taken from the source: `mp_20/test`.
    pub name: String,
    /// Where it was read from; empty for structures in memory.
    pub path: PathBuf,
    /// BLAKE3 (hex) of the source's bytes, before filters; of structures in memory, [`Listing::structures_hash`].
    pub source_hash: String,
    /// The rows.
    pub items: Vec<Item>,
    /// Warnings of the readers, each once with its count.
    pub warnings: Vec<String>,
}

impl Item {
    /// The structure, where there is one.
    pub fn structure(&self) -> Option<&Structure> {
        self.outcome.as_ref().ok()
    }

    /// Named values, also of a row without a structure; a property without value is absent.
    pub fn properties(&self) -> &Properties {
        match &self.outcome {
            Ok(structure) => &structure.properties,
            Err(absent) => &absent.properties,
        }
    }

    /// The elements, also of a row that gives no structure but tells them.
    pub fn composition(&self) -> Option<Composition> {
        match &self.outcome {
            Ok(structure) => Some(Composition::from_species(&structure.species)),
            Err(absent) => absent.composition.clone(),
        }
    }

    /// Why there is no structure, unless there is one.
    pub fn reason(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(|absent| absent.reason.as_str())
    }

    /// The row as one that was left out, for messages; `None` when it gave a structure.
    pub fn skipped(&self) -> Option<Skipped> {
        Some(Skipped {
            reason: self.reason()?.to_owned(),
            file: self.file.clone(),
            row: self.row,
            line: self.line,
            id: Some(self.id.clone()),
        })
    }

    fn passes(&self, filter: &Filter) -> bool {
        match (filter, &self.outcome) {
            (Filter::Property { .. }, _) => filter.accepts_properties(self.properties()),
            (_, Ok(structure)) => filter.accepts_structure(structure),
            (_, Err(_)) => true,
        }
    }
}

impl From<Listing> for Dataset {
    /// The structures as entries, the rows without one as skipped.
    fn from(listing: Listing) -> Self {
        let (mut entries, mut skipped) = (Vec::new(), Vec::new());
        for item in listing.items {
            skipped.extend(item.skipped());
            if let Ok(structure) = item.outcome {
                entries.push(Entry { id: item.id, structure });
            }
        }
        Self { skipped, warnings: listing.warnings, ..Self::new(listing.name, entries) }
    }
}

impl From<Dataset> for Listing {
    /// The entries as rows, and behind them those that were skipped.
    fn from(dataset: Dataset) -> Self {
        let entries = (1..).zip(dataset.entries).map(|(k, Entry { id, structure })| Item {
            counted: id == default_id(Some(k)),
            id,
            file: PathBuf::new(),
            row: Some(k),
            line: None,
            outcome: Ok(structure),
            warnings: Vec::new(),
        });
        let skipped = dataset.skipped.into_iter().map(|Skipped { file, row, line, id, reason }| Item {
            counted: id.is_none(),
            id: id.unwrap_or_else(|| default_id(row)),
            file,
            row,
            line,
            outcome: Err(Absent { reason, ..Absent::default() }),
            warnings: Vec::new(),
        });
        let items = entries.chain(skipped).collect();
        let listing = Self { name: dataset.name, items, warnings: dataset.warnings, ..Self::default() };
        Self { source_hash: listing.structures_hash(), ..listing }
    }
}

impl Listing {
    /// A listing of structures in memory, named `row-1`, `row-2` and so on.
    pub fn from_structures(name: impl Into<String>, structures: impl IntoIterator<Item = Structure>) -> Self {
        Dataset::from_structures(name, structures).into()
    }

    /// Number of rows, those without a structure included.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds rows that pass the filters.
    pub fn extend(&mut self, items: impl IntoIterator<Item = Item>, filters: &[Filter]) {
        self.items.extend(items.into_iter().filter(|item| filters.iter().all(|f| item.passes(f))));
    }

    /// The rows that gave no structure.
    pub fn failures(&self) -> impl Iterator<Item = Skipped> + '_ {
        self.items.iter().filter_map(Item::skipped)
    }

    /// BLAKE3 (hex) over cells, species and coordinates in order; a row without a structure counts as such. It does
    /// not depend on place, name, format, identifiers or properties.
    pub fn structures_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.items.len() as u64).to_le_bytes());
        for item in &self.items {
            let Ok(structure) = &item.outcome else {
                hasher.update(&0u32.to_le_bytes());
                continue;
            };
            hasher.update(&(structure.len() as u32).to_le_bytes());
            for x in structure.lattice.rows().iter().chain(&structure.frac_coords).flatten() {
                hasher.update(&x.to_le_bytes());
            }
            hasher.update(&structure.atomic_numbers());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Lists a file in any [`SetFormat`](crate::SetFormat) (also gzip-compressed) or a folder of structure files.
///
/// Unlike [`load`](crate::load) it leaves nothing out and changes nothing: cells are not reduced, coincident sites (unless
/// [`ListOptions::coincident`] refuses them) and cells of next to no volume are structures, and a row that gives none stays
/// in its place with the reason.
///
/// # Errors
/// [`DataError`]: the source cannot be read, is no data set, holds no row, or no row passes the filters.
pub fn list(path: &Path, options: &ListOptions) -> Result<Listing, DataError> {
    let source = Source::open(path)?;
    let (coincident, strict, decoding) = (options.coincident, options.strict, options.decoding);
    let reading = Reading { coincident, cut_end: false, strict, formulas: options.formulas, decoding };
    let AllRows { rows, mut warnings } = in_pool(options.threads, || source.rows(reading))??;
    if rows.is_empty() {
        return Err(DataError::Empty { path: path.to_owned(), reason: "it holds no structure".into() });
    }
    let items = rows.into_iter().map(|(file, row)| item(path, &file, row));
    let mut items: Vec<Item> = items.collect();
    let (name, total) = (name_of(path), items.len());
    for filter in &options.filters {
        filter.check_rows(&name, items.iter().map(|i| (i.id.as_str(), i.properties())))?;
    }
    items.retain(|item| options.filters.iter().all(|f| item.passes(f)));
    if items.is_empty() {
        let filters = options.filters.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ");
        return Err(DataError::NothingLeft { name, total, filters });
    }
    if items.len() < total {
        warnings.push(format!("{} of {total} rows pass the filters", items.len()));
    }
    Ok(Listing { name, path: path.to_owned(), source_hash: source.hash(), items, warnings })
}

/// A row of the source at `path`, from the file at `file` below it.
fn item(path: &Path, file: &Path, row: Row) -> Item {
    let (outcome, warnings) = match row.outcome {
        Ok(Found { structure, warnings }) => (Ok(structure), warnings),
        Err(reason) => {
            let absent = Absent { reason, properties: row.properties, composition: row.composition };
            (Err(absent), Vec::new())
        }
    };
    Item {
        counted: row.counted || row.id.is_none(),
        id: row.id.unwrap_or_else(|| default_id(row.row)),
        file: if file.as_os_str().is_empty() { path.to_owned() } else { path.join(file) },
        row: row.row,
        line: row.line,
        outcome,
        warnings: warnings.into_iter().map(|w| w.text).collect(),
    }
}

/// One line of the JSON Lines file at `path` as [`list`] gives it with default options, for readers that do not hold
/// the whole file; `row` and `line` are its numbers, from 1.
pub fn list_json_line(text: &str, path: &Path, row: usize, line: usize) -> Item {
    let reading = Reading {
        coincident: CoincidentSites::Keep,
        cut_end: false,
        strict: false,
        formulas: true,
        decoding: Decoding::default(),
    };
    let mut read = json_lines::row(row.saturating_sub(1), json_lines::parse(text), reading);
    read.line = Some(line);
    if let Ok(found) = &mut read.outcome {
        found.adopt(std::mem::take(&mut read.properties));
    }
    item(path, Path::new(""), read)
}

/// The lines of a JSON Lines file (`.gz` is decompressed) with their numbers, from 1, each as JSON or as the reason why it
/// is none. `NaN` and infinities, which Python writes although they are no JSON, are `null`. Empty lines are left out.
///
/// # Errors
/// [`DataError`]: the file cannot be read, is no text, or has no line.
pub fn read_json_lines(path: &Path) -> Result<Vec<NumberedJson>, DataError> {
    let lines = Source::open(path)?.lines()?;
    if lines.is_empty() {
        return Err(DataError::Empty { path: path.to_owned(), reason: "it has no line".into() });
    }
    Ok(lines.into_iter().map(|(number, line)| (number, json_lines::parse(&line))).collect())
}

/// Number of a line and its JSON, or why it is none.
pub type NumberedJson = (usize, Result<serde_json::Value, String>);

/// The structure of a CIF text or of a JSON object, in any of the forms that a line of a JSON Lines file may have: a member `structure`,
/// a CIF text in `cif`, a pymatgen dictionary, or lists: the cell in `lattice` (rows in Å) or in `lengths` (Å) and
/// `angles` (degrees), the elements in `species` (symbols), `atomic_numbers` or `atom_types`, and `frac_coords`.
///
/// # Errors
/// Why the object gives no structure.
pub fn structure_from_json(value: &serde_json::Value) -> Result<Structure, String> {
    read_json_structure(value, false).map(|(structure, _)| structure)
}

/// As [`structure_from_json`], with what the reader had to interpret, repair or leave out.
///
/// # Errors
/// Why the object gives no structure; with `strict` also doubts about it ([`Warning::is_doubt`]).
pub fn read_json_structure(
    value: &serde_json::Value,
    strict: bool,
) -> Result<(Structure, Vec<Warning>), String> {
    let found = match value {
        serde_json::Value::Object(object) => json_lines::structure(object, CoincidentSites::Keep),
        serde_json::Value::String(text) => json_lines::from_text(text, CoincidentSites::Keep),
        _ => Err("no JSON object".to_owned()),
    };
    let found = found?;
    match refused_by_doubts(&found.1).filter(|_| strict) {
        Some(reason) => Err(reason),
        None => Ok(found),
    }
}
