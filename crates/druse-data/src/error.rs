//! What can go wrong between a file and a [`Dataset`](crate::Dataset).

use std::path::{Path, PathBuf};

use druse_crystal::SymmetryError;
use druse_crystal::content::ContentError;
use druse_crystal::files::FileError;

use crate::crystens::{EncodeError, ImageFileError};
use crate::formats::readable_formats;
use crate::store::StoreError;
use crate::{FilterError, Skipped, Split, UnknownOutputFormat};

/// How many skipped rows an error message lists.
const LISTED: usize = 5;

/// Why a data set could not be read or written. In the order of the stages that raise them.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The allowed share of skipped structures is no share.
    #[error("the share of structures that may be skipped is {share}, expected a number from 0 to 1")]
    SkippedShare {
        /// [`LoadOptions::max_skipped_share`](crate::LoadOptions::max_skipped_share).
        share: f64,
    },
    /// A file or folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// More structures are to be drawn than there are.
    #[error("`{name}` has {total} structures, of which {asked} cannot be drawn")]
    TooFew {
        /// The set.
        name: String,
        /// Structures to draw.
        asked: usize,
        /// Structures that there are.
        total: usize,
    },
    /// A structure has no space group within the tolerance.
    #[error("`{id}`: {source}")]
    Symmetry {
        /// Identifier of the structure.
        id: String,
        /// Why none was found.
        source: SymmetryError,
    },
    /// The bytes of a file are no text, or damaged in compression.
    #[error("`{}` {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What they are.
        source: ContentError,
    },
    /// A packed store cannot be read or written.
    #[error("`{}` {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// A packed store does not say which of its structures were doubtful.
    #[error(
        "`{}` was not written with --strict and does not say which structures were doubtful; write it again from its \
         source", path.display()
    )]
    NotStrict {
        /// The file.
        path: PathBuf,
    },
    /// A Parquet file cannot be read.
    #[error("`{}`{at}: {reason}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Where: row group, row and column, as far as known.
        at: String,
        /// Why.
        reason: String,
    },
    /// The program was built without the feature `parquet`.
    #[error(
        "`{}` is a Parquet file, and this program was built without Parquet; build it with `--features parquet`, or use \
         another format", path.display()
    )]
    WithoutParquet {
        /// The file.
        path: PathBuf,
    },
    /// The columns of a Parquet file tell no structures.
    #[error(
        "`{}` has no columns of structures: expected `lattice`, `species` and `frac_coords` (or names like `cell`, `numbers` \
         and `positions`), `structure`, or `cif`; its columns are {}", path.display(), columns.join(", ")
    )]
    NoStructureColumns {
        /// The file.
        path: PathBuf,
        /// The columns of its schema.
        columns: Vec<String>,
    },
    /// A property has the name of a column that holds crystals.
    #[error("the property `{name}` has the name of a column that Parquet files hold crystals in; rename it")]
    ReservedProperty {
        /// The property.
        name: String,
    },
    /// A file of images cannot be read.
    #[error("`{}` {source}", path.display())]
    Images {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ImageFileError,
    },
    /// A structure has no image.
    #[error("`{id}`: {source}")]
    Image {
        /// Identifier of the structure.
        id: String,
        /// Why.
        source: EncodeError,
    },
    /// Neither name nor content says how to read the file.
    #[error(
        "`{}` is no data set that can be read: expected {} (each also as .gz), or a folder of structure files",
        path.display(), readable_formats()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The table lacks the `cif` column.
    #[error("`{}` has no `cif` column; its columns are {}", path.display(), columns.join(", "))]
    NoCifColumn {
        /// The file.
        path: PathBuf,
        /// The columns of its header.
        columns: Vec<String>,
    },
    /// The table tells neither structures nor formulas.
    #[error(
        "`{}` has neither a column `cif` nor one of formulas (`composition` or `formula`); its columns are {}",
        path.display(), columns.join(", ")
    )]
    NoFormulaColumn {
        /// The file.
        path: PathBuf,
        /// The columns of its header.
        columns: Vec<String>,
    },
    /// The folder holds splits or tables instead of structure files.
    #[error("`{}` holds no structure files but {}; name one of them", path.display(), tables.join(", "))]
    FolderOfTables {
        /// The folder.
        path: PathBuf,
        /// Names of the tables in it.
        tables: Vec<String>,
    },
    /// There is no structure at all.
    #[error("`{}` is an empty data set: {reason}", path.display())]
    Empty {
        /// File or folder.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// More structures than allowed could not be used.
    #[error(
        "`{}`: {} of {total} structures cannot be used, more than the allowed share of {allowed}:{}",
        path.display(), skipped.len(), list(skipped)
    )]
    TooManySkipped {
        /// File or folder.
        path: PathBuf,
        /// The structures, in file order.
        skipped: Vec<Skipped>,
        /// Structures in the source.
        total: usize,
        /// [`LoadOptions::max_skipped_share`](crate::LoadOptions::max_skipped_share).
        allowed: f64,
    },
    /// A filter cannot be applied, or does not parse.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// The filters leave nothing.
    #[error("no structure of `{name}` ({total} structures) passes the filters {filters}")]
    NothingLeft {
        /// Name of the data set.
        name: String,
        /// Structures before filtering.
        total: usize,
        /// The filters, as text.
        filters: String,
    },
    /// The split asked for is not in the folder.
    #[error("`{}` has no {split} split; it has {found}", path.display())]
    MissingSplit {
        /// The folder.
        path: PathBuf,
        /// The split asked for.
        split: Split,
        /// The splits that are there.
        found: String,
    },
    /// Two files claim to be the same split.
    #[error("`{}` and `{}` both look like the {split} split; remove or rename one", first.display(), second.display())]
    AmbiguousSplit {
        /// The split.
        split: Split,
        /// One file.
        first: PathBuf,
        /// The other file.
        second: PathBuf,
    },
    /// The fractions of a split are not usable.
    #[error("split fractions {train}, {val}, {test} must be finite, not negative and have a positive sum")]
    SplitFractions {
        /// Training share.
        train: f64,
        /// Validation share.
        val: f64,
        /// Test share.
        test: f64,
    },
    /// The worker threads could not be started.
    #[error("cannot start {threads} worker threads: {reason}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// The system's reason.
        reason: String,
    },
    /// The output format is not known.
    #[error(transparent)]
    OutputFormat(#[from] UnknownOutputFormat),
    /// Output would overwrite something.
    #[error("`{}` already exists; remove it or choose another name", path.display())]
    OutputExists {
        /// The file or folder.
        path: PathBuf,
    },
}

impl DataError {
    /// An error about a packed store, as an argument of `map_err`.
    pub(crate) fn of_store(path: &Path) -> impl FnOnce(StoreError) -> Self + '_ {
        move |source| match source {
            StoreError::File(e) => Self::File(e),
            source => Self::Store { path: path.to_owned(), source },
        }
    }
}

fn list(skipped: &[Skipped]) -> String {
    let mut text: String = skipped.iter().take(LISTED).map(|s| format!("\n  {s}")).collect();
    if skipped.len() > LISTED {
        text.push_str(&format!("\n  … and {} more", skipped.len() - LISTED));
    }
    text
}
