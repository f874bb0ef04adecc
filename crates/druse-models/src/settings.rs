//! Settings as typed values and as what configuration files hold.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ModelError;

/// Settings of a model or of its sampling: plain data with a value for every key.
pub trait Settings: Default + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Checks that the values describe a model that can be built.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key, the value and what was expected.
    fn validate(&self) -> Result<(), ModelError>;
}

/// Nothing can be set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl Settings for NoSettings {
    fn validate(&self) -> Result<(), ModelError> {
        Ok(())
    }
}

/// A kind of model with its settings, as configuration files and checkpoints hold them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSettings {
    /// Name of the kind.
    pub kind: String,
    /// The settings of its form.
    #[serde(flatten)]
    pub settings: Map<String, Value>,
}

impl ModelSettings {
    /// Typed settings of a kind.
    pub fn new(kind: &str, settings: &impl Settings) -> Self {
        Self { kind: kind.to_owned(), settings: to_map(settings) }
    }

    /// The settings as the type of their kind.
    ///
    /// # Errors
    /// The parser's reason for settings of another form.
    pub fn typed<S: Settings>(&self) -> Result<S, serde_json::Error> {
        serde_json::from_value(Value::Object(self.settings.clone()))
    }
}

/// What the registry has to know of a type of settings.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub defaults: fn() -> Map<String, Value>,
    /// All keys, those that are missing with their defaults.
    pub complete: fn(&Map<String, Value>) -> Result<Map<String, Value>, serde_json::Error>,
    pub validate: fn(&Map<String, Value>) -> Result<(), ModelError>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Form {
    pub fn of<S: Settings>() -> Self {
        Self {
            defaults: || to_map(&S::default()),
            complete: |settings| Ok(to_map(&typed::<S>(settings)?)),
            validate: |settings| match typed::<S>(settings) {
                Ok(settings) => settings.validate(),
                Err(e) => Err(ModelError::Config(e.to_string())),
            },
            schema: S::json_schema,
        }
    }
}

pub(crate) fn typed<S: Settings>(settings: &Map<String, Value>) -> Result<S, serde_json::Error> {
    serde_json::from_value(Value::Object(settings.clone()))
}

fn to_map(settings: &impl Serialize) -> Map<String, Value> {
    // By way of text, which has the shortest digits of a 32-bit number; a value would have those of its 64-bit neighbor.
    // Settings are structs of plain data; anything else has no keys to set.
    let text = serde_json::to_string(settings).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
