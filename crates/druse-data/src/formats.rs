//! Kinds of files that hold sets of structures: tables of one row a structure, and the structure formats of
//! [`druse_crystal::formats::FORMATS`].

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use druse_crystal::formats::{FORMATS, Format, SetLayout, enumerate, without_gz};

/// A kind of file that holds a set of structures. Any of them may be gzip-compressed when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SetFormat {
    /// CSV with one row a structure and the CIF in the column `cif`.
    Csv,
    /// JSON Lines of [`JsonlRecord`](crate::JsonlRecord)s, which keep every bit of every number.
    JsonLines,
    /// Parquet with columns `lattice`, `species` and `frac_coords`, `structure`, or `cif`. Every
    /// bit of every number is kept.
    Parquet,
    /// A packed store: binary, with a checksum, read in little memory. It keeps every bit of every number, too.
    Store,
    /// CrysTens images of crystals ([`crystens`](crate::crystens)) in a safetensors file: cells of at most 52 atoms.
    Crystens,
    /// A structure format: one file with many structures, or a folder of files.
    Structures(Format),
}

/// What is to be known about a table format.
struct TableInfo {
    format: SetFormat,
    /// Name on the command line.
    name: &'static str,
    /// Name in sentences.
    title: &'static str,
    about: &'static str,
    /// Endings of file names in lower case, without the dot; the first is the one that is written.
    endings: &'static [&'static str],
}

/// The formats of sets that are no structure formats: a line a format.
static TABLES: [TableInfo; 5] = [
    TableInfo {
        format: SetFormat::Csv,
        name: "csv",
        title: "CSV with a `cif` column",
        about: "CSV with a `cif` column",
        endings: &["csv"],
    },
    TableInfo {
        format: SetFormat::JsonLines,
        name: "jsonl",
        title: "JSON Lines",
        about: "JSON Lines, which keep every bit of every number",
        endings: &["jsonl", "ndjson"],
    },
    TableInfo {
        format: SetFormat::Parquet,
        name: "parquet",
        title: "Parquet",
        about: "Parquet with columns `lattice`, `species` and `frac_coords`",
        endings: &["parquet", "pq"],
    },
    TableInfo {
        format: SetFormat::Store,
        name: "store",
        title: "packed stores (.druse)",
        about: "a packed store, for large sets: binary, checked, read in little memory",
        endings: &["druse"],
    },
    TableInfo {
        format: SetFormat::Crystens,
        name: "crystens",
        title: "CrysTens images (safetensors)",
        about: "CrysTens images in a safetensors file, for cells of at most 52 atoms",
        endings: &["safetensors"],
    },
];

impl SetFormat {
    /// All formats; Parquet where the program was built with it (feature `parquet`).
    pub fn all() -> impl Iterator<Item = Self> {
        let built = |format: &Self| *format != Self::Parquet || cfg!(feature = "parquet");
        TABLES
            .iter()
            .map(|t| t.format)
            .filter(built)
            .chain(FORMATS.iter().map(|f| Self::Structures(f.format)))
    }

    fn table(self) -> Option<&'static TableInfo> {
        TABLES.iter().find(|t| t.format == self)
    }

    /// Name, title, description and endings.
    fn info(self) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
        match self {
            Self::Structures(format) => {
                let info = format.info();
                (info.name, info.title, info.about, info.endings)
            }
            table => table.table().map_or(("", "", "", &[]), |t| (t.name, t.title, t.about, t.endings)),
        }
    }

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        self.info().0
    }

    /// Whether a folder of such files is one set, in the order of their names.
    pub(crate) fn is_sharded(self) -> bool {
        matches!(self, Self::Store | Self::Parquet)
    }

    /// Whether the format is compressed as it is, so that nobody compresses it again.
    fn is_binary(self) -> bool {
        matches!(self, Self::Store | Self::Parquet)
    }

    /// What it is, in a line.
    pub fn about(self) -> &'static str {
        self.info().2
    }

    /// How a set is written.
    pub fn layout(self) -> SetLayout {
        match self {
            Self::Structures(format) => format.info().set,
            _ => SetLayout::File,
        }
    }

    /// The format that a file name tells, without its `.gz`.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let name = without_gz(&name);
        let ending = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
        let table = ending.and_then(|e| TABLES.iter().find(|t| t.endings.contains(&e.as_str())));
        match table {
            Some(table) => Some(table.format),
            None => Format::from_path(Path::new(name)).map(Self::Structures),
        }
    }
}

/// What can be read, for messages and help: `CSV with a `cif` column, JSON Lines, CIF, …`.
pub fn readable_formats() -> String {
    enumerate(SetFormat::all().map(|f| f.info().1), "or")
}

