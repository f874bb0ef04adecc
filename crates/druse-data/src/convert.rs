//! Writing a data set in another format.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;

use druse_crystal::formats::{self, Format};
use flate2::Compression;
use flate2::write::GzEncoder;
use rayon::prelude::*;

use crate::store::write_atomically;
use crate::{DataError, Dataset, Entry, JsonlRecord, Value, write_jsonl_record};

/// Structures formatted at a time, so that memory stays small beside the data set.
const BLOCK: usize = 4096;

/// A format that a data set can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// CSV: `material_id`, `cif`, then the properties.
    Csv,
    /// The same, gzip-compressed.
    CsvGz,
    /// JSON Lines of [`JsonlRecord`]s; the only format that keeps every bit of every number.
    Jsonl,
    /// Extended XYZ, one frame a structure, properties in the comment line.
    ExtXyz,
    /// A folder of CIF files; properties are not written.
    CifFolder,
    /// A folder of POSCAR files; properties are not written.
    PoscarFolder,
}

impl OutputFormat {
    /// All formats.
    pub const ALL: [Self; 6] =
        [Self::Csv, Self::CsvGz, Self::Jsonl, Self::ExtXyz, Self::CifFolder, Self::PoscarFolder];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::CsvGz => "csv.gz",
            Self::Jsonl => "jsonl",
            Self::ExtXyz => "extxyz",
            Self::CifFolder => "cif",
            Self::PoscarFolder => "poscar",
        }
    }

    /// The format a file name tells; `None` for a name without one of the known endings.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let ending = |e: &str| name.ends_with(e);
        match () {
            () if ending(".csv") => Some(Self::Csv),
            () if ending(".csv.gz") => Some(Self::CsvGz),
            () if ending(".jsonl") || ending(".ndjson") => Some(Self::Jsonl),
            () if ending(".extxyz") || ending(".xyz") => Some(Self::ExtXyz),
            () => None,
        }
    }
}

