//! Reading a source: which files, in which format, and what becomes of each structure.

mod csv;
mod files;
mod images;
mod json_documents;
pub(crate) mod json_lines;
mod warnings;

use std::path::{Path, PathBuf};

use druse_crystal::content::{self, ContentError};
use druse_crystal::files as disk;
use druse_crystal::formats::{
    COINCIDENCE_DISTANCE, CoincidentSites, Format, Warning, coincident_sites, without_gz,
};
use druse_crystal::{Composition, Properties, Structure};
use rayon::prelude::*;
use warnings::Warnings;

pub use images::image_consistency;

use crate::crystens::{Decoding, is_image_file};
use crate::entry::default_id;
use crate::formats::SetFormat;
use crate::store::{Import, VERSION};
use crate::{DataError, Entry, Skipped, properties};

/// A file or folder to import, its bytes hashed.
pub(crate) struct Source {
    root: PathBuf,
    /// Files below the root in order of their names; only the empty path when the root is a file.
    files: Vec<PathBuf>,
    /// The bytes of a single file, as it lies on disk.
    bytes: Vec<u8>,
    hash: blake3::Hash,
    warnings: Vec<String>,
}

/// How structures are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What becomes of coincident sites.
    pub coincident: CoincidentSites,
    /// Whether half a line at the end of a file is the trace of an interrupted writer and left out, instead of a row that
    /// gives no structure.
    pub cut_end: bool,
    /// Whether a structure that may be another one than its author meant is refused ([`Warning::is_doubt`]).
    pub strict: bool,
    /// Whether rows without a structure tell their composition by a formula.
    pub formulas: bool,
    /// How images become structures.
    pub decoding: Decoding,
}

impl Reading {
    /// To learn from: structures that nothing could be computed of are unusable.
    pub fn to_learn(strict: bool, decoding: Decoding) -> Self {
        Self { coincident: CoincidentSites::Refuse, cut_end: true, strict, formulas: false, decoding }
    }
}

/// A structure as a reader found it, before checks and reduction.
pub(crate) struct Found {
    pub structure: Structure,
    pub warnings: Vec<Warning>,
}

/// One row of a source: where it is and what it gives, or why nothing.
pub(crate) struct Row {
    pub row: Option<usize>,
    pub line: Option<usize>,
    pub id: Option<String>,
    /// Whether the identifier is a number that was counted, because the source gives none.
    pub counted: bool,
    /// Its columns or members in the form of [`properties::scalar`], also where there is no structure.
    pub properties: Properties,
    /// Its elements, where they are told although there is no structure.
    pub composition: Option<Composition>,
    pub outcome: Result<Found, String>,
}

/// The rows of one file and warnings about it.
#[derive(Default)]
pub(crate) struct Rows {
    pub rows: Vec<Row>,
    warnings: Vec<String>,
}

/// Every row of a source with its file below the root, and the warnings about them.
pub(crate) struct AllRows {
    pub rows: Vec<(PathBuf, Row)>,
    pub warnings: Vec<String>,
}

