//! Reading a source: which files, in which format, and what becomes of each structure.

mod csv;
mod files;
mod images;
mod json_documents;
pub(crate) mod json_lines;
mod packed;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
mod tests;
mod text;
mod warnings;

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

use druse_crystal::content::{self, ContentError};
use druse_crystal::files::{self as disk, Action, FileError};
use druse_crystal::formats::{
    COINCIDENCE_DISTANCE, CoincidentSites, Format, Warning, coincident_sites, without_gz,
};
use druse_crystal::{Composition, Properties, Structure};
use rayon::prelude::*;
use text::{TextBlocks, TextReader};
use warnings::{RepeatedIds, Warnings};

pub use images::image_consistency;

use crate::crystens::{Decoding, is_image_file};
use crate::entry::default_id;
use crate::formats::SetFormat;
use crate::store::{Beside, Import, READING};
use crate::{DataError, Entry, Skipped, properties};

/// A file or folder to import, its bytes hashed.
pub(crate) struct Source {
    root: PathBuf,
    /// Files below the root in order of their names; only the empty path when the root is a file.
    files: Vec<PathBuf>,
    sizes: Sizes,
    contents: Contents,
    hash: blake3::Hash,
    warnings: Vec<String>,
}

/// What is held of the bytes of a source.
enum Contents {
    /// A small file, as it lies on disk.
    File(Vec<u8>),
    /// A file that is read block by block.
    Large,
    /// A folder.
    Folder,
}

/// From which sizes on files are read block by block, in bytes as they lie on disk, and how large blocks of text are.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    whole: u64,
    /// The same for gzip data, which grows tenfold.
    whole_gzip: u64,
    block: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { whole: 1 << 24, whole_gzip: 1 << 21, block: 1 << 23 }
    }
}

