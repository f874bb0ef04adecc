//! Kinds of models. The lists of the built-in ones are beside their folders: `generative` and `property`, a line a kind.
//!
//! What drivers have to know of a kind (its settings, presets, published weights, reference evaluations) it says in its own
//! folder. A program can register kinds of its own beside the built-in ones.

mod error;
mod kind;
mod settings;

pub use error::RegistryError;
pub use kind::{Kind, Preset, preset_model};
pub use settings::{ModelSettings, NoSettings, Settings};

use serde_json::{Map, Value};

use crate::{ConditionSet, Model, generative, property};

/// The built-in kinds.
const BUILT_IN: [&[fn() -> Kind]; 2] = [generative::KINDS, property::KINDS];

/// The preset that is meant when none is named.
pub const DEFAULT_PRESET: &str = "gemsdiff-small";

/// The kinds of models that a program knows.
///
/// ```
/// use druse_models::registry::Registry;
///
/// let registry = Registry::builtin();
/// let settings = registry.kind("gemsdiff")?.defaults();
/// let model = registry.build(&settings, &Default::default())?;
/// assert_eq!(model.trainable().kind(), "gemsdiff");
/// assert!(registry.kind("gemsdif").unwrap_err().to_string().contains("gemsdiff"));
/// # Ok::<(), druse_models::registry::RegistryError>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    kinds: Vec<Kind>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Registry {
    /// The kinds that come with the program.
    pub fn builtin() -> Self {
        Self { kinds: BUILT_IN.concat().iter().map(|kind| kind()).collect() }
    }

    /// With one more kind.
    ///
    /// # Errors
    /// [`RegistryError::Taken`] when a kind or a preset of this name exists.
    pub fn with(mut self, kind: Kind) -> Result<Self, RegistryError> {
        let taken = |what, name: &str| Err(RegistryError::Taken { what, name: name.to_owned() });
        if self.kinds.iter().any(|known| known.name() == kind.name()) {
            return taken("kind of model", kind.name());
        }
        if let Some(preset) = kind.presets().iter().find(|preset| self.preset(preset.name).is_ok()) {
            return taken("preset", preset.name);
        }
        self.kinds.push(kind);
        Ok(self)
    }

    /// All kinds.
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The kind of a name.
    ///
    /// # Errors
    /// [`RegistryError::UnknownKind`] with the known ones.
    pub fn kind(&self, name: &str) -> Result<&Kind, RegistryError> {
        self.kinds.iter().find(|kind| kind.name() == name).ok_or_else(|| RegistryError::UnknownKind {
            name: name.to_owned(),
            known: self.kinds.iter().map(|kind| kind.name().to_owned()).collect(),
        })
    }

    /// A preset and its kind.
    ///
    /// # Errors
    /// [`RegistryError::UnknownPreset`] with the known ones.
    pub fn preset(&self, name: &str) -> Result<(&Kind, &Preset), RegistryError> {
        let all = || self.kinds.iter().flat_map(|kind| kind.presets().iter().map(move |p| (kind, p)));
        all().find(|(_, preset)| preset.name == name).ok_or_else(|| RegistryError::UnknownPreset {
            name: name.to_owned(),
            known: all().map(|(_, preset)| preset.name.to_owned()).collect(),
        })
    }

    /// The model of these settings; it knows nothing of a data set yet. Settings that are not given are the kind's own.
    ///
    /// # Errors
    /// [`RegistryError`] for an unknown kind, and when the settings describe no model.
    pub fn build(
        &self,
        model: &ModelSettings,
        sampling: &Map<String, Value>,
    ) -> Result<Model, RegistryError> {
        self.kind(&model.kind)?.build(&model.settings, sampling)
    }

    /// Names of the kinds that can serve conditions.
    pub fn that_serve(&self, conditions: ConditionSet) -> Vec<&'static str> {
        let able = |kind: &&Kind| kind.conditions().contains(&conditions);
        self.kinds.iter().filter(able).map(Kind::name).collect()
    }
}