impl Source {
    /// Finds the files of a source and hashes their bytes.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let root = path.to_owned();
        if !disk::is_dir(path)? {
            let bytes = disk::read(path)?;
            if bytes.is_empty() {
                return Err(DataError::Empty { path: root, reason: "the file has 0 bytes".into() });
            }
            let hash = blake3::hash(&bytes);
            return Ok(Self { root, files: vec![PathBuf::new()], bytes, hash, warnings: Vec::new() });
        }
        let (files, warnings) = files::in_folder(path)?;
        let hashes: Result<Vec<blake3::Hash>, DataError> =
            files.par_iter().map(|relative| Ok(blake3::hash(&disk::read(&path.join(relative))?))).collect();
        let mut hasher = blake3::Hasher::new();
        for (relative, hash) in files.iter().zip(hashes?) {
            hasher.update(relative.to_string_lossy().as_bytes()).update(&[0]).update(hash.as_bytes());
        }
        Ok(Self { root, files, bytes: Vec::new(), hash: hasher.finalize(), warnings })
    }

    /// BLAKE3 (hex) of the source's bytes; of a folder, over names and bytes of its files.
    pub fn hash(&self) -> String {
        self.hash.to_hex().to_string()
    }

    /// Key of the packed import: the source's bytes, its name (which may say the format and give identifiers),
    /// the options and the versions of program and store.
    pub fn key(&self, niggli: bool, strict: bool, decoding: Decoding) -> String {
        let name = self.root.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let decoding = match decoding == Decoding::default() {
            true => String::new(),
            false => format!(" {decoding:?}"),
        };
        let text = format!(
            "druse {} store {VERSION} niggli {niggli} strict {strict}{decoding} files {} name {name}\n{}",
            env!("CARGO_PKG_VERSION"),
            self.files.len(),
            self.hash.to_hex()
        );
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    }

    /// Reads every structure; in parallel, in the order of the source.
    pub fn import(&self, niggli: bool, strict: bool, decoding: Decoding) -> Result<Import, DataError> {
        let mut import = Import { entries: Vec::new(), skipped: Vec::new(), warnings: Vec::new() };
        let mut warnings = Warnings::default();
        warnings.of_files(&self.warnings);
        for (rows, relative) in self.read(Reading::to_learn(strict, decoding))?.into_iter().zip(&self.files) {
            collect(rows, relative, niggli, &mut import, &mut warnings);
        }
        warnings.repeated_ids(import.entries.iter().map(|e| e.id.as_str()).collect());
        import.warnings = warnings.finish();
        Ok(import)
    }

    /// The rows of each file, in the order of [`Source::files`].
    fn read(&self, reading: Reading) -> Result<Vec<Rows>, DataError> {
        let mut files = self.read_files(reading)?;
        if reading.strict {
            files.par_iter_mut().flat_map_iter(|file| &mut file.rows).for_each(Row::refuse_doubts);
        }
        Ok(files)
    }

    fn read_files(&self, reading: Reading) -> Result<Vec<Rows>, DataError> {
        if let [single] = self.files.as_slice()
            && single.as_os_str().is_empty()
        {
            return Ok(vec![read_file(&self.root, &self.bytes, reading)?]);
        }
        let read = self.files.par_iter().map(|relative| {
            let path = self.root.join(relative);
            let id = Some(stem(&relative.to_string_lossy()).to_owned());
            let bytes = disk::read(&path).map_err(DataError::from);
            if bytes.as_ref().is_ok_and(|bytes| is_something_else(&path, bytes)) {
                let warning = format!("`{}` holds no structure and is passed over", relative.display());
                return Rows { rows: Vec::new(), warnings: vec![warning] };
            }
            let rows = bytes
                .and_then(|bytes| read_file(&path, &bytes, reading))
                .unwrap_or_else(|e| Rows::broken_file(e.to_string()));
            let empty = rows.rows.is_empty();
            let rows = if empty { Rows::broken_file("the file is empty".into()) } else { rows };
            rows.under(id)
        });
        Ok(read.collect())
    }

    /// The non-empty lines of a single file with their numbers, from 1.
    pub fn lines(&self) -> Result<Vec<(usize, String)>, DataError> {
        let bytes = content::unpack(&self.root, &self.bytes).map_err(no_text(&self.root))?;
        let text = content::decode_rows(&bytes).map_err(no_text(&self.root))?;
        let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
        Ok(lines.map(|(k, line)| (k + 1, line.to_owned())).collect())
    }

    /// Every row of the source as it is, in order.
    pub fn rows(&self, reading: Reading) -> Result<AllRows, DataError> {
        let mut warnings = Warnings::default();
        warnings.of_files(&self.warnings);
        let mut all = Vec::new();
        for (rows, relative) in self.read(reading)?.into_iter().zip(&self.files) {
            warnings.of_files(&rows.warnings);
            for mut row in rows.rows {
                if let Ok(found) = &mut row.outcome {
                    warnings.of_structure(&found.warnings);
                    found.adopt(std::mem::take(&mut row.properties));
                }
                all.push((relative.clone(), row));
            }
        }
        warnings.repeated_ids(all.iter().filter_map(|(_, row)| row.id.as_deref()).collect());
        Ok(AllRows { rows: all, warnings: warnings.finish() })
    }
}

