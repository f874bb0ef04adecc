//! Metrics of generative models of crystals, as functions of structures and of features.
//!
//! Nothing here reads files, prints, or knows a model: [`druse_crystal::Structure`]s and plain numbers go in, metrics come
//! out. `druse-evaluate` adds files, a cache, progress and reports.
//!
//! Each [`Metric`] carries the protocol it was measured under, and [`METRICS`] describes every one: name, unit, which way is
//! better, what it needs. Protocols, cut-offs and benchmarks are resolved by [`generation::Rules`].
//!
//! ```
//! use druse_crystal::{Element, Lattice, Structure};
//! use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
//! use druse_metrics::generation::{Options, Rules, evaluate};
//! use druse_metrics::matcher::StructureMatcher;
//!
//! // Caesium chloride, and the same with another edge (Å).
//! let element = |symbol| Element::from_symbol(symbol).unwrap();
//! let caesium_chloride = |edge: f64| {
//!     let species = vec![element("Cs"), element("Cl")];
//!     Structure::new(Lattice::cubic(edge).unwrap(), species, vec![[0.0; 3], [0.5; 3]])
//! };
//! let (a, b) = (caesium_chloride(4.12)?, caesium_chloride(4.3)?);
//!
//! // Scaled to one volume they are the same.
//! let matcher = StructureMatcher::default();
//! assert!(matcher.fit(&matcher.prepare(&a), &matcher.prepare(&b)));
//!
//! // One generated crystal against one reference crystal, by CDVAE's protocol.
//! let settings = DescriptorSettings::default();
//! let (generated, reference) = (Descriptors::of(&b, &settings), Descriptors::of(&a, &settings));
//! let rules = Rules::default().resolve("mp_20/test");
//! let found = evaluate(&[generated], &[reference], &rules.protocol, &Options::default())?;
//! assert_eq!(found.value("valid"), Some(1.0));
//! assert_eq!(found.value("cov_recall"), Some(1.0));
//! let emd = found.value("wdist_density").unwrap();
//! assert!((emd - (a.density() - b.density())).abs() < 1e-9);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod corrections;
pub mod coverage;
pub mod crystens;
pub mod descriptors;
pub mod distribution;
pub mod features;
pub mod fingerprint;
pub mod generation;
pub mod matcher;
mod metric;
pub mod nearest;
pub mod novelty;
pub mod optimization;
pub mod phase_diagram;
pub mod reconstruction;
pub mod stability;
pub mod symmetry;
pub mod validity;

pub use druse_data::Benchmark;
pub use metric::{
    BASELINE_PREFIX, Direction, METRICS, Metric, MetricInfo, Needs, describe, direction, label,
    markdown_table,
};
