//! Reading and writing structure files in the formats of one table, [`FORMATS`].
//!
//! A new format is a file of this module with `read` and `write` (and `recognize` and `split`, where its files can be told by
//! their beginning and hold several structures), and a line in the table.
//!
//! Readers never guess silently: what they had to interpret is in [`Parsed::warnings`], what druse cannot represent
//! (partial occupancy, coincident sites, non-periodic frames) is a [`FormatError`] that names the site and line.

pub mod cif;
mod error;
mod extxyz;
mod number;
mod poscar;
mod pymatgen_json;
mod site;
mod species;
mod warning;

use std::path::Path;
use std::str::FromStr;

pub use error::{FormatError, FormatErrorKind, ReadError};
pub use pymatgen_json::{from_pymatgen, plain_json};
pub use site::{COINCIDENCE_DISTANCE, MAX_SITES, coincident_sites};
pub use species::{species, species_list};
pub use warning::{Warning, WarningKind};

use crate::{Structure, content, files};

macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident {
        name: $name:literal, title: $title:literal, about: $about:literal, endings: [$($ending:literal),+],
        prefixes: [$($prefix:literal),*], set: $set:ident, read: $read:path, write: $write:path,
        recognize: $recognize:path, split: $split:path $(,)?
    })+) => {
        /// A structure file format. What is to be known about each stands in [`FORMATS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Format {
            $($(#[$doc])* $variant,)+
        }

        /// The table of structure file formats: a line a format. Names on the command line, lists in help and in errors,
        /// readers and writers are all taken from here.
        pub static FORMATS: [FormatInfo; [$($name),+].len()] = [$(FormatInfo {
            format: Format::$variant,
            name: $name,
            title: $title,
            about: $about,
            endings: &[$($ending),+],
            prefixes: &[$($prefix),*],
            set: SetLayout::$set,
            read: $read,
            write: $write,
            recognize: $recognize,
            split: $split,
        }),+];
    };
}

formats! {
    /// Crystallographic Information File.
    Cif { name: "cif", title: "CIF", about: "Crystallographic Information Files", endings: ["cif", "mcif"],
        prefixes: [], set: Folder, read: cif::read_with, write: cif::write,
        recognize: cif::recognize, split: cif::split }
    /// VASP POSCAR / CONTCAR.
    Poscar { name: "poscar", title: "POSCAR", about: "VASP's POSCAR files", endings: ["vasp", "poscar", "contcar"],
        prefixes: ["POSCAR", "CONTCAR"], set: Folder, read: poscar::read, write: poscar::write,
        recognize: poscar::recognize, split: whole }
    /// Extended XYZ, as ASE and OVITO write it.
    ExtXyz { name: "extxyz", title: "extended XYZ", about: "extended XYZ, one file of frames", endings: ["extxyz", "xyz"],
        prefixes: [], set: File, read: extxyz::read, write: extxyz::write,
        recognize: extxyz::recognize, split: extxyz::split }
    /// pymatgen's `Structure.as_dict`, one object or an array of them.
    PymatgenJson { name: "json", title: "pymatgen JSON", about: "pymatgen's JSON files", endings: ["json"],
        prefixes: [], set: Folder, read: pymatgen_json::read, write: pymatgen_json::write,
        recognize: pymatgen_json::recognize, split: whole }
}

/// Of formats whose files hold one structure, or cannot be cut.
fn whole(_: &str) -> Vec<Block<'_>> {
    Vec::new()
}

/// The part of a file of several structures that describes one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    /// Line of the file, from 1, in which it begins.
    pub line: usize,
    /// What the format calls it, where it has a name.
    pub name: Option<&'a str>,
    /// Its text: a file of its own.
    pub text: &'a str,
}

/// How a set of structures is written in a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetLayout {
    /// One file of frames, one after another, with the properties of each structure.
    File,
    /// A folder of files, one a structure.
    Folder,
}

/// What is to be known about a [`Format`]. Every format is both read and written.
#[derive(Debug)]
#[non_exhaustive]
pub struct FormatInfo {
    /// The format.
    pub format: Format,
    /// Name on the command line.
    pub name: &'static str,
    /// Name in sentences.
    pub title: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Endings of file names in lower case, without the dot; the first is the one that is written.
    pub endings: &'static [&'static str],
    /// Beginnings of file names that tell the format without an ending.
    pub prefixes: &'static [&'static str],
    /// How a set of structures is written.
    pub set: SetLayout,
    read: fn(&str, CoincidentSites) -> Result<Vec<Parsed>, FormatError>,
    write: fn(&Structure, &str) -> String,
    recognize: fn(&str) -> bool,
    split: fn(&str) -> Vec<Block<'_>>,
}

/// A name that is no [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown structure format `{0}`; known are {names}", names = enumerate(FORMATS.iter().map(|f| f.name), "and"))]
pub struct UnknownFormat(String);

/// `a, b and c` with the last word `and`.
pub fn enumerate<T: AsRef<str>>(words: impl IntoIterator<Item = T>, and: &str) -> String {
    let words: Vec<T> = words.into_iter().collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.as_ref().to_owned(),
        Some((last, first)) => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} {and} {}", first.join(", "), last.as_ref())
        }
    }
}

/// The file names that tell a format, for messages: `*.cif, POSCAR*, …`.
pub fn name_patterns() -> String {
    let patterns = FORMATS.iter().flat_map(|f| {
        let endings = f.endings.iter().map(|e| format!("*.{e}"));
        endings.chain(f.prefixes.iter().map(|p| format!("{p}*")))
    });
    enumerate(patterns, "and")
}

