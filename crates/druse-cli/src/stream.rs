//! Structures on standard output, one after another.

use druse_crystal::formats::{self, SetLayout};
use druse_data::{JsonlRecord, write_jsonl_record};
use druse_run::RunError;
use druse_run::output::{SampleFormat, file_text};

use crate::console;
use crate::failure::Failure;

/// Writes structures to stdout as they come.
pub struct Stream {
    format: SampleFormat,
}

impl Stream {
    /// Takes stdout, which `option` asks for, for so many structures.
    ///
    /// # Errors
    /// [`Failure`] where it is taken, or the structures cannot stand one after another in this format.
    pub fn open(option: &str, format: SampleFormat, structures: u64) -> Result<Self, Failure> {
        if structures > 1 && !can_be_joined(format) {
            let text = format!(
                "{format} files hold one structure, and {structures} would be written to standard output"
            );
            return Err(Failure::mistake(text).hint("--format jsonl, cif or extxyz; or name a folder"));
        }
        console::claim_stdout(option)?;
        Ok(Self { format })
    }

    /// Writes a structure. The property `symmetric` says, for CIF, that it is made to have a space group.
    ///
    /// # Errors
    /// [`RunError::ReceiverGone`] when nobody reads any more; [`RunError::Write`].
    pub fn write(&mut self, record: &JsonlRecord, symmetric: &str) -> Result<(), RunError> {
        let mut bytes = Vec::new();
        match self.format {
            SampleFormat::Jsonl => {
                write_jsonl_record(&mut bytes, record).map_err(write_error)?;
            }
            SampleFormat::Structures(format) if format.info().set == SetLayout::File => {
                let mut structure = record.structure.clone();
                structure.properties.extend(record.properties.clone());
                structure.properties.insert("material_id".into(), record.id.as_str().into());
                bytes.extend(formats::write(&structure, format, &record.id).into_bytes());
            }
            SampleFormat::Structures(format) => {
                let text = file_text(&record.structure, &record.properties, symmetric, format, &record.id);
                bytes.extend(text.into_bytes());
            }
        }
        match console::write_stdout(&bytes) {
            Ok(true) => Ok(()),
            Ok(false) => Err(RunError::ReceiverGone),
            Err(e) => Err(write_error(std::io::Error::other(e.message().to_owned()))),
        }
    }
}

fn write_error(source: std::io::Error) -> RunError {
    RunError::Write { path: "standard output".into(), source }
}

/// Whether files of a format may be joined one after another.
fn can_be_joined(format: SampleFormat) -> bool {
    match format {
        SampleFormat::Jsonl => true,
        SampleFormat::Structures(format) => {
            format.info().set == SetLayout::File || format == formats::Format::Cif
        }
    }
}
