//! Crystal data sets: reading, packed cache, splits, filters, statistics, conversion and download.
//!
//! ```no_run
//! use druse_data::{LoadOptions, Split, Splits};
//!
//! let splits = Splits::open("data/mp_20".as_ref())?;
//! let train = splits.load(Split::Train, &LoadOptions::default())?;
//! println!("{} structures, content hash {}", train.len(), train.content_hash);
//! # Ok::<(), druse_data::DataError>(())
//! ```
//!
//! A data set is a table (CSV with a `cif` column, JSON Lines), a file of structures (CIF with data blocks,
//! extended XYZ, pymatgen JSON, POSCAR) or a folder of such files; any of them may be gzip-compressed.
//! Structures are Niggli-reduced on import unless [`LoadOptions::niggli`] is off, and kept in a packed cache
//! under a key made from the source's bytes, so that a second start reads one small binary file.

mod benchmark;
mod convert;
mod dataset;
mod error;
pub mod fetch;
mod filter;
mod listing;
mod load;
mod record;
mod source;
mod split;
mod stats;
mod store;

pub use benchmark::{Benchmark, UnknownBenchmark};
pub use convert::{OutputFormat, write_dataset, write_symmetrized_folder};
pub use dataset::{Dataset, Entry, Skipped, Value};
pub use error::DataError;
pub use filter::{Comparison, Filter, FilterError};
pub use listing::{Item, ListOptions, Listing, NumberedJson, list, read_json_lines, structure_from_json};
pub use load::{Cache, LoadOptions, load};
pub use record::{JsonlRecord, write_jsonl_record};
pub use split::{Split, SplitOptions, Splits};
pub use stats::{DatasetStats, Duplicates, PropertyStats, Quantiles, SpaceGroupCount, StatsOptions};
pub use store::write_atomically;