/// Files of a folder that are read side by side.
const FILES: usize = 512;

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
        Self::open_with(path, Sizes::default())
    }

    fn open_with(path: &Path, sizes: Sizes) -> Result<Self, DataError> {
        let root = path.to_owned();
        if !disk::is_dir(path)? {
            let (contents, hash) = contents(path, sizes)?;
            return Ok(Self {
                root,
                files: vec![PathBuf::new()],
                sizes,
                contents,
                hash,
                warnings: Vec::new(),
            });
        }
        let (files, warnings) = files::in_folder(path)?;
        let hashes: Result<Vec<blake3::Hash>, DataError> =
            files.par_iter().map(|relative| hash_of(&path.join(relative))).collect();
        let mut hasher = blake3::Hasher::new();
        for (relative, hash) in files.iter().zip(hashes?) {
            hasher.update(relative.to_string_lossy().as_bytes()).update(&[0]).update(hash.as_bytes());
        }
        Ok(Self { root, files, sizes, contents: Contents::Folder, hash: hasher.finalize(), warnings })
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
            "druse {} store {READING} niggli {niggli} strict {strict}{decoding} files {} name {name}\n{}",
            env!("CARGO_PKG_VERSION"),
            self.files.len(),
            self.hash.to_hex()
        );
        blake3::hash(text.as_bytes()).to_hex()[..32].to_owned()
    }

    /// Reads every structure; in parallel, in the order of the source.
    pub fn import(&self, niggli: bool, strict: bool, decoding: Decoding) -> Result<Import, DataError> {
        let mut entries = Vec::new();
        let mut keep = |entry| {
            entries.push(entry);
            Ok(())
        };
        let beside = self.import_each(niggli, strict, decoding, &mut keep)?;
        Ok(Import { entries, beside })
    }

    /// Reads every structure and hands them on one by one, in the order of the source.
    pub fn import_each(
        &self,
        niggli: bool,
        strict: bool,
        decoding: Decoding,
        take: &mut dyn FnMut(Entry) -> Result<(), DataError>,
    ) -> Result<Beside, DataError> {
        let mut beside = Beside { niggli, strict, ..Beside::default() };
        let (mut warnings, mut ids) = (Warnings::default(), RepeatedIds::default());
        warnings.of_files(&self.warnings);
        self.read(Reading::to_learn(strict, decoding), &mut |file, rows| {
            warnings.of_files(&rows.warnings);
            let done: Vec<Result<(Entry, Vec<Warning>), Skipped>> =
                rows.rows.into_par_iter().map(|row| row.finish(file, niggli)).collect();
            for outcome in done {
                match outcome {
                    Ok((entry, of_entry)) => {
                        warnings.of_structure(&of_entry);
                        ids.add(&entry.id);
                        take(entry)?;
                    }
                    Err(skipped) => beside.skipped.push(skipped),
                }
            }
            Ok(())
        })?;
        warnings.repeated_ids(&ids);
        beside.warnings = warnings.finish();
        Ok(beside)
    }

    /// The rows of each file, in the order of [`Source::files`], in blocks.
    fn read(
        &self,
        reading: Reading,
        take: &mut dyn FnMut(&Path, Rows) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.read_files(reading, &mut |file, mut rows| {
            if reading.strict {
                rows.rows.par_iter_mut().for_each(Row::refuse_doubts);
            }
            take(file, rows)
        })
    }

    fn read_files(
        &self,
        reading: Reading,
        take: &mut dyn FnMut(&Path, Rows) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let itself = Path::new("");
        match &self.contents {
            Contents::File(bytes) => return take(itself, read_file(&self.root, bytes, reading)?),
            Contents::Large => {
                let mut take = |rows| take(itself, rows);
                return read_large(&self.root, self.sizes, reading, &mut take);
            }
            Contents::Folder => {}
        }
        if self.files.iter().all(|file| SetFormat::from_path(file).is_some_and(SetFormat::is_sharded)) {
            return self.files.iter().try_for_each(|file| {
                read_large(&self.root.join(file), self.sizes, reading, &mut |rows| take(file, rows))
            });
        }
        for files in self.files.chunks(FILES) {
            let read: Vec<Rows> =
                files.par_iter().map(|relative| self.read_file_of_folder(relative, reading)).collect();
            for (file, rows) in files.iter().zip(read) {
                take(file, rows)?;
            }
        }
        Ok(())
    }

    fn read_file_of_folder(&self, relative: &Path, reading: Reading) -> Rows {
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
    }

    /// The non-empty lines of a single file with their numbers, from 1.
    pub fn lines(&self) -> Result<Vec<(usize, String)>, DataError> {
        let raw = match &self.contents {
            Contents::File(bytes) => Cow::Borrowed(bytes),
            _ => Cow::Owned(disk::read(&self.root)?),
        };
        let bytes = content::unpack(&self.root, &raw).map_err(no_text(&self.root))?;
        let text = content::decode_rows(&bytes).map_err(no_text(&self.root))?;
        let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
        Ok(lines.map(|(k, line)| (k + 1, line.to_owned())).collect())
    }

    /// Every row of the source as it is, in order.
    pub fn rows(&self, reading: Reading) -> Result<AllRows, DataError> {
        let (mut warnings, mut ids) = (Warnings::default(), RepeatedIds::default());
        warnings.of_files(&self.warnings);
        let mut all = Vec::new();
        self.read(reading, &mut |file, rows| {
            warnings.of_files(&rows.warnings);
            for mut row in rows.rows {
                if let Ok(found) = &mut row.outcome {
                    warnings.of_structure(&found.warnings);
                    found.adopt(std::mem::take(&mut row.properties));
                }
                row.id.iter().for_each(|id| ids.add(id));
                all.push((file.to_owned(), row));
            }
            Ok(())
        })?;
        warnings.repeated_ids(&ids);
        Ok(AllRows { rows: all, warnings: warnings.finish() })
    }
}

