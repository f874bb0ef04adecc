//! One kind of model.

use std::sync::Arc;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::RegistryError;
use crate::published::Import;
use crate::reference::{Build, ReferenceFiles};
use crate::settings::{Form, ModelSettings, Settings, typed};
use crate::{ConditionSet, Model, ModelError};

/// A named configuration: TOML that lies over the defaults of its kind and of the trainer, with a `description`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

impl Preset {
    /// A preset of a file, usually `include_str!("presets/NAME.toml")`.
    pub const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text }
    }

    /// The settings of its model alone.
    ///
    /// # Errors
    /// The parser's reason when the file is no TOML or the settings have another form.
    pub fn model<S: Settings>(&self) -> Result<S, String> {
        let mut file: Map<String, Value> = toml::from_str(self.text).map_err(|e| e.to_string())?;
        let model = file.remove("model").unwrap_or_else(|| Value::Object(Map::new()));
        let mut model: Map<String, Value> = serde_json::from_value(model).map_err(|e| e.to_string())?;
        model.remove("kind");
        typed(&model).map_err(|e| e.to_string())
    }
}

/// Brings settings of earlier versions into today's form.
type Upgrade = fn(model: &mut Map<String, Value>, sampling: &mut Map<String, Value>);

type BuildModel =
    dyn Fn(&Map<String, Value>, &Map<String, Value>) -> Result<Model, RegistryError> + Send + Sync;

/// A kind of model, as the drivers see it: all that they know of it.
///
/// ```
/// use druse_models::gemsdiff::{GemsDiff, GemsDiffConfig};
/// use druse_models::registry::{Kind, NoSettings, Registry};
/// use druse_models::Model;
///
/// let mine = Kind::new("mine", "GemsDiff under another name", |settings: GemsDiffConfig, _: NoSettings| {
///     Ok(Model::generator(GemsDiff::new(settings)?))
/// });
/// let registry = Registry::builtin().with(mine)?;
/// assert_eq!(registry.kinds().last().map(|kind| kind.name()), Some("mine"));
/// # Ok::<(), druse_models::registry::RegistryError>(())
/// ```
#[derive(Clone)]
pub struct Kind {
    name: &'static str,
    summary: &'static str,
    model: Form,
    sampling: Form,
    build: Arc<BuildModel>,
    conditions: &'static [ConditionSet],
    presets: Vec<Preset>,
    import: Option<Import>,
    parity: &'static [Build],
    reference_name: &'static str,
    reference_files: Option<ReferenceFiles>,
    upgrade: Option<Upgrade>,
}

impl Kind {
    /// A kind whose models are built from settings `S` and are sampled with settings `P` ([`NoSettings`](crate::registry::NoSettings) where nothing can be
    /// set). Its models have to return the same name as their [`Trainable::kind`](crate::Trainable::kind).
    pub fn new<S: Settings, P: Settings>(
        name: &'static str,
        summary: &'static str,
        build: impl Fn(S, P) -> Result<Model, ModelError> + Send + Sync + 'static,
    ) -> Self {
        let wrong = move |what| {
            move |e: serde_json::Error| RegistryError::Form { kind: name, what, reason: e.to_string() }
        };
        let build = move |model: &Map<String, Value>, sampling: &Map<String, Value>| {
            let model: S = typed(model).map_err(wrong("settings"))?;
            let sampling: P = typed(sampling).map_err(wrong("sampling settings"))?;
            model.validate()?;
            sampling.validate()?;
            Ok(build(model, sampling)?)
        };
        Self {
            name,
            summary,
            model: Form::of::<S>(),
            sampling: Form::of::<P>(),
            build: Arc::new(build),
            conditions: &[],
            presets: Vec::new(),
            import: None,
            parity: &[],
            reference_name: name,
            reference_files: None,
            upgrade: None,
        }
    }

    /// The combinations of conditions that its models serve.
    #[must_use]
    pub fn with_conditions(self, conditions: &'static [ConditionSet]) -> Self {
        Self { conditions, ..self }
    }