impl Rows {
    fn broken_file(reason: String) -> Self {
        Self { rows: vec![Row::broken(None, reason)], warnings: Vec::new() }
    }

    /// Identifiers of a file inside a folder: the file's, with the structure's name behind it if there are several.
    fn under(mut self, file: Option<String>) -> Self {
        let single = self.rows.len() == 1;
        for (k, row) in self.rows.iter_mut().enumerate() {
            row.counted = false;
            row.id = match (&file, row.id.take()) {
                (Some(file), _) if single => Some(file.clone()),
                (Some(file), Some(name)) => Some(format!("{file}/{name}")),
                (Some(file), None) => Some(format!("{file}/{}", k + 1)),
                (None, name) => name,
            };
        }
        self
    }
}

/// Checks and reduces the structures of a file and appends them.
fn collect(rows: Rows, file: &Path, niggli: bool, import: &mut Import, warnings: &mut Warnings) {
    warnings.of_files(&rows.warnings);
    let done: Vec<Result<(Entry, Vec<Warning>), Skipped>> =
        rows.rows.into_par_iter().map(|row| row.finish(file, niggli)).collect();
    for outcome in done {
        match outcome {
            Ok((entry, of_entry)) => {
                warnings.of_structure(&of_entry);
                import.entries.push(entry);
            }
            Err(skipped) => import.skipped.push(skipped),
        }
    }
}

impl Row {
    /// A row of which nothing but the reason is known, and maybe a name.
    fn broken(id: Option<String>, reason: String) -> Self {
        Self {
            row: None,
            line: None,
            id,
            counted: false,
            properties: Properties::new(),
            composition: None,
            outcome: Err(reason),
        }
    }

    /// Refuses a structure that may be another one than its author meant.
    fn refuse_doubts(&mut self) {
        let Ok(found) = &self.outcome else { return };
        if let Some(reason) = refused_by_doubts(&found.warnings) {
            self.composition = Some(Composition::from_species(&found.structure.species));
            self.outcome = Err(reason);
        }
    }

    fn finish(self, file: &Path, niggli: bool) -> Result<(Entry, Vec<Warning>), Skipped> {
        let Self { row, line, id, properties, outcome, .. } = self;
        match outcome.and_then(|found| found.prepare(niggli, properties)) {
            Ok(Found { structure, warnings }) => {
                let id = id.unwrap_or_else(|| default_id(row));
                Ok((Entry { id, structure }, warnings))
            }
            Err(reason) => Err(Skipped { file: file.to_owned(), row, line, id, reason }),
        }
    }
}

/// Why strict reading refuses a structure with these warnings.
pub(crate) fn refused_by_doubts(warnings: &[Warning]) -> Option<String> {
    let doubts: Vec<&str> = warnings.iter().filter(|w| w.is_doubt()).map(|w| w.text.as_str()).collect();
    (!doubts.is_empty()).then(|| format!("refused because of --strict: {}", doubts.join("; ")))
}

impl Found {
    /// Gives the structure the columns or members of its row as properties, before those that it brings along.
    pub(crate) fn adopt(&mut self, columns: Properties) {
        let own = std::mem::replace(&mut self.structure.properties, columns);
        for (name, value) in own {
            if let Some(value) = properties::scalar(&value) {
                self.structure.properties.entry(name).or_insert(value);
            }
        }
        self.structure.labels.clear();
    }

