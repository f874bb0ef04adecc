//! Generative models of crystals, and models that predict their properties, on the druse engine.
//!
//! Every model is [`Trainable`]; generative ones are [`Generator`]s, those that predict are [`Predictor`]s. The drivers in
//! `druse-run` know nothing else of them, and take them from a [`Registry`] of kinds.
//!
//! ```
//! use druse_crystal::{Element, Lattice, Structure};
//! use druse_models::gemsdiff::{GemsDiff, GemsDiffConfig};
//! use druse_models::{NoiseKey, Trainable};
//! use druse_nn::{Params, device};
//!
//! // A model says which tensors it has, what it has to know of a data set, and what its objective is for a batch.
//! let mut model = GemsDiff::new(GemsDiffConfig { knn: 8, ..GemsDiffConfig::default() })?;
//! let species = ["Cs", "Cl"].map(Element::from_symbol).into_iter().collect::<Result<_, _>>()?;
//! let crystal = Structure::new(Lattice::cubic(4.12)?, species, vec![[0.0; 3], [0.5; 3]])?;
//! model.fit_statistics(&[&crystal])?;
//!
//! // The tensors are apart from it: these are initial ones, of seed 0.
//! let params = Params::init(model.parameters(), 0, &device::cpu());
//! let noise = NoiseKey { seed: 0, epoch: 0, index: 0 };
//! let terms = model.prepare(&[&crystal], &[noise])?.loss(&params)?;
//! let names: Vec<&str> = terms.iter().map(|term| term.name).collect();
//! assert_eq!(names, ["position", "lattice"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod autoencoder;
mod bonds;
mod conditions;
mod engine;
mod error;
pub mod generative;
mod identity;
mod kinds;
mod known_crystals;
pub mod parity;
pub mod process;
pub mod property;
pub mod published;
mod reference;
pub mod registry;
mod settings;
mod standardizer;
mod structure_types;
pub mod targets;
mod traits;

pub use bonds::{BondCache, BondError, Bonds};
pub use conditions::{Condition, ConditionSet, Conditions, Site};
pub use engine::{
    Alone, Batch, Gradient, InFlight, InFlightSampler, Part, PartNumbers, Reduce, Reverse, Share,
    differentiate, evaluate,
};
pub use error::{ModelError, RankFailure};
pub use generative::{adaptive, cdvae, crystens, gemsdiff, orbit, substitute, symat};
pub use kinds::Registry;
pub use standardizer::Standardizer;
pub use structure_types::{PositionSet, PositionSets};
pub use traits::{
    Arrays, Autoencoder, BatchStatistics, Capabilities, Generator, LossTerm, MicroBatchLimit, Model,
    NoiseKey, Objective, Phase, PhaseOptimizer, PhaseParameters, Posterior, Predictor, Prepared,
    PropertyGradient, SampleRequest, Sampled, Sampler, Trainable, TrainingPhase, Warning, repetition_seed,
    sample_all,
};
