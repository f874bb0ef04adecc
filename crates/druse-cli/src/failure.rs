//! Failures of commands, their words and exit codes.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use druse_crystal::files::{Action, FileError};
use druse_crystal::formats::ReadError;
use druse_data::{DataError, Skipped};
use druse_evaluate::EvaluateError;
use druse_models::ModelError;
use druse_models::registry::RegistryError;
use druse_nn::PrecisionError;
use druse_nn::device::DeviceError;
use druse_run::RunError;
use druse_run::checkpoint::CheckpointError;
use druse_run::config::Violation;
use druse_run::enumerate::EnumerationError;
use druse_run::overlay::ConfigError;
use schemars::JsonSchema;
use serde::Serialize;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    /// The file or folder.
    pub file: PathBuf,
    /// Row of a table or number of a structure in the file, from 1.
    pub row: Option<usize>,
    /// Line of the file, from 1.
    pub line: Option<usize>,
}

impl Place {
    /// A file or folder.
    pub fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), row: None, line: None }
    }

    fn of_data(e: &DataError) -> Option<Self> {
        match e {
            DataError::File(e) => Some(Self::of(&e.path)),
            DataError::TooManySkipped { skipped, path, .. } => {
                Some(skipped.first().map_or_else(|| Self::of(path), Self::from))
            }
            DataError::Content { path, .. }
            | DataError::Images { path, .. }
            | DataError::UnknownFormat { path }
            | DataError::NoCifColumn { path, .. }
            | DataError::NoFormulaColumn { path, .. }
            | DataError::FolderOfTables { path, .. }
            | DataError::Empty { path, .. }
            | DataError::MissingSplit { path, .. }
            | DataError::OutputExists { path } => Some(Self::of(path)),
            DataError::AmbiguousSplit { first, .. } => Some(Self::of(first)),
            _ => None,
        }
    }

    fn of_run(e: &RunError) -> Option<Self> {
        match e {
            RunError::Data(e) => Self::of_data(e),
            RunError::Write { path, .. }
            | RunError::OtherJob { path }
            | RunError::Read { path, .. }
            | RunError::Damaged { path, .. }
            | RunError::Occupied { path, .. }
            | RunError::Locked { path, .. }
            | RunError::NothingToResume { path }
            | RunError::Changed { path, .. }
            | RunError::NoCheckpoint { path } => Some(Self::of(path)),
            _ => None,
        }
    }
}

impl From<&Skipped> for Place {
    fn from(skipped: &Skipped) -> Self {
        Self { file: skipped.file.clone(), row: skipped.row, line: skipped.line }
    }
}

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
    kind: &'static str,
    place: Option<Box<Place>>,
}

impl Failure {
    fn new(message: impl Display, kind: &'static str, code: u8) -> Self {
        Self { message: message.to_string(), hint: None, code, kind, place: None }
    }

    /// The person can put it right by other arguments or other input: exit code 2.
    pub fn mistake(message: impl Display) -> Self {
        Self::new(message, "input", 2)
    }

    /// The arguments do not parse: exit code 2.
    pub fn usage(message: impl Display) -> Self {
        Self::new(message, "usage", 2)
    }

    /// The machine refused, or the work failed: exit code 1.
    pub fn environment(message: impl Display) -> Self {
        Self::new(message, "environment", 1)
    }

    /// Whoever started the work stopped it: exit code 130.
    pub fn interrupted(message: impl Display) -> Self {
        Self::new(message, "interrupted", 130)
    }

    /// The program is wrong: exit code 101.
    pub fn bug(message: impl Display) -> Self {
        Self::new(message, "bug", 101)
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Says which of several processes it was.
    pub fn of_rank(self, rank: usize) -> Self {
        Self { message: format!("rank {rank}: {}", self.message), ..self }
    }

    /// Adds where it is.
    pub fn at(mut self, place: Option<Place>) -> Self {
        self.place = place.map(Box::new);
        self
    }

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do.
    pub fn hinted(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where it is.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// Whose it is: `usage`, `input`, `environment`, `interrupted` or `bug`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl From<RunError> for Failure {
    fn from(e: RunError) -> Self {
        let hint = match &e {
            RunError::Config(ConfigError::Registry {
                source: RegistryError::UnknownPreset { .. }, ..
            }) => Some("`druse config presets` describes them"),
            RunError::Config(ConfigError::UnknownKey { .. } | ConfigError::WrongType { .. }) => {
                Some("`druse config schema` lists all keys with their types")
            }
            RunError::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some space and continue with --resume")
            }
            _ => None,
        };
        match e {
            RunError::Interrupted => return Self::interrupted(e),
            RunError::Panicked(_) => return Self::bug(e),
            _ => {}
        }
        let failure = if e.is_user_mistake() { Self::mistake(&e) } else { Self::environment(&e) };
        Self { hint: hint.map(str::to_owned), place: Place::of_run(&e).map(Box::new), ..failure }
    }
}

impl From<EvaluateError> for Failure {
    fn from(e: EvaluateError) -> Self {
        match e {
            EvaluateError::Interrupted => Self::interrupted(e),
            EvaluateError::Data(e) => e.into(),
            EvaluateError::Format { ref path, .. } => Self::mistake(&e).at(Some(Place::of(path))),
            _ => Self::mistake(e),
        }
    }
}

impl From<FileError> for Failure {
    fn from(e: FileError) -> Self {
        let place = Some(Place::of(&e.path));
        match e.action {
            Action::Read => Self::mistake(e).at(place),
            _ => Self::environment(e).at(place),
        }
    }
}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Self {
        Self::mistake(&e).at(Place::of_data(&e))
    }
}

impl From<ReadError> for Failure {
    fn from(e: ReadError) -> Self {
        let place = match &e {
            ReadError::File(e) => Place::of(&e.path),
            ReadError::UnknownFormat { path } | ReadError::Content { path, .. } => Place::of(path),
            ReadError::Format { path, source } => Place { line: source.line, ..Place::of(path) },
        };
        Self::mistake(e).at(Some(place))
    }
}

/// Errors that are always the input's: exit code 2.
macro_rules! mistakes {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                Self::mistake(e)
            }
        }
    )*};
}

mistakes!(DeviceError, PrecisionError);

/// Errors that a run would report too.
macro_rules! as_run_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(e: $error) -> Self {
                RunError::from(e).into()
            }
        }
    )*};
}

as_run_errors!(CheckpointError, ModelError, ConfigError, Violation, EnumerationError, RegistryError);