/// The structure formats that may lie in a folder, for messages and help.
pub fn structure_formats() -> String {
    enumerate(FORMATS.iter().map(|f| f.title), "or")
}

/// A format that a data set can be written in: any [`SetFormat`]; those of one file also compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputFormat {
    format: SetFormat,
    gzip: bool,
}

impl OutputFormat {
    /// CSV: `material_id`, `cif`, then the properties.
    pub const CSV: Self = Self { format: SetFormat::Csv, gzip: false };
    /// CSV, gzip-compressed.
    pub const CSV_GZ: Self = Self { format: SetFormat::Csv, gzip: true };
    /// JSON Lines.
    pub const JSONL: Self = Self { format: SetFormat::JsonLines, gzip: false };
    /// CrysTens images.
    pub const CRYSTENS: Self = Self { format: SetFormat::Crystens, gzip: false };

    /// All formats.
    pub fn all() -> impl Iterator<Item = Self> {
        SetFormat::all().flat_map(|format| {
            let plain = format.layout() == SetLayout::File && !format.is_binary();
            let gzip = plain.then_some(Self { format, gzip: true });
            std::iter::once(Self { format, gzip: false }).chain(gzip)
        })
    }

    /// The format that is written, compressed or not.
    pub fn format(self) -> SetFormat {
        self.format
    }

    /// Whether the file is gzip-compressed.
    pub fn is_gzip(self) -> bool {
        self.gzip
    }

    /// Whether a set is a folder with one file a structure.
    pub fn is_folder(self) -> bool {
        self.format.layout() == SetLayout::Folder
    }

    /// Name on the command line: `csv`, `csv.gz`, …
    pub fn name(self) -> String {
        format!("{}{}", self.format.name(), if self.gzip { ".gz" } else { "" })
    }

    /// What it is, in a line.
    pub fn about(self) -> String {
        match (self.gzip, self.is_folder()) {
            (true, _) => "the same, gzip-compressed".into(),
            (false, true) => format!("a folder of {}", self.format.about()),
            (false, false) => self.format.about().into(),
        }
    }

    /// Name of the file or folder of a set called `stem`: a folder has no ending.
    pub fn file_name(self, stem: &str) -> String {
        if self.is_folder() {
            return stem.to_owned();
        }
        let (name, .., endings) = self.format.info();
        let ending = endings.first().unwrap_or(&name);
        format!("{stem}.{ending}{}", if self.gzip { ".gz" } else { "" })
    }

    /// The format a file name tells; `None` for a name without one of the known endings, and for the formats that make a
    /// folder.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy();
        let gzip = without_gz(&name).len() < name.len();
        SetFormat::from_path(path)
            .map(|format| Self { format, gzip })
            .filter(|f| !(f.is_folder() || f.gzip && f.format.is_binary()))
    }
}

impl From<SetFormat> for OutputFormat {
    fn from(format: SetFormat) -> Self {
        Self { format, gzip: false }
    }
}

impl From<Format> for OutputFormat {
    fn from(format: Format) -> Self {
        SetFormat::Structures(format).into()
    }
}

/// The name of no format that a data set can be written in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown output format `{0}`: expected {known}",
    known = enumerate(OutputFormat::all().map(OutputFormat::name), "or")
)]
pub struct UnknownOutputFormat(String);

impl FromStr for OutputFormat {
    type Err = UnknownOutputFormat;

    fn from_str(name: &str) -> Result<Self, UnknownOutputFormat> {
        Self::all()
            .find(|f| f.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| UnknownOutputFormat(name.to_owned()))
    }
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings_lead_back_to_the_format() {
        for format in SetFormat::all() {
            let (name, title, about, endings) = format.info();
            assert!(!name.is_empty() && !title.is_empty() && !about.is_empty());
            for ending in endings {
                // (A gzip-compressed store is named so, too, and refused when it is read.)
                for path in [format!("x.{ending}"), format!("x.{}.GZ", ending.to_uppercase())] {
                    assert_eq!(SetFormat::from_path(Path::new(&path)), Some(format), "{path}");
                }
            }
        }
        for format in OutputFormat::all() {
            assert_eq!(format.name().parse::<OutputFormat>().unwrap(), format);
            let back = OutputFormat::from_path(format.file_name("train").as_ref());
            assert_eq!(back, (!format.is_folder()).then_some(format));
        }
        let error = "csv.xz".parse::<OutputFormat>().unwrap_err().to_string();
        assert!(OutputFormat::all().all(|f| error.contains(&f.name())), "{error}");
        assert_eq!(OutputFormat::from_path("train.csv.gz".as_ref()), Some(OutputFormat::CSV_GZ));
        assert_eq!(readable_formats().matches("CIF").count(), 1);
    }
}