    /// Puts the properties in their place, refuses coincident sites, reduces the cell.
    fn prepare(mut self, niggli: bool, columns: Properties) -> Result<Self, String> {
        self.adopt(columns);
        if let Some((i, j, _)) = coincident_sites(&self.structure) {
            let name = |k: usize| format!("{} (site {})", self.structure.species[k].symbol(), k + 1);
            let (first, second) = (name(i), name(j));
            return Err(format!("{first} and {second} coincide (are nearer than {COINCIDENCE_DISTANCE} Å)"));
        }
        if niggli {
            self.structure = self.structure.niggli_reduced().map_err(|e| e.to_string())?;
        }
        Ok(self)
    }
}

/// Reads one file in the format that its name tells, else its content.
fn read_file(path: &Path, raw: &[u8], reading: Reading) -> Result<Rows, DataError> {
    let bytes = content::unpack(path, raw).map_err(no_text(path))?;
    let format = match SetFormat::from_path(path) {
        Some(SetFormat::Crystens) => return images::read(path, &bytes, reading),
        Some(format) => format,
        None if is_image_file(&bytes) => return images::read(path, &bytes, reading),
        None => format_by_content(&content::decode_rows(&bytes).map_err(no_text(path))?)
            .ok_or_else(|| DataError::UnknownFormat { path: path.to_owned() })?,
    };
    let decode = match format {
        SetFormat::Structures(_) => content::decode,
        _ => content::decode_rows,
    };
    let text = decode(&bytes).map_err(no_text(path))?;
    if text.bytes().all(|b| b.is_ascii_whitespace()) {
        return Ok(Rows::default());
    }
    match format {
        SetFormat::Csv => csv::read(path, &text, reading),
        SetFormat::JsonLines => {
            // One document over several lines, under the name of JSON Lines.
            let first = text.lines().map(str::trim).find(|l| !l.is_empty());
            let document = first.is_some_and(|line| matches!(line, "{" | "[") || line.starts_with("[{"));
            let rows = document.then(|| json_documents::read(&text, reading)).flatten();
            Ok(rows.unwrap_or_else(|| json_lines::read(&text, reading)))
        }
        SetFormat::Crystens => images::read(path, &bytes, reading),
        SetFormat::Structures(format) => Ok(files::read(path, &text, format, reading)),
    }
}

/// Whether a file of a folder is JSON about something else than structures.
fn is_something_else(path: &Path, raw: &[u8]) -> bool {
    SetFormat::from_path(path) == Some(SetFormat::Structures(Format::PymatgenJson))
        && content::unpack(path, raw).is_ok_and(|bytes| {
            content::decode(&bytes).is_ok_and(|text| json_documents::is_something_else(&text))
        })
}

fn no_text(path: &Path) -> impl FnOnce(ContentError) -> DataError + '_ {
    move |source| DataError::Content { path: path.to_owned(), source }
}

/// A file's name without `.gz` and its extension; `POSCAR` stays.
pub(crate) fn stem(name: &str) -> &str {
    let name = without_gz(name);
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !stem.ends_with('/') && !extension.contains('/') => {
            stem
        }
        _ => name,
    }
}

/// The format of a file whose name says nothing, by its first lines.
fn format_by_content(text: &str) -> Option<SetFormat> {
    let first = text.lines().map(str::trim).find(|l| !l.is_empty())?;
    if first.starts_with('{') && json_lines::is_object(first) {
        return Some(SetFormat::JsonLines);
    }
    if csv::has_cif_column(first) {
        return Some(SetFormat::Csv);
    }
    Format::from_content(text).map(SetFormat::Structures)
}

/// Columns and members that may hold the formula of a row, in order of preference.
const FORMULAS: [&str; 5] = ["composition", "formula", "pretty_formula", "formula_pretty", "reduced_formula"];

/// Reduced formula of a structure.
pub(crate) fn reduced_formula(structure: &Structure) -> String {
    Composition::from_species(&structure.species).reduced_formula()
}
