//! What can be wrong with a structure file.

use std::path::PathBuf;

use crate::content::ContentError;
use crate::files::FileError;
use crate::{LatticeError, StructureError};

/// A text that does not hold usable structures: what is wrong and on which line.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}{kind}", line.map(|l| format!("line {l}: ")).unwrap_or_default())]
pub struct FormatError {
    /// Line of the input, from 1, where it can be told.
    pub line: Option<usize>,
    /// What is wrong.
    pub kind: FormatErrorKind,
}

/// The kinds of [`FormatError`], in the order in which reading meets them.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatErrorKind {
    /// The text ends before the structure does.
    #[error("file ends early: {0}")]
    Truncated(String),
    /// The text breaks the grammar of its format.
    #[error("{0}")]
    Syntax(String),
    /// The file is well formed but holds no structure.
    #[error("no structure found: {0}")]
    NoStructure(String),
    /// A required entry is absent.
    #[error("{0} is missing")]
    Missing(String),
    /// A number could not be read.
    #[error("{what}: `{text}` is not a number")]
    Number {
        /// What the number is for.
        what: String,
        /// The text found.
        text: String,
    },
    /// A number is NaN or infinite.
    #[error("{what}: `{text}` is not finite")]
    NotFinite {
        /// What the number is for.
        what: String,
        /// The text found.
        text: String,
    },
    /// A site's species is no element.
    #[error("unknown element `{symbol}`{}; expected a symbol from H to Og", site_suffix(.site))]
    UnknownElement {
        /// The symbol found.
        symbol: String,
        /// Label of the site; empty where it has none.
        site: String,
    },
    /// A site is not fully occupied by one element.
    #[error(
        "site {site} is partially occupied ({element}: {occupancy}); only ordered structures are supported, \
         choose an ordered model of this crystal"
    )]
    PartialOccupancy {
        /// Label of the site.
        site: String,
        /// Its element, or elements.
        element: String,
        /// Occupancy found.
        occupancy: f64,
    },
    /// Two sites coincide.
    #[error(
        "atoms {first} and {second} coincide ({distance:.4} Å apart); remove one of them or correct \
         the coordinates"
    )]
    Coincident {
        /// Label of the first atom.
        first: String,
        /// Label of the second atom.
        second: String,
        /// Distance in Å.
        distance: f64,
    },
    /// The cell is impossible.
    #[error("cell: {0}")]
    Lattice(#[from] LatticeError),
    /// Sites and cell do not make a structure.
    #[error("{0}")]
    Structure(#[from] StructureError),
    /// A symmetry operation or space group could not be used.
    #[error("symmetry: {0}")]
    Symmetry(String),
    /// More atoms than [`super::MAX_SITES`].
    #[error("more than {max} atoms", max = super::MAX_SITES)]
    TooManySites,
    /// One entry of an array of structures is wrong.
    #[error("entry {index} of the array: {kind}")]
    Entry {
        /// Index of the entry, from 0.
        index: usize,
        /// What is wrong with it.
        kind: Box<FormatErrorKind>,
    },
    /// Valid in the format, but nothing druse can represent.
    #[error("{0}")]
    Unsupported(String),
}

fn site_suffix(site: &str) -> String {
    if site.is_empty() { String::new() } else { format!(" at site {site}") }
}

impl FormatError {
    pub(crate) fn at(line: usize, kind: impl Into<FormatErrorKind>) -> Self {
        Self { line: Some(line), kind: kind.into() }
    }

    pub(crate) fn whole(kind: impl Into<FormatErrorKind>) -> Self {
        Self { line: None, kind: kind.into() }
    }
}

/// Why a structure file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither name nor content tells a format.
    #[error(
        "{}: cannot tell the format from name or content; known are {}",
        path.display(), super::name_patterns()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be opened or read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The bytes are no text.
    #[error("`{}` {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What they are.
        source: ContentError,
    },
    /// The content is not a usable structure.
    #[error("{}: {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: FormatError,
    },
}
