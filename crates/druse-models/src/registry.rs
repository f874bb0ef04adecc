//! The built-in kinds of models. Their lists are beside their folders, in `generative` and `property`: a line a kind.
//!
//! What drivers have to know of a kind (its settings, presets, published weights, reference evaluations) it says in its own
//! folder. A program can register kinds of its own beside the built-in ones.

pub use crate::kinds::{Kind, Preset, Registry, RegistryError};
pub use crate::settings::{ModelSettings, NoSettings, Settings};
use crate::{generative, property};

/// The built-in kinds.
const BUILT_IN: [&[fn() -> Kind]; 2] = [generative::KINDS, property::KINDS];

/// The preset that is meant when none is named.
pub const DEFAULT_PRESET: &str = "gemsdiff-small";

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Registry {
    /// The kinds that come with the program.
    pub fn builtin() -> Self {
        Self::of(BUILT_IN.concat().iter().map(|kind| kind()).collect())
    }
}

/// The settings of the model of a built-in preset.
///
/// # Errors
/// In words, when there is no such preset or it belongs to settings of another form.
pub fn preset_model<S: Settings>(name: &str) -> Result<S, String> {
    Registry::builtin().preset(name).map_err(|e| e.to_string())?.1.model()
}
