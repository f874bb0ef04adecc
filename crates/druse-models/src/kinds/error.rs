//! Why a kind of model cannot be used.

use crate::ModelError;

/// What is wrong with a kind, its settings or a preset.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is no such kind.
    #[error("unknown kind of model `{name}`: expected one of {}; the nearest is `{}`", known.join(", "), nearest(name, known))]
    UnknownKind {
        /// What was asked for.
        name: String,
        /// The kinds.
        known: Vec<String>,
    },
    /// There is no such preset.
    #[error("unknown preset `{name}`: expected one of {}; the nearest is `{}`", known.join(", "), nearest(name, known))]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The presets.
        known: Vec<String>,
    },
    /// The name is taken.
    #[error("there is a {what} of the name `{name}` already")]
    Taken {
        /// A kind or a preset.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The settings have another form than those of the kind.
    #[error("{what} of a {kind} model: {reason}")]
    Form {
        /// The kind.
        kind: &'static str,
        /// Model or sampling settings.
        what: &'static str,
        /// What was expected and what came.
        reason: String,
    },
    /// The settings describe no model.
    #[error(transparent)]
    Model(#[from] ModelError),
}

fn nearest<'n>(name: &str, known: &'n [String]) -> &'n str {
    known.iter().min_by_key(|k| strsim::damerau_levenshtein(k, name)).map_or("", String::as_str)
}
