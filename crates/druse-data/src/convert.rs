//! Writing a data set in another format.

mod images;
#[cfg(feature = "parquet")]
mod parquet;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use druse_crystal::files::{self, Action, FileError};
use druse_crystal::formats::{self, Format};
use flate2::Compression;
use flate2::write::GzEncoder;
use rayon::prelude::*;
use serde_json::Value;

pub use images::{ImageOptions, write_image_file};
#[cfg(feature = "parquet")]
pub use parquet::{ParquetOptions, write_parquet};

use crate::formats::SetFormat;
use crate::reader::HowRead;
use crate::store::{Beside, Writer};
use crate::{DataError, Dataset, Entries, Entry, JsonlRecord, OutputFormat, properties, write_jsonl_record};

/// Writes a data set to a file, or to a folder with one file a structure, named after the identifiers.
/// A file appears whole or not at all; in a folder, what is finished stays if the disk fills up.
///
/// # Errors
/// [`DataError::OutputExists`] for a file or a non-empty folder that is already there unless `overwrite`;
/// [`DataError::File`] when writing fails; those of [`write_image_file`] for images, which are written with the published
/// constants and not if one structure has none, and which are made in memory; those of `dataset` when it cannot be read.
pub fn write_dataset(
    dataset: &dyn Entries,
    path: &Path,
    format: OutputFormat,
    overwrite: bool,
) -> Result<(), DataError> {
    if !overwrite && is_in_the_way(path, format.is_folder()) {
        return Err(DataError::OutputExists { path: path.to_owned() });
    }
    if format.format() == SetFormat::Crystens {
        let options = ImageOptions { gzip: format.is_gzip(), overwrite, ..ImageOptions::default() };
        return write_image_file(&Dataset::read(dataset)?, path, &options).map(drop);
    }
    if format.format() == SetFormat::Parquet {
        #[cfg(feature = "parquet")]
        return write_parquet(dataset, path, &ParquetOptions { cif: false, overwrite });
        #[cfg(not(feature = "parquet"))]
        return Err(DataError::WithoutParquet { path: path.to_owned() });
    }
    if let (true, SetFormat::Structures(format)) = (format.is_folder(), format.format()) {
        return write_folder(dataset, path, format.extension(), |entry| {
            Ok(formats::write(&entry.structure, format, &entry.id))
        });
    }
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder)?;
    }
    if format.format() == SetFormat::Store {
        return write_store(dataset, path);
    }
    write_whole(path, |file| fill(dataset, format, file))
}

/// Writes a file that appears whole or not at all.
fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> Result<(), Stopped>) -> Result<(), DataError> {
    let mut failure = None;
    let written = files::write_atomic_with(path, |file| match fill(file) {
        Ok(()) => Ok(()),
        Err(Stopped::Writing(e)) => Err(e),
        Err(Stopped::Reading(e)) => {
            failure = Some(e);
            Err(io::ErrorKind::Other.into())
        }
    });
    // What could not be read is why nothing was written.
    match failure {
        Some(e) => Err(e),
        None => Ok(written?),
    }
}

/// Writes a packed store, with how it was read: a store of reduced cells need not be reduced again.
fn write_store(dataset: &dyn Entries, path: &Path) -> Result<(), DataError> {
    let mut writer = Writer::new(path.parent().filter(|folder| !folder.as_os_str().is_empty()));
    let HowRead { niggli, strict } = dataset.how_read();
    let beside = Beside { niggli, strict, ..Beside::default() };
    each_block(dataset, |block| block.iter().try_for_each(|entry| writer.push(entry))).map_err(
        |e| match e {
            Stopped::Reading(e) => e,
            Stopped::Writing(e) => FileError::wrap(Action::Write, path)(e).into(),
        },
    )?;
    writer.write(path, &beside).map(drop).map_err(DataError::of_store(path))
}

