//! What a kind of model says of itself (settings, presets, published weights, reference evaluations), and collections of
//! kinds. Which kinds there are is said in [`registry`](crate::registry).

mod error;
mod kind;
mod registry;

pub use error::RegistryError;
pub use kind::{Kind, Preset};
pub use registry::Registry;
