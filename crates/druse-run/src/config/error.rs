//! Why a configuration is refused.

use druse_crystal::files::FileError;
use druse_models::registry::RegistryError;

/// Why a configuration could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such preset or kind of model.
    #[error("{}{source}", origin.as_deref().map_or(String::new(), |o| format!("{o}: ")))]
    Registry {
        /// File and line or option, where one names it.
        origin: Option<String>,
        /// What is not there, and what is.
        source: RegistryError,
    },
    /// Sampling of this kind of model has no settings.
    #[error("{origin}: `{key}` cannot be set: sampling of a {kind} model has no settings")]
    NoSampling {
        /// File and line or option.
        origin: String,
        /// Dotted key.
        key: String,
        /// Kind of the model.
        kind: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is no TOML.
    #[error("{name} is not valid TOML: {reason}")]
    Syntax {
        /// The file.
        name: String,
        /// The parser's message with line and column.
        reason: String,
    },
    /// A key does not exist.
    #[error("{origin}: unknown key `{key}`; the nearest valid key is `{nearest}`")]
    UnknownKey {
        /// File and line or option.
        origin: String,
        /// Dotted key.
        key: String,
        /// The most similar key.
        nearest: String,
    },
    /// A value has the wrong type or is none of the allowed words.
    #[error("{origin}: `{key}` {reason}")]
    WrongType {
        /// File and line or option.
        origin: String,
        /// Dotted key.
        key: String,
        /// What was expected and what came.
        reason: String,
    },
    /// A setting is not of the form `key=value`.
    #[error("`--set {text}`: expected key=value, such as optim.lr=0.0005")]
    Setting {
        /// The text.
        text: String,
    },
    /// The result is not allowed.
    #[error(transparent)]
    Violation(#[from] Violation),
}

impl From<RegistryError> for ConfigError {
    fn from(source: RegistryError) -> Self {
        Self::Registry { origin: None, source }
    }
}

/// A value that the configuration does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct Violation {
    /// Dotted key.
    pub key: String,
    /// The value that came.
    pub value: String,
    /// What was expected.
    pub expected: String,
}
