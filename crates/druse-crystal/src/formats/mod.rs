//! Reading and writing structure files: CIF, POSCAR/CONTCAR, extended XYZ and pymatgen JSON.
//!
//! Readers never guess silently: what they had to interpret is in [`Parsed::notes`], what druse cannot represent
//! (partial occupancy, two atoms on one spot, non-periodic frames) is a [`FormatError`] that names the site and line.

pub mod cif;
mod error;
mod extxyz;
mod poscar;
mod pymatgen_json;
mod site;

use std::path::Path;
use std::str::FromStr;

pub use error::{FormatError, FormatErrorKind, ReadError};
pub use site::{COINCIDENCE_DISTANCE, MAX_SITES};

use crate::Structure;

/// A structure file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Crystallographic Information File.
    Cif,
    /// VASP POSCAR / CONTCAR.
    Poscar,
    /// Extended XYZ, as ASE and OVITO write it.
    ExtXyz,
    /// pymatgen's `Structure.as_dict`, one object or an array of them.
    PymatgenJson,
}

/// A name that is no [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown structure format `{0}`; known are cif, poscar, extxyz and json")]
pub struct UnknownFormat(String);

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Cif, Self::Poscar, Self::ExtXyz, Self::PymatgenJson];

    /// The format a file name suggests: `*.cif`, `POSCAR*`, `CONTCAR*`, `*.vasp`, `*.poscar`, `*.xyz`, `*.extxyz`,
    /// `*.json`.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        match extension.as_str() {
            "cif" => Some(Self::Cif),
            "vasp" | "poscar" | "contcar" => Some(Self::Poscar),
            "xyz" | "extxyz" => Some(Self::ExtXyz),
            "json" => Some(Self::PymatgenJson),
            _ if name.starts_with("POSCAR") || name.starts_with("CONTCAR") => Some(Self::Poscar),
            _ => None,
        }
    }

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cif => "cif",
            Self::Poscar => "poscar",
            Self::ExtXyz => "extxyz",
            Self::PymatgenJson => "json",
        }
    }

    /// Extension for files of this format, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Cif => "cif",
            Self::Poscar => "vasp",
            Self::ExtXyz => "extxyz",
            Self::PymatgenJson => "json",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|f| f.name() == s).ok_or_else(|| UnknownFormat(s.to_owned()))
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A structure as a file described it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The structure. CIF sites are ordered by electronegativity, as pymatgen orders them; other formats keep the
    /// file's order.
    pub structure: Structure,
    /// Data block name, comment line or title; may be empty.
    pub name: String,
    /// What the reader had to interpret, in words for the user.
    pub notes: Vec<String>,
}

/// What readers make of two sites on one spot (nearer than [`COINCIDENCE_DISTANCE`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OneSpot {
    /// The structure is refused: it is no crystal that anything could be computed of.
    #[default]
    Refuse,
    /// Both sites are kept: generated structures are judged as they are.
    Keep,
}

/// Reads all structures of a text.
///
/// # Errors
/// [`FormatError`] for anything that is not a usable structure, with its line; also when there is no structure.
pub fn read_str(text: &str, format: Format) -> Result<Vec<Parsed>, FormatError> {
    read_str_with(text, format, OneSpot::Refuse)
}

/// As [`read_str`], with a choice of what becomes of two sites on one spot. Images that a CIF's symmetry puts on one
/// spot are one site either way.
///
/// # Errors
/// As [`read_str`]; no [`FormatErrorKind::Coincident`] with [`OneSpot::Keep`].
pub fn read_str_with(text: &str, format: Format, one_spot: OneSpot) -> Result<Vec<Parsed>, FormatError> {
    match format {
        Format::Cif => cif::read_with(text, one_spot),
        Format::Poscar => poscar::read(text, one_spot),
        Format::ExtXyz => extxyz::read(text, one_spot),
        Format::PymatgenJson => pymatgen_json::read(text, one_spot),
    }
}

/// Reads all structures of a file, whose format its name tells. Bytes that are not UTF-8 (Latin-1 comments in old
/// files) are replaced.
///
/// # Errors
/// [`ReadError`], which names the file.
pub fn read_path(path: &Path) -> Result<Vec<Parsed>, ReadError> {
    let format = Format::from_path(path).ok_or_else(|| ReadError::UnknownFormat { path: path.to_owned() })?;
    let bytes = std::fs::read(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
    read_str(&String::from_utf8_lossy(&bytes), format)
        .map_err(|source| ReadError::Format { path: path.to_owned(), source })
}

/// The text of a file with this one structure. `name` becomes data block name, comment line or title.
///
/// CIF holds cell lengths and angles, so the orientation of the cell is lost. POSCAR groups the sites by element in
/// order of first appearance; the others keep their order. CIF and extended XYZ files may be joined one after another.
pub fn write(structure: &Structure, format: Format, name: &str) -> String {
    match format {
        Format::Cif => cif::write(structure, name),
        Format::Poscar => poscar::write(structure, name),
        Format::ExtXyz => extxyz::write(structure, name),
        Format::PymatgenJson => pymatgen_json::write(structure, name),
    }
}
