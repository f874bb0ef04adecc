//! Drivers: the training loop with its checkpoints, and sampling and relaxation with their streaming output.
//!
//! Drivers own files, seeds, progress and interruption; models are functions of their arguments
//! ([`druse_models::Generator`]). Nothing here prints: progress goes to an [`Observer`].
//!
//! ```
//! use druse_crystal::Composition;
//! use druse_models::Registry;
//! use druse_run::model::LoadedModel;
//!
//! // A rock salt; the structure depends on model, composition, seed and index alone.
//! let model = LoadedModel::shipped(&Registry::builtin(), &druse_nn::device::cpu())?;
//! let sample = |seed| model.sample(vec![Composition::parse("NaCl").unwrap().into()], 1, seed);
//! let finished = sample(7)?.remove(0);
//! assert_eq!((finished.index, finished.label.as_str()), (0, "Na1 Cl1"));
//! let structure = finished.result?;
//! assert!(structure.len() == 2 && structure.lattice.volume() > 1.0);
//! assert_eq!(sample(7)?[0].result.as_ref(), Ok(&structure));
//!
//! // Configurations are layers: the defaults of a kind, a preset, a file, single settings.
//! use druse_run::overlay::Layers;
//!
//! let registry = Registry::builtin();
//! let settings = ["train.epochs=3".to_owned(), "model.steps=20".to_owned()];
//! let config = Layers { settings: &settings, ..Layers::new(&registry) }.resolve()?;
//! assert_eq!((config.train.epochs, &config.model.settings["steps"]), (3, &20.into()));
//! # Ok::<(), druse_run::RunError>(())
//! ```
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod checkpoint;
pub mod cluster;
pub mod config;
pub mod elements;
pub mod embedding;
mod energies;
pub mod enumerate;
mod error;
pub mod folder;
pub mod import;
pub mod latent;
pub mod merge;
pub mod metrics;
pub mod model;
mod observer;
pub mod output;
pub mod potentials;
pub mod predict;
pub mod relax;
pub mod sample;
pub mod screen;
pub mod train;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use config::{RunConfig, overlay, presets, schedule};
pub use error::{Panicked, RankError, RunError};
pub use folder::RunFolder;
pub use observer::{Event, Observer, Silent, Start};
pub use train::{batches, data};
