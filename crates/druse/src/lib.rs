//! Generative models of crystals, as a library: one crate to depend on.
//!
//! Each part is a crate of its own and a module here. Without the default feature `models` nothing of the tensor engine is
//! compiled: structures, data sets, metrics and evaluation alone.
//!
//! ```
//! use druse::crystal::{Composition, formats};
//! use druse::metrics::matcher::StructureMatcher;
//!
//! // Sample two crystals with the model that ships, and compare them.
//! # #[cfg(feature = "models")] {
//! let model = druse::shipped_model()?;
//! let sampled = model.sample(vec![Composition::parse("NaCl")?.into()], 2, 0)?;
//! let [a, b] = [0, 1].map(|i| sampled[i].result.clone().expect("a crystal"));
//! assert_eq!((a.len(), b.len()), (2, 2));
//! let matcher = StructureMatcher::default();
//! println!("{:?}", matcher.rms(&matcher.prepare(&a), &matcher.prepare(&b)));
//! print!("{}", formats::write(&a, formats::Format::Cif, "NaCl"));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A model of one's own is trained, checkpointed and sampled by the same drivers: `examples/own_model.rs`. The other
//! [examples](https://github.com/druse-rs/druse/tree/main/examples), one a task: training, sampling into memory or to another
//! thread, latents, predictions, relaxation, evaluation, matching, features.

pub use druse_crystal as crystal;
pub use druse_data as data;
pub use druse_evaluate as evaluate;
pub use druse_metrics as metrics;
#[cfg(feature = "models")]
pub use druse_models as models;
#[cfg(feature = "models")]
pub use druse_nn as nn;
#[cfg(feature = "models")]
pub use druse_potential as potential;
pub use druse_relax as relax;
#[cfg(feature = "models")]
pub use druse_run as run;

/// The model that ships with the program, on the CPU.
///
/// # Errors
/// [`RunError`](run::RunError) when its checkpoint is of another version.
#[cfg(feature = "models")]
pub fn shipped_model() -> Result<run::model::LoadedModel, run::RunError> {
    run::model::LoadedModel::shipped(&models::Registry::builtin(), &nn::device::cpu())
}

/// A model of a built-in kind, from a checkpoint or the folder of a training run, on the CPU.
///
/// # Errors
/// [`RunError`](run::RunError) when it cannot be read.
#[cfg(feature = "models")]
pub fn load_model(path: &std::path::Path) -> Result<run::model::LoadedModel, run::RunError> {
    run::model::LoadedModel::open(&models::Registry::builtin(), path, &nn::device::cpu())
}