impl Format {
    /// All formats.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        FORMATS.iter().map(|f| f.format)
    }

    /// The line of the format in the table.
    pub fn info(self) -> &'static FormatInfo {
        // The table has a line for each variant, in their order.
        &FORMATS[self as usize]
    }

    /// The format a file name suggests, by [`FormatInfo::endings`] in any case, else by [`FormatInfo::prefixes`]. An
    /// ending `.gz` says nothing.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = without_gz(path.file_name()?.to_str()?);
        let extension =
            Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        let by_ending = FORMATS.iter().find(|f| f.endings.contains(&extension.as_str()));
        by_ending
            .or_else(|| FORMATS.iter().find(|f| f.prefixes.iter().any(|p| name.starts_with(p))))
            .map(|f| f.format)
    }

    /// The format whose files begin like this text, for files whose name says nothing.
    pub fn from_content(head: &str) -> Option<Self> {
        let told = |text: &str| FORMATS.iter().find(|f| (f.recognize)(text)).map(|f| f.format);
        told(head).or_else(|| {
            // Remarks above the file proper.
            let lines = head.split_inclusive('\n');
            let is_remark = |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#');
            let remarks: usize = lines.take_while(is_remark).map(str::len).sum();
            (remarks > 0).then(|| told(&head[remarks..])).flatten()
        })
    }

    /// The parts of a file that describe one structure each, so that those beside a broken one can be read. Empty for
    /// formats whose files are not cut.
    pub fn split(self, text: &str) -> Vec<Block<'_>> {
        (self.info().split)(text)
    }

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Extension for files of this format, without the dot.
    pub fn extension(self) -> &'static str {
        self.info().endings[0]
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::all().find(|f| f.name() == s).ok_or_else(|| UnknownFormat(s.to_owned()))
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
    /// What the reader had to interpret, repair or leave out.
    pub warnings: Vec<Warning>,
}

/// What readers make of two sites that coincide (are nearer than [`COINCIDENCE_DISTANCE`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CoincidentSites {
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
    read_str_with(text, format, CoincidentSites::Refuse)
}

/// As [`read_str`], with a choice of what becomes of two coincident sites. Images that a CIF's symmetry makes coincide
/// are one site either way.
///
/// # Errors
/// As [`read_str`]; no [`FormatErrorKind::Coincident`] with [`CoincidentSites::Keep`].
pub fn read_str_with(
    text: &str,
    format: Format,
    coincident: CoincidentSites,
) -> Result<Vec<Parsed>, FormatError> {
    (format.info().read)(text, coincident)
}

/// Reads all structures of a file, whose format its name tells, else its content; decompressed and decoded as
/// [`content`] says.
///
/// # Errors
/// [`ReadError`], which names the file.
pub fn read_path(path: &Path) -> Result<Vec<Parsed>, ReadError> {
    let raw = files::read(path)?;
    let no_text = |source| ReadError::Content { path: path.to_owned(), source };
    let bytes = content::unpack(path, &raw).map_err(no_text)?;
    let text = content::decode(&bytes).map_err(no_text)?;
    let format = Format::from_path(path)
        .or_else(|| Format::from_content(&text))
        .ok_or_else(|| ReadError::UnknownFormat { path: path.to_owned() })?;
    read_str(&text, format).map_err(|source| ReadError::Format { path: path.to_owned(), source })
}

/// The name of a file without a final `.gz`, in any case.
pub fn without_gz(name: &str) -> &str {
    match name.len().checked_sub(3).map(|n| (name.get(..n), name.get(n..))) {
        Some((Some(rest), Some(end))) if end.eq_ignore_ascii_case(".gz") => rest,
        _ => name,
    }
}

/// The text of a file with this one structure. `name` becomes data block name, comment line or title.
///
/// CIF holds cell lengths and angles, so the orientation of the cell is lost, though not the hand of the crystal. POSCAR groups the sites by element in
/// order of first appearance; the others keep their order. CIF and extended XYZ files may be joined one after another.
pub fn write(structure: &Structure, format: Format, name: &str) -> String {
    (format.info().write)(structure, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_itself() {
        for (i, info) in FORMATS.iter().enumerate() {
            assert_eq!((info.format as usize, info.format.info().name), (i, info.name));
            assert_eq!(info.name.parse(), Ok(info.format));
            for ending in info.endings {
                let path = format!("a.b.{}", ending.to_ascii_uppercase());
                assert_eq!(Format::from_path(path.as_ref()), Some(info.format), "{path}");
                assert_eq!(Format::from_path(format!("{path}.Gz").as_ref()), Some(info.format), "{path}.Gz");
            }
            for prefix in info.prefixes {
                for name in [format!("{prefix}_1"), format!("{prefix}.gz")] {
                    assert_eq!(Format::from_path(name.as_ref()), Some(info.format), "{name}");
                }
            }
        }
        assert_eq!(Format::from_path("notes.txt".as_ref()), None);
        let error = "pdb".parse::<Format>().unwrap_err().to_string();
        assert!(
            error.contains("known are cif, poscar") && FORMATS.iter().all(|f| error.contains(f.name)),
            "{error}"
        );
        assert!(name_patterns().contains("CONTCAR*"), "{}", name_patterns());
    }
}
