//! Evaluation of sets of crystals: from structures on the disk or in memory to metrics with their protocols, reports and
//! comparisons. No model and no tensor engine is needed.
//!
//! The formulas are in `druse_metrics`; here are files, the cache of features, progress, and what makes a report.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use druse_crystal::{Element, Lattice, Structure};
//! use druse_data::{Cache, Listing};
//! use druse_evaluate::{GenerationSettings, Sets, Silent, generation, report};
//! use druse_metrics::generation::Rules;
//!
//! // Rock salt in its primitive cell, and caesium chloride; the edge of the conventional cell is in Å.
//! let element = |symbol| Element::from_symbol(symbol).unwrap();
//! let rock_salt = |edge: f64| {
//!     let h = edge / 2.0;
//!     let lattice = Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]]).unwrap();
//!     Structure::new(lattice, vec![element("Na"), element("Cl")], vec![[0.0; 3], [0.5; 3]])
//! };
//! let caesium_chloride = |edge: f64| {
//!     let species = vec![element("Cs"), element("Cl")];
//!     Structure::new(Lattice::cubic(edge).unwrap(), species, vec![[0.0; 3], [0.5; 3]])
//! };
//! let generated = Listing::from_structures("generated", [rock_salt(5.7)?, caesium_chloride(4.2)?]);
//! let reference = Listing::from_structures("reference", [rock_salt(5.64)?, caesium_chloride(4.12)?]);
//!
//! let sets = Sets { generated: &generated, reference: &reference, train: Some(&reference) };
//! let settings = GenerationSettings {
//!     cache: Cache::Off,
//!     ..GenerationSettings::new(sets.resolve(&Rules::default()))
//! };
//! let evaluation = generation(sets, &settings, &mut Silent, &AtomicBool::new(false))?;
//! assert_eq!(evaluation.values["valid"], Some(1.0));
//! assert_eq!(evaluation.values["cov_recall"], Some(1.0));
//! assert_eq!(evaluation.values["unique"], Some(1.0));
//! assert_eq!(evaluation.values["novel"], Some(0.0));
//! assert!(report::table::evaluation(&evaluation).contains("COV-R"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod baseline;
mod cache;
mod charts;
mod columns;
mod describe;
mod error;
mod evaluation;
pub mod featurize;
mod generation;
pub mod hull;
mod judge;
mod matching;
mod novelty;
mod observer;
mod pairing;
pub mod pairs;
mod parallel;
mod prepared;
pub mod ranking;
pub mod report;
mod rows;
mod sets;
mod stability;
mod templates;

pub use baseline::Baseline;
pub use charts::{Chart, above_hull_chart};
pub use describe::{Described, describe};
pub use error::EvaluateError;
pub use evaluation::{
    ClosestReference, Evaluation, FORMAT, RowReason, SetSummary, StabilityReport, StabilityRow, Task,
};
pub use generation::{Embedding, GenerationSettings, Optimization, generation};
pub use matching::{MatchingSettings, matching};
pub use observer::{Observer, Progress, Silent};
pub use pairing::Pairing;
pub use sets::Sets;
pub use stability::{StabilitySettings, stability};
