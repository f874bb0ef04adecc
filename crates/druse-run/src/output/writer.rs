//! Appending structures and failures to a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use druse_crystal::formats::{self, Format, cif};
use druse_crystal::{Composition, Properties, Structure, files};
use druse_data::{JsonlRecord, write_jsonl_record};

use super::{FAILURES_FILE, Failure, STRUCTURES_FILE, SampleFormat};
use crate::RunError;
use crate::folder::{RunFolder, complete_lines};

/// Distance tolerance (Å) at which the symmetry of a structure that has a space group by its making is written.
const SYMPREC: f64 = 0.01;

/// Beginning of the name of the one file that holds all structures as frames.
const FRAMES_STEM: &str = "structures";

/// The line of a finished structure.
pub fn record(
    index: u64,
    seed: u64,
    mut structure: Structure,
    properties: &BTreeMap<String, serde_json::Value>,
) -> JsonlRecord {
    let formula = Composition::from_species(&structure.species).reduced_formula();
    // What the model says of it, the request, its place in the run.
    let mut of_structure = std::mem::take(&mut structure.properties);
    of_structure.extend(properties.clone());
    let mut properties = of_structure;
    properties.extend([("index".to_owned(), index.into()), ("seed".to_owned(), seed.into())]);
    JsonlRecord { id: index.to_string(), formula, structure, properties }
}

/// Appends finished structures to a folder.
#[derive(Debug)]
pub struct StructureWriter {
    folder: PathBuf,
    format: SampleFormat,
    structures: File,
    failures: File,
    /// The file of frames, its path and its format.
    frames: Option<(File, PathBuf, Format)>,
    finished: BTreeSet<u64>,
    symmetric: &'static str,
}

impl StructureWriter {
    /// Opens the output files of a folder. What complete lines they hold is kept; half a line, left by a process that
    /// was killed, is dropped. Structures with the property `symmetric` are made to have a space group: their CIFs hold the
    /// conventional cell with all operations and Wyckoff letters.
    ///
    /// # Errors
    /// [`RunError::Write`], and [`RunError::Damaged`] when a line is none of ours.
    pub fn open(folder: &RunFolder, format: SampleFormat, symmetric: &'static str) -> Result<Self, RunError> {
        let path = folder.join(STRUCTURES_FILE);
        let records: Vec<JsonlRecord> = parse_lines(&path)?;
        let failed = folder.join(FAILURES_FILE);
        let failures: Vec<Failure> = parse_lines(&failed)?;
        let mut finished: BTreeSet<u64> = failures.iter().map(|f| f.index).collect();
        for r in &records {
            finished.insert(index_of(&path, r)?);
        }
        let frames = match format.frames() {
            Some(format) => {
                let frames = folder.join(&format!("{FRAMES_STEM}.{}", format.extension()));
                let text: String =
                    records.iter().map(|r| formats::write(&r.structure, format, &r.id)).collect();
                files::write_atomic(&frames, text.as_bytes())?;
                Some((append(&frames)?, frames, format))
            }
            None => None,
        };
        let folder = folder.path().to_owned();
        let (structures, failures) = (append(&path)?, append(&failed)?);
        Ok(Self { folder, format, structures, failures, frames, finished, symmetric })
    }

    /// Indices that need no more work.
    pub fn finished(&self) -> &BTreeSet<u64> {
        &self.finished
    }

    /// Writes a finished structure: its own file first, so that every line has its file.
    ///
    /// # Errors
    /// [`RunError::Write`]; what was written before stays.
    pub fn write(&mut self, record: &JsonlRecord) -> Result<(), RunError> {
        if let Some(format) = self.format.singles() {
            let stem = stem(index_of(&self.folder.join(STRUCTURES_FILE), record)?, &record.formula);
            let text = file_text(&record.structure, &record.properties, self.symmetric, format, &stem);
            let name = format!("{stem}.{}", format.extension());
            files::write_atomic(&self.folder.join(name), text.as_bytes())?;
        }
        if let Some((frames, path, format)) = &mut self.frames {
            let text = formats::write(&record.structure, *format, &record.id);
            frames.write_all(text.as_bytes()).map_err(RunError::write(path))?;
        }
        write_jsonl_record(&mut self.structures, record)
            .map_err(RunError::write(&self.folder.join(STRUCTURES_FILE)))
    }

