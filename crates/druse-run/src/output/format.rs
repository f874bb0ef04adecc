//! In which form structures are written.

use std::fmt;
use std::str::FromStr;

use druse_crystal::formats::{FORMATS, Format, SetLayout, UnknownFormat};
use serde::{Deserialize, Serialize};

use super::STRUCTURES_FILE;

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
    pub(super) fn frames(self) -> Option<Format> {
        match self {
            Self::Structures(format) if format.info().set == SetLayout::File => Some(format),
            _ => None,
        }
    }

    /// The format of the files of single structures.
    pub(super) fn singles(self) -> Option<Format> {
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
