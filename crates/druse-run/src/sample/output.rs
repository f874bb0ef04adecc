//! Sampled structures on the disk: `structures.jsonl`, `failures.jsonl`, and files in the chosen format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use druse_crystal::files;
use druse_crystal::formats::{self, FORMATS, Format, SetLayout, UnknownFormat, cif};
use druse_crystal::{Composition, Structure};
use druse_data::{Absent, Item, JsonlRecord, ListOptions, Listing, properties, write_jsonl_record};
use serde::{Deserialize, Serialize};

use super::symmetry::{ASKED, SYMPRECS};
use crate::RunError;
use crate::folder::{RunFolder, complete_lines};

/// Finished structures, one a line, in the order of their indices.
pub const STRUCTURES_FILE: &str = "structures.jsonl";

/// Structures that the model failed at, one a line.
pub const FAILURES_FILE: &str = "failures.jsonl";

/// What the folder holds: model, seed, requests.
pub const MANIFEST_FILE: &str = "sampling.json";

/// Beginning of the name of the one file that holds all structures as frames.
const FRAMES_STEM: &str = "structures";

/// In which form structures are written besides `structures.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SampleFormat {
    /// Nothing else.
    Jsonl,
    /// A structure format: a file a structure, or one file of frames, as [`SetLayout`] says.
    Structures(Format),
}

impl SampleFormat {
    /// All formats.
    pub fn all() -> impl Iterator<Item = Self> {
        FORMATS.iter().map(|f| Self::Structures(f.format)).chain([Self::Jsonl])
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Structures(format) => format.name(),
        }
    }

    /// What is written, in a line.
    pub fn about(self) -> String {
        match self {
            Self::Jsonl => format!("only {STRUCTURES_FILE}"),
            Self::Structures(format) => format.info().about.into(),
        }
    }

    /// The format of the one file of frames.
    fn frames(self) -> Option<Format> {
        match self {
            Self::Structures(format) if format.info().set == SetLayout::File => Some(format),
            _ => None,
        }
    }

    /// The format of the files of single structures.
    fn singles(self) -> Option<Format> {
        match self {
            Self::Structures(format) if format.info().set == SetLayout::Folder => Some(format),
            _ => None,
        }
    }
}

impl FromStr for SampleFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match Self::all().find(|f| f.name() == name) {
            Some(format) => Ok(format),
            None => name.parse().map(Self::Structures),
        }
    }
}

impl TryFrom<String> for SampleFormat {
    type Error = UnknownFormat;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<SampleFormat> for String {
    fn from(format: SampleFormat) -> Self {
        format.name().into()
    }
}

impl fmt::Display for SampleFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A structure that the model failed at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Its index.
    pub index: u64,
    /// What was asked for: a composition, a place in latent space.
    #[serde(rename = "formula")]
    pub label: String,
    /// The model's reason.
    pub reason: String,
    /// What would have been written with the structure.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, serde_json::Value>,
}

/// Lists a set of structures. Of a sampling run (its folder, or the `structures.jsonl` in it) the structures that the model
/// failed at are listed, too, as rows without a structure, in the order of all indices: a judge has to count them.
///
/// # Errors
/// [`RunError::Data`] when there is no set, [`RunError::Damaged`] when a line of the failures does not parse.
pub fn list_structures(path: &Path, options: &ListOptions) -> Result<Listing, RunError> {
    let is_run = |folder: &Path| folder.join(MANIFEST_FILE).is_file();
    let file = match path.is_dir() && is_run(path) {
        true => path.join(STRUCTURES_FILE),
        false => path.to_owned(),
    };
    let mut listing = druse_data::list(&file, options)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    if !(file.ends_with(STRUCTURES_FILE) && is_run(folder)) {
        return Ok(listing);
    }
    let list = folder.join(FAILURES_FILE);
    let failures: Vec<Failure> = parse_lines(&list)?;
    if failures.is_empty() {
        return Ok(listing);
    }
    let count = failures.len();
    let row = |(i, f): (usize, Failure)| {
        let given = f.properties.iter().filter_map(|(k, v)| Some((k.clone(), properties::scalar(v)?)));
        Item {
            id: f.index.to_string(),
            counted: false,
            file: list.clone(),
            row: Some(i + 1),
            line: Some(i + 1),
            outcome: Err(Absent {
                reason: f.reason,
                properties: given.chain([("index".into(), f.index.into())]).collect(),
                composition: Composition::parse(&f.label).ok(),
            }),
            warnings: Vec::new(),
        }
    };
    listing.extend(failures.into_iter().enumerate().map(row), &options.filters);
    let index =
        |item: &Item| item.properties().get("index").and_then(serde_json::Value::as_f64).unwrap_or(f64::MAX);
    listing.items.sort_by(|a, b| index(a).total_cmp(&index(b)));
    listing
        .warnings
        .push(format!("{count} structures that the model failed at count as rows without a structure"));
    Ok(listing)
}

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
}