    /// Takes note of a structure that failed.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn write_failure(&mut self, failure: &Failure) -> Result<(), RunError> {
        self.failures.write_all(&failure.line()).map_err(RunError::write(&self.folder.join(FAILURES_FILE)))
    }
}

/// A structure as the text of a file of its own. With the property `symmetric`, a CIF holds the conventional cell with all
/// operations.
pub fn file_text(
    structure: &Structure,
    properties: &Properties,
    symmetric: &str,
    format: Format,
    name: &str,
) -> String {
    if format == Format::Cif && properties.contains_key(symmetric) {
        // Without a group at this tolerance (which the record says) all atoms are listed.
        if let Ok(text) = cif::write_symmetrized(structure, name, SYMPREC) {
            return text;
        }
    }
    formats::write(structure, format, name)
}

/// Name of a structure's own file, without its ending.
pub fn stem(index: u64, formula: &str) -> String {
    format!("{index:0>6}-{formula}")
}

/// Index of a structure of a run.
///
/// # Errors
/// [`RunError::Damaged`] when the line carries none.
pub fn index_of(path: &Path, record: &JsonlRecord) -> Result<u64, RunError> {
    record.properties.get("index").and_then(serde_json::Value::as_u64).ok_or_else(|| RunError::Damaged {
        path: path.to_owned(),
        reason: format!("the structure `{}` has no index: it is not of a run of druse", record.id),
    })
}

/// Parses the complete lines of a file.
///
/// # Errors
/// [`RunError::Damaged`] with the number of the line that does not parse.
pub fn parse_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>, RunError> {
    let parse = |(i, line): (usize, &String)| {
        serde_json::from_str(line)
            .map_err(|e| RunError::Damaged { path: path.to_owned(), reason: format!("line {}: {e}", i + 1) })
    };
    complete_lines(path)?.iter().enumerate().map(parse).collect()
}

/// Brings the lines that were appended in the order in which structures were finished into that of their indices, and the
/// file of frames, where there is one, with them.
///
/// # Errors
/// [`RunError::Write`], and [`RunError::Damaged`] when a line is none of ours; each file is replaced as a whole.
pub fn sort(folder: &RunFolder, format: SampleFormat) -> Result<(), RunError> {
    let path = folder.join(STRUCTURES_FILE);
    let records: Vec<JsonlRecord> = parse_lines(&path)?;
    let mut indexed = Vec::with_capacity(records.len());
    for record in records {
        indexed.push((index_of(&path, &record)?, record));
    }
    if !indexed.is_sorted_by_key(|r| r.0) {
        indexed.sort_by_key(|r| r.0);
        files::write_atomic_with(&path, |file| {
            let mut out = BufWriter::new(file);
            indexed.iter().try_for_each(|(_, record)| write_jsonl_record(&mut out, record))?;
            out.flush()
        })?;
        if let Some(format) = format.frames() {
            let frames = folder.join(&format!("{FRAMES_STEM}.{}", format.extension()));
            let text: String =
                indexed.iter().map(|(_, r)| formats::write(&r.structure, format, &r.id)).collect();
            files::write_atomic(&frames, text.as_bytes())?;
        }
    }
    let path = folder.join(FAILURES_FILE);
    let mut failures: Vec<Failure> = parse_lines(&path)?;
    if !failures.is_sorted_by_key(|f| f.index) {
        failures.sort_by_key(|f| f.index);
        let text: Vec<u8> = failures.iter().flat_map(Failure::line).collect();
        files::write_atomic(&path, &text)?;
    }
    Ok(())
}

/// Opens a file for appending, without the half line that may stand at its end.
fn append(path: &Path) -> Result<File, RunError> {
    let lines = complete_lines(path)?;
    let whole: usize = lines.iter().map(|l| l.len() + 1).sum();
    let file = files::append(path)?;
    file.set_len(whole as u64).map_err(RunError::write(path))?;
    Ok(file)
}
