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

/// Settings with all keys, those that are missing with their defaults.
type Complete = fn(&Map<String, Value>) -> Result<Map<String, Value>, serde_json::Error>;

/// What the registry has to know of a type of settings.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    pub defaults: fn() -> Map<String, Value>,
    pub complete: Complete,
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

/// Checks the settings of annealed Langevin dynamics.
///
/// # Errors
/// [`ModelError::Config`] for no step at a level or a step size that is no positive number.
pub(crate) fn check_dynamics(steps_per_level: usize, step_size: f64) -> Result<(), ModelError> {
    at_least_one(&[("steps_per_level", steps_per_level)])?;
    if !(step_size > 0.0 && step_size.is_finite()) {
        return Err(ModelError::Config(format!("step_size = {step_size}, expected a positive number")));
    }
    Ok(())
}

/// Refuses the first of the named numbers that is zero.
///
/// # Errors
/// [`ModelError::Config`] with its name.
pub(crate) fn at_least_one(numbers: &[(&str, usize)]) -> Result<(), ModelError> {
    match numbers.iter().find(|(_, value)| *value == 0) {
        Some((key, _)) => Err(ModelError::Config(format!("{key} = 0, expected at least 1"))),
        None => Ok(()),
    }
}

/// Refuses the first of the named numbers that is negative or not finite.
///
/// # Errors
/// [`ModelError::Config`] with its name.
pub(crate) fn not_negative(numbers: &[(&str, f64)]) -> Result<(), ModelError> {
    match numbers.iter().find(|(_, value)| !(*value >= 0.0 && value.is_finite())) {
        Some((key, value)) => {
            Err(ModelError::Config(format!("{key} = {value:?}, expected a number that is not negative")))
        }
        None => Ok(()),
    }
}