/// The files of a folder that is one set in parts ([`SetFormat::is_sharded`]), in order; `None` for other folders.
pub(crate) fn parts_of(folder: &Path) -> Result<Option<Vec<PathBuf>>, DataError> {
    let is_part = |file: &PathBuf| SetFormat::from_path(file).is_some_and(SetFormat::is_sharded);
    match files::in_folder(folder) {
        Ok((files, _)) if files.iter().all(is_part) => {
            Ok(Some(files.iter().map(|file| folder.join(file)).collect()))
        }
        Ok(_) | Err(DataError::Empty { .. } | DataError::FolderOfTables { .. }) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What is held of a file's bytes, and their sum.
fn contents(path: &Path, sizes: Sizes) -> Result<(Contents, blake3::Hash), DataError> {
    let mut head = [0; 2];
    let failed = |e| DataError::from(FileError::wrap(Action::Read, path)(e));
    let n = disk::reader(path)?.read(&mut head).map_err(failed)?;
    let whole = if head == [0x1f, 0x8b] { sizes.whole_gzip } else { sizes.whole };
    if n == 0 {
        return Err(DataError::Empty { path: path.to_owned(), reason: "the file has 0 bytes".into() });
    }
    let packed = SetFormat::from_path(path).is_some_and(SetFormat::is_sharded);
    if packed || disk::size(path)? > whole {
        return Ok((Contents::Large, hash_of(path)?));
    }
    let bytes = disk::read(path)?;
    let hash = blake3::hash(&bytes);
    Ok((Contents::File(bytes), hash))
}

/// BLAKE3 of a file.
fn hash_of(path: &Path) -> Result<blake3::Hash, DataError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(disk::reader(path)?).map_err(FileError::wrap(Action::Read, path))?;
    Ok(hasher.finalize())
}

/// Reads a large file block by block, where its format allows to cut it.
fn read_large(
    path: &Path,
    sizes: Sizes,
    reading: Reading,
    take: &mut dyn FnMut(Rows) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let named = SetFormat::from_path(path);
    match named {
        Some(SetFormat::Store) => return packed::read_blocks(path, reading, take),
        #[cfg(feature = "parquet")]
        Some(SetFormat::Parquet) => return parquet::read_blocks(path, reading, take),
        #[cfg(not(feature = "parquet"))]
        Some(SetFormat::Parquet) => return Err(DataError::WithoutParquet { path: path.to_owned() }),
        Some(SetFormat::Crystens) => return take(read_file(path, &disk::read(path)?, reading)?),
        _ => {}
    }
    let open = || TextBlocks::open(path, sizes.block);
    if let Some(mut blocks) = open()? {
        let head = blocks.next()?.unwrap_or_default();
        let format = match named {
            Some(format) => format,
            None if is_image_file(head.as_bytes()) => SetFormat::Crystens,
            None => {
                format_by_content(&head).ok_or_else(|| DataError::UnknownFormat { path: path.to_owned() })?
            }
        };
        let blocks = || open()?.ok_or_else(|| DataError::UnknownFormat { path: path.to_owned() });
        match format {
            SetFormat::Csv => {
                return csv::read_blocks(path, &|| Ok(TextReader::new(blocks()?)), reading, take);
            }
            SetFormat::JsonLines if !is_document(&head) => {
                return json_lines::read_blocks(blocks()?, reading, take);
            }
            SetFormat::Structures(format) if !format.split(&head).is_empty() => {
                return files::read_blocks(path, format, blocks()?, reading, take);
            }
            _ => {}
        }
    }
    take(read_file(path, &disk::read(path)?, reading)?)
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
            let rows = is_document(&text).then(|| json_documents::read(&text, reading)).flatten();
            Ok(rows.unwrap_or_else(|| json_lines::read(&text, reading)))
        }
        // Binary formats have readers of their own.
        SetFormat::Crystens | SetFormat::Store | SetFormat::Parquet => {
            Err(DataError::UnknownFormat { path: path.to_owned() })
        }
        SetFormat::Structures(format) => Ok(files::read(path, &text, format, reading)),
    }
}

/// Whether a file under the name of JSON Lines begins as one document over several lines.
fn is_document(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|l| !l.is_empty());
    first.is_some_and(|line| matches!(line, "{" | "[") || line.starts_with("[{"))
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