impl FromStr for OutputFormat {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Self::ALL
            .into_iter()
            .find(|f| f.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| DataError::OutputFormat { name: name.to_owned() })
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Writes a data set to a file, or to a folder with one file a structure, named after the identifiers.
/// A file appears whole or not at all; in a folder, what is finished stays if the disk fills up.
///
/// # Errors
/// [`DataError::OutputExists`] for a file or a non-empty folder that is already there unless `overwrite`;
/// [`DataError::Write`] when writing fails.
pub fn write_dataset(
    dataset: &Dataset,
    path: &Path,
    format: OutputFormat,
    overwrite: bool,
) -> Result<(), DataError> {
    let folder = match format {
        OutputFormat::CifFolder => Some(Format::Cif),
        OutputFormat::PoscarFolder => Some(Format::Poscar),
        _ => None,
    };
    let in_the_way = match fs::read_dir(path) {
        Ok(mut items) => folder.is_none() || items.next().is_some(),
        Err(_) => path.exists(),
    };
    if in_the_way && !overwrite {
        return Err(DataError::OutputExists { path: path.to_owned() });
    }
    if let Some(format) = folder {
        return write_folder(dataset, path, format.extension(), |entry| {
            Ok(formats::write(&entry.structure, format, &entry.id))
        });
    }
    write_atomically(path, |file| {
        let mut out = BufWriter::new(file);
        match format {
            OutputFormat::CsvGz => {
                let mut gzip = GzEncoder::new(&mut out, Compression::default());
                write_csv(dataset, &mut gzip)?;
                gzip.finish()?;
            }
            OutputFormat::Jsonl => {
                for entry in &dataset.entries {
                    write_jsonl_record(&mut out, &JsonlRecord::from(entry))?;
                }
            }
            OutputFormat::ExtXyz => write_blocks(dataset, &mut out, frame)?,
            _ => write_csv(dataset, &mut out)?,
        }
        out.flush()
    })
    .map_err(DataError::write(path))
}

/// Formats block by block in parallel and writes in order.
fn write_blocks(
    dataset: &Dataset,
    out: &mut impl Write,
    text: impl Fn(&Entry) -> String + Sync,
) -> io::Result<()> {
    for block in dataset.entries.chunks(BLOCK) {
        let texts: Vec<String> = block.par_iter().map(&text).collect();
        for text in texts {
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(())
}

fn frame(entry: &Entry) -> String {
    let mut structure = entry.structure.clone();
    structure.properties = entry.properties.iter().map(|(k, v)| (k.clone(), v.to_json())).collect();
    structure.properties.insert("material_id".into(), entry.id.as_str().into());
    formats::write(&structure, Format::ExtXyz, &entry.id)
}

fn write_csv(dataset: &Dataset, out: &mut impl Write) -> io::Result<()> {
    let names: Vec<&str> = dataset.property_names().into_keys().collect();
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["material_id", "cif"].iter().chain(&names))?;
    for block in dataset.entries.chunks(BLOCK) {
        let cifs: Vec<String> =
            block.par_iter().map(|e| formats::write(&e.structure, Format::Cif, &e.id)).collect();
        for (entry, cif) in block.iter().zip(cifs) {
            csv.write_field(&entry.id)?;
            csv.write_field(&cif)?;
            for name in &names {
                csv.write_field(entry.properties.get(*name).map(cell).unwrap_or_default())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
    }
    csv.flush()
}

/// As pandas writes it.
fn cell(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        other => other.to_string(),
    }
}

/// Writes a folder of CIF files that hold the conventional standardised cell of each structure with its space group,
/// operations and asymmetric unit; the group is found within the distance tolerance `symprec` (Å).
///
/// # Errors
/// As [`write_dataset`], and [`DataError::Symmetry`] for a structure without a space group.
pub fn write_symmetrized_folder(
    dataset: &Dataset,
    folder: &Path,
    symprec: f64,
    overwrite: bool,
) -> Result<(), DataError> {
    let in_the_way =
        fs::read_dir(folder).map_or_else(|_| folder.exists(), |mut items| items.next().is_some());
    if in_the_way && !overwrite {
        return Err(DataError::OutputExists { path: folder.to_owned() });
    }
    write_folder(dataset, folder, Format::Cif.extension(), |entry| {
        formats::cif::write_symmetrized(&entry.structure, &entry.id, symprec)
            .map_err(|source| DataError::Symmetry { id: entry.id.clone(), source })
    })
}

fn write_folder(
    dataset: &Dataset,
    folder: &Path,
    extension: &str,
    text: impl Fn(&Entry) -> Result<String, DataError> + Sync,
) -> Result<(), DataError> {
    fs::create_dir_all(folder).map_err(DataError::write(folder))?;
    let mut taken = HashSet::new();
    let names: Vec<String> = dataset.entries.iter().map(|e| file_name(&e.id, &mut taken)).collect();
    dataset.entries.par_iter().zip(names).try_for_each(|(entry, name)| {
        let path = folder.join(format!("{name}.{extension}"));
        fs::write(&path, text(entry)?).map_err(|e| {
            // Half a structure would read as a broken one.
            let _ = fs::remove_file(&path);
            DataError::Write { path: path.clone(), source: e }
        })
    })
}

/// A file name for an identifier: other than letters, digits, `-`, `_`, `+` and `.` become `_`; a name that is taken
/// (also in other case, for file systems that do not tell them apart) gets a number.
fn file_name(id: &str, taken: &mut HashSet<String>) -> String {
    let plain: String =
        id.chars().map(|c| if c.is_alphanumeric() || "-_+.".contains(c) { c } else { '_' }).collect();
    let plain = plain.trim_start_matches('.').to_owned();
    let plain = if plain.is_empty() { "structure".to_owned() } else { plain };
    let mut name = plain.clone();
    let mut number = 1;
    while !taken.insert(name.to_lowercase()) {
        number += 1;
        name = format!("{plain}_{number}");
    }
    name
}
