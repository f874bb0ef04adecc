//! Failures as Python's exceptions.

use druse_cli::Failure;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// Which exception it is; their classes are in `druse/_errors.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Other arguments or other input put it right.
    Input,
    /// The machine refused, or the work failed.
    Work,
    /// The process was forked after the threads had begun.
    Fork,
    /// Whoever watched stopped it.
    Stopped,
    /// A bug.
    Internal,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Input => "InputError",
            Self::Work => "WorkError",
            Self::Fork => "ForkError",
            Self::Stopped => "Stopped",
            Self::Internal => "InternalError",
        }
    }

    /// By the exit code that the program would end with.
    fn of(failure: &Failure) -> Self {
        match failure.code() {
            2 => Self::Input,
            101 => Self::Internal,
            130 => Self::Stopped,
            _ => Self::Work,
        }
    }
}

/// An exception with the words of a failure.
pub fn exception(py: Python<'_>, kind: Kind, message: &str, hint: Option<&str>) -> PyErr {
    static CLASSES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let build = || -> PyResult<PyErr> {
        let module =
            CLASSES.get_or_try_init(py, || py.import("druse._errors").map(|m| m.into_any().unbind()))?;
        let class = module.bind(py).getattr(kind.class())?.cast_into::<PyType>()?;
        Ok(PyErr::from_value(class.call1((message, hint))?))
    };
    build().unwrap_or_else(|e| e)
}

/// The exception of a failure.
pub fn raised(py: Python<'_>, failure: &Failure) -> PyErr {
    exception(py, Kind::of(failure), failure.message(), failure.hinted())
}

/// The exception for input that cannot be used.
pub fn wrong(py: Python<'_>, message: impl AsRef<str>, hint: &str) -> PyErr {
    exception(py, Kind::Input, message.as_ref(), Some(hint).filter(|text| !text.is_empty()))
}
