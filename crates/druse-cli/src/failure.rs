//! Failures of commands, their words and exit codes.

use std::fmt::Display;
use std::process::ExitCode;

use druse_crystal::files::{Action, FileError};
use druse_crystal::formats::ReadError;
use druse_data::DataError;
use druse_models::ModelError;
use druse_nn::PrecisionError;
use druse_nn::device::DeviceError;
use druse_run::RunError;
use druse_run::checkpoint::CheckpointError;
use druse_run::config::Violation;
use druse_run::enumerate::EnumerationError;
use druse_run::overlay::ConfigError;

use crate::console;

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

    /// Writes the message to stderr and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let (error, hint) = match console::coloured() {
            true => ("\x1b[31merror:\x1b[0m", "\x1b[36mhint:\x1b[0m"),
            false => ("error:", "hint:"),
        };
        eprintln!("{error} {}", self.message);
        if let Some(text) = &self.hint {
            eprintln!("{hint} {text}");
        }
        ExitCode::from(self.code)
    }
}

impl From<RunError> for Failure {
    fn from(e: RunError) -> Self {
        let hint = match &e {
            RunError::Config(ConfigError::UnknownPreset { .. }) => {
                Some("`druse config presets` describes them")
            }
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

as_run_errors!(CheckpointError, ModelError, ConfigError, Violation, EnumerationError);
