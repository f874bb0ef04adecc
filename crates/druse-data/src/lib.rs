//! Crystal data sets: reading, packed cache, splits, filters, statistics, conversion and download.
//!
//! ```
//! use druse_data::{Cache, DatasetStats, LoadOptions, OutputFormat, Split, Splits, StatsOptions, write_dataset};
//!
//! let folder = std::env::temp_dir().join(format!("druse-data-example-{}", std::process::id()));
//! let write = |name: &str, lines: &[&str]| {
//!     druse_crystal::files::create_dir_all(&folder)?;
//!     druse_crystal::files::write_atomic(&folder.join(name), lines.join("\n").as_bytes())
//! };
//! write("train.jsonl", &[
//!     r#"{"id": "salt", "gap": 8.5, "lattice": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]],
//!         "species": ["Na", "Cl"], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]]}"#.replace('\n', "").as_str(),
//!     r#"{"id": "polonium", "lengths": [3.36, 3.36, 3.36], "angles": [90, 90, 90], "species": ["Po"], "frac_coords": [[0, 0, 0]]}"#,
//! ])?;
//!
//! let options = LoadOptions { cache: Cache::Off, ..LoadOptions::default() };
//! let mut train = Splits::open(&folder)?.load(Split::Train, &options)?;
//! assert_eq!((train.len(), train.max_atoms()), (2, 2));
//! assert_eq!(train.entries[0].structure.properties["gap"], 8.5);
//!
//! // Structures with a gap only; the content hash follows what is in the set.
//! let before = train.content_hash.clone();
//! train = train.filter(&["gap>1".parse()?])?;
//! assert_eq!(train.entries[0].id, "salt");
//! assert_ne!(train.content_hash, before);
//!
//! let stats = DatasetStats::compute(&train, StatsOptions::default()).expect("a structure");
//! assert_eq!(stats.space_groups[0].symbol, "Fm-3m");
//! write_dataset(&train, &folder.join("salt.csv.gz"), OutputFormat::CSV_GZ, true)?;
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A data set ([`Dataset`]) is read from a file in any [`SetFormat`], gzip-compressed or not, or from a folder of structure
//! files. Structures are Niggli-reduced on import unless [`LoadOptions::niggli`] is off, and kept in a packed cache
//! under a key made from the source's bytes, so that a second start reads one small binary file. What is to be judged
//! rather than learned from is read by [`list()`], which leaves nothing out and changes nothing.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod benchmark;
mod convert;
pub mod crystens;
mod dataset;
mod drawn;
mod entry;
mod error;
pub mod fetch;
mod filter;
mod formats;
mod listing;
mod load;
pub mod properties;
mod reader;
mod record;
mod source;
mod split;
mod splits;
mod stats;
mod store;
pub mod substitution;

pub use benchmark::{Benchmark, UnknownBenchmark};
pub use convert::{
    ImageOptions, write_dataset, write_dataset_to, write_image_file, write_symmetrized_folder,
};
#[cfg(feature = "parquet")]
pub use convert::{ParquetOptions, write_parquet};
pub use dataset::Dataset;
pub use drawn::Drawn;
pub use entry::{Entry, Skipped};
pub use error::DataError;
pub use filter::{Comparison, Filter, FilterError};
pub use formats::{OutputFormat, SetFormat, UnknownOutputFormat, readable_formats, structure_formats};
pub use listing::{
    Absent, Item, ListOptions, Listing, NumberedJson, list, list_json_line, read_json_lines,
    read_json_structure, structure_from_json,
};
pub use load::{Cache, LoadOptions, load};
pub use reader::{Entries, HowRead, SetReader};
pub use record::{JsonlRecord, write_jsonl_record};
pub use source::image_consistency;
pub use split::{Split, SplitBy, SplitOptions};
pub use splits::Splits;
pub use stats::{
    DatasetStats, DistinctSiteStats, Duplicates, PropertyStats, Quantiles, SpaceGroupCount, SplitStats,
    StatsOptions,
};
pub use store::{Kinds, StoreError};
