//! Failures of commands, their words and exit codes.

use std::fmt::Display;

use druse_crystal::files::{Action, FileError};
use druse_crystal::formats::ReadError;
use druse_data::DataError;
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

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// The person can put it right by other arguments or other input: exit code 2.
    pub fn mistake(message: impl Display) -> Self {
        Self { message: message.to_string(), hint: None, code: 2 }
    }

    /// The machine refused, or the work failed: exit code 1.
    pub fn environment(message: impl Display) -> Self {
        Self { message: message.to_string(), hint: None, code: 1 }
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

    /// What went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do.
    pub fn hinted(&self) -> Option<&str> {
        self.hint.as_deref()
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
            RunError::Interrupted => return Self { message: e.to_string(), hint: None, code: 130 },
            RunError::Panicked(_) => return Self { message: e.to_string(), hint: None, code: 101 },
            _ => {}
        }
        let failure = if e.is_user_mistake() { Self::mistake(&e) } else { Self::environment(&e) };
        Self { hint: hint.map(str::to_owned), ..failure }
    }
}

impl From<EvaluateError> for Failure {
    fn from(e: EvaluateError) -> Self {
        match e {
            EvaluateError::Interrupted => Self { message: e.to_string(), hint: None, code: 130 },
            _ => Self::mistake(e),
        }
    }
}

impl From<FileError> for Failure {
    fn from(e: FileError) -> Self {
        match e.action {
            Action::Read => Self::mistake(e),
            _ => Self::environment(e),
        }
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

mistakes!(DataError, DeviceError, PrecisionError, ReadError);

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