/// Why a file was not finished.
enum Stopped {
    Reading(DataError),
    Writing(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(e: io::Error) -> Self {
        Self::Writing(e)
    }
}

/// Hands blocks to a writer.
fn each_block(
    dataset: &dyn Entries,
    mut take: impl FnMut(&[Entry]) -> io::Result<()>,
) -> Result<(), Stopped> {
    let mut failure = None;
    let read = dataset.for_each_block(&mut |block| {
        take(block).map_err(|e| {
            failure = Some(e);
            // Only to stop the reader; the error that counts is the one above.
            DataError::from(FileError::wrap(Action::Write, Path::new(""))(io::ErrorKind::Other.into()))
        })
    });
    match failure {
        Some(e) => Err(Stopped::Writing(e)),
        None => read.map_err(Stopped::Reading),
    }
}

/// Writes a data set to a stream, in a format of one file; images have a writer of their own ([`write_image_file`]).
///
/// # Errors
/// The stream's; [`io::ErrorKind::Unsupported`] for images and for formats that make a folder.
pub fn write_dataset_to(dataset: &dyn Entries, format: OutputFormat, out: impl Write) -> io::Result<()> {
    if format.is_folder() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    fill(dataset, format, out).map_err(|stopped| match stopped {
        Stopped::Writing(e) => e,
        Stopped::Reading(e) => io::Error::other(e),
    })
}

/// Writes a format of one file.
fn fill(dataset: &dyn Entries, format: OutputFormat, out: impl Write) -> Result<(), Stopped> {
    let mut out = BufWriter::new(out);
    if format.is_gzip() {
        let mut gzip = GzEncoder::new(&mut out, Compression::default());
        write_file(dataset, format.format(), &mut gzip)?;
        gzip.finish()?;
    } else {
        write_file(dataset, format.format(), &mut out)?;
    }
    Ok(out.flush()?)
}

/// Whether something is at the path that writing would touch: anything but, for a folder, an empty one.
fn is_in_the_way(path: &Path, folder: bool) -> bool {
    match files::list(path) {
        Ok(items) => !folder || !items.is_empty(),
        Err(_) => path.exists(),
    }
}

fn write_file(dataset: &dyn Entries, format: SetFormat, out: &mut impl Write) -> Result<(), Stopped> {
    match format {
        SetFormat::Csv => write_csv(dataset, out),
        SetFormat::JsonLines => each_block(dataset, |block| {
            block.iter().try_for_each(|entry| write_jsonl_record(out, &JsonlRecord::from(entry)))
        }),
        // Have writers of their own.
        SetFormat::Crystens | SetFormat::Store | SetFormat::Parquet => {
            Err(io::Error::from(io::ErrorKind::Unsupported).into())
        }
        SetFormat::Structures(format) => each_block(dataset, |block| {
            let texts: Vec<String> = block.par_iter().map(|entry| frame(entry, format)).collect();
            texts.into_iter().try_for_each(|text| out.write_all(text.as_bytes()))
        }),
    }
}

fn frame(entry: &Entry, format: Format) -> String {
    let mut structure = entry.structure.clone();
    structure.properties.insert("material_id".into(), entry.id.as_str().into());
    formats::write(&structure, format, &entry.id)
}

fn write_csv(dataset: &dyn Entries, out: &mut impl Write) -> Result<(), Stopped> {
    let properties = dataset.properties().map_err(Stopped::Reading)?;
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(["material_id", "cif"].iter().chain(&names)).map_err(io::Error::from)?;
    each_block(dataset, |block| {
        let cifs: Vec<String> =
            block.par_iter().map(|e| formats::write(&e.structure, Format::Cif, &e.id)).collect();
        for (entry, cif) in block.iter().zip(cifs) {
            csv.write_field(&entry.id)?;
            csv.write_field(&cif)?;
            for name in &names {
                csv.write_field(entry.structure.properties.get(*name).map(cell).unwrap_or_default())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        Ok(())
    })?;
    Ok(csv.flush()?)
}

/// As pandas writes it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        other => properties::text(other),
    }
}

/// Writes a folder of CIF files that hold the conventional standardized cell of each structure with its space group,
/// operations and asymmetric unit; the group is found within the distance tolerance `symprec` (Å).
///
/// # Errors
/// As [`write_dataset`], and [`DataError::Symmetry`] for a structure without a space group.
pub fn write_symmetrized_folder(
    dataset: &dyn Entries,
    folder: &Path,
    symprec: f64,
    overwrite: bool,
) -> Result<(), DataError> {
    if !overwrite && is_in_the_way(folder, true) {
        return Err(DataError::OutputExists { path: folder.to_owned() });
    }
    write_folder(dataset, folder, Format::Cif.extension(), |entry| {
        formats::cif::write_symmetrized(&entry.structure, &entry.id, symprec)
            .map_err(|source| DataError::Symmetry { id: entry.id.clone(), source })
    })
}

fn write_folder(
    dataset: &dyn Entries,
    folder: &Path,
    extension: &str,
    text: impl Fn(&Entry) -> Result<String, DataError> + Sync,
) -> Result<(), DataError> {
    files::create_dir_all(folder)?;
    let mut taken = HashSet::new();
    dataset.for_each_block(&mut |block| {
        let names: Vec<String> = block.iter().map(|e| file_name(&e.id, &mut taken)).collect();
        block.par_iter().zip(names).try_for_each(|(entry, name)| {
            let path = folder.join(format!("{name}.{extension}"));
            Ok(files::write(&path, text(entry)?.as_bytes())?)
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