impl StructureWriter {
    /// Opens the output files of a folder. What complete lines they hold is kept; half a line, left by a process that
    /// was killed, is dropped.
    ///
    /// # Errors
    /// [`RunError::Write`], and [`RunError::Damaged`] when a line is none of ours.
    pub fn open(folder: &RunFolder, format: SampleFormat) -> Result<Self, RunError> {
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
        Ok(Self { folder, format, structures: append(&path)?, failures: append(&failed)?, frames, finished })
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
            let stem = format!("{:0>6}-{}", record.id, record.formula);
            let text = text_of(record, format, &stem);
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

    /// Takes note of a structure that the model failed at.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn write_failure(&mut self, failure: &Failure) -> Result<(), RunError> {
        let mut line = serde_json::to_vec(failure).expect("a failure is plain text");
        line.push(b'\n');
        self.failures.write_all(&line).map_err(RunError::write(&self.folder.join(FAILURES_FILE)))
    }
}

/// A structure as the text of a file of its own. A CIF of a structure that was asked for a space group holds its symmetry: the
/// conventional cell with all operations and Wyckoff letters.
fn text_of(record: &JsonlRecord, format: Format, name: &str) -> String {
    if format == Format::Cif && record.properties.contains_key(ASKED) {
        let [.., exact] = SYMPRECS;
        // Without a group at the narrow tolerance (which the record says) all atoms are listed.
        if let Ok(text) = cif::write_symmetrized(&record.structure, name, exact) {
            return text;
        }
    }
    formats::write(&record.structure, format, name)
}

/// Index of a sampled structure.
///
/// # Errors
/// [`RunError::Damaged`] when the line carries none.
pub fn index_of(path: &Path, record: &JsonlRecord) -> Result<u64, RunError> {
    record.properties.get("index").and_then(serde_json::Value::as_u64).ok_or_else(|| RunError::Damaged {
        path: path.to_owned(),
        reason: format!("the structure `{}` has no index: it was not sampled by druse", record.id),
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

/// Opens a file for appending, without the half line that may stand at its end.
fn append(path: &Path) -> Result<File, RunError> {
    let lines = complete_lines(path)?;
    let whole: usize = lines.iter().map(|l| l.len() + 1).sum();
    let file = files::append(path)?;
    file.set_len(whole as u64).map_err(RunError::write(path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use druse_crystal::{Element, Lattice};
    use druse_data::Filter;

    use super::*;

    #[test]
    fn failures_of_a_run_are_listed_in_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let iron = Element::from_symbol("Fe").unwrap();
        let s = Structure::new(Lattice::cubic(2.9).unwrap(), vec![iron], vec![[0.0; 3]]).unwrap();
        let lines = [0, 2, 10].map(|i| {
            let mut line = Vec::new();
            write_jsonl_record(&mut line, &record(i, 7, s.clone(), &BTreeMap::new())).unwrap();
            line
        });
        fs::write(file(STRUCTURES_FILE), lines.concat()).unwrap();
        let failed = r#"{"index": 1, "formula": "NaCl", "reason": "no cell", "properties": {"start": "a"}}"#;
        fs::write(file(FAILURES_FILE), format!("{failed}\n")).unwrap();
        let list = |path: &Path, filters| {
            list_structures(path, &ListOptions { filters, ..ListOptions::default() }).unwrap()
        };
        // Without the manifest it is a file like any other.
        assert_eq!(list(&file(STRUCTURES_FILE), vec![]).len(), 3);
        fs::write(file(MANIFEST_FILE), "{}").unwrap();
        for path in [dir.path().to_owned(), file(STRUCTURES_FILE)] {
            let listing = list(&path, vec![]);
            let ids: Vec<&str> = listing.items.iter().map(|i| i.id.as_str()).collect();
            assert_eq!(ids, ["0", "1", "2", "10"]);
            let failure = &listing.items[1];
            assert_eq!(failure.reason(), Some("no cell"));
            assert_eq!(failure.composition().unwrap().reduced_formula(), "NaCl");
            assert_eq!(failure.properties()["start"], "a");
            assert!(listing.warnings.iter().any(|n| n.contains("failed")), "{:?}", listing.warnings);
        }
        let filter: Filter = "index>=1".parse().unwrap();
        assert_eq!(list(dir.path(), vec![filter]).len(), 3);
        fs::write(file(FAILURES_FILE), "{}\n").unwrap();
        assert!(list_structures(dir.path(), &ListOptions::default()).is_err());
    }
}