    /// Its presets.
    #[must_use]
    pub fn with_presets(self, presets: impl Into<Vec<Preset>>) -> Self {
        Self { presets: presets.into(), ..self }
    }

    /// How checkpoints of its published code are read.
    #[must_use]
    pub fn with_import(self, import: Import) -> Self {
        Self { import: Some(import), ..self }
    }

    /// The parts of its networks that reference evaluations are compared with.
    #[must_use]
    pub(crate) fn with_parity(self, parity: &'static [Build]) -> Self {
        Self { parity, ..self }
    }

    /// What reference evaluations call its network, where that is not the name of the kind.
    #[must_use]
    pub(crate) fn with_reference_name(self, reference_name: &'static str) -> Self {
        Self { reference_name, ..self }
    }

    /// Reference evaluations that have a form of their own.
    #[must_use]
    pub(crate) fn with_reference_files(self, files: ReferenceFiles) -> Self {
        Self { reference_files: Some(files), ..self }
    }

    /// How settings that earlier versions wrote are brought into today's form.
    #[must_use]
    pub fn with_upgrade(self, upgrade: Upgrade) -> Self {
        Self { upgrade: Some(upgrade), ..self }
    }

    /// Its name in configuration files and checkpoints.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in a line.
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// The combinations of conditions that its models serve; none for models that do not generate.
    pub fn conditions(&self) -> &'static [ConditionSet] {
        self.conditions
    }

    /// Its presets.
    pub fn presets(&self) -> &[Preset] {
        &self.presets
    }

    /// How checkpoints of its published code are read, where that is known.
    pub fn import(&self) -> Option<Import> {
        self.import
    }

    pub(crate) fn parity(&self) -> &'static [Build] {
        self.parity
    }

    pub(crate) fn reference_name(&self) -> &'static str {
        self.reference_name
    }

    pub(crate) fn reference_files(&self) -> Option<ReferenceFiles> {
        self.reference_files
    }

    /// The default settings of its models.
    pub fn defaults(&self) -> ModelSettings {
        ModelSettings { kind: self.name.to_owned(), settings: (self.model.defaults)() }
    }

    /// The default settings of sampling; empty where nothing can be set.
    pub fn sampling_defaults(&self) -> Map<String, Value> {
        (self.sampling.defaults)()
    }

    /// JSON Schemas of the settings of its models and of their sampling.
    pub fn schemas(&self, generator: &mut SchemaGenerator) -> [Schema; 2] {
        [(self.model.schema)(generator), (self.sampling.schema)(generator)]
    }

    /// Model settings with a value for every key.
    ///
    /// # Errors
    /// The parser's reason for settings of another form.
    pub fn complete(&self, settings: &Map<String, Value>) -> Result<Map<String, Value>, serde_json::Error> {
        (self.model.complete)(settings)
    }

    /// Sampling settings with a value for every key.
    ///
    /// # Errors
    /// The parser's reason for settings of another form.
    pub fn complete_sampling(
        &self,
        settings: &Map<String, Value>,
    ) -> Result<Map<String, Value>, serde_json::Error> {
        (self.sampling.complete)(settings)
    }

    /// Checks that settings describe a model that can be built and sampled.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key, the value and what was expected.
    pub fn validate(
        &self,
        model: &Map<String, Value>,
        sampling: &Map<String, Value>,
    ) -> Result<(), ModelError> {
        (self.model.validate)(model)?;
        (self.sampling.validate)(sampling)
    }

    /// Brings settings that earlier versions wrote into today's form.
    pub fn upgrade(&self, model: &mut Map<String, Value>, sampling: &mut Map<String, Value>) {
        if let Some(upgrade) = self.upgrade {
            upgrade(model, sampling);
        }
    }

    /// A model.
    ///
    /// # Errors
    /// [`RegistryError`] when the settings describe none.
    pub fn build(
        &self,
        model: &Map<String, Value>,
        sampling: &Map<String, Value>,
    ) -> Result<Model, RegistryError> {
        let built = (self.build)(model, sampling)?;
        debug_assert_eq!(built.trainable().kind(), self.name, "a model bears the name of its kind");
        Ok(built)
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kind")
            .field("name", &self.name)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}
