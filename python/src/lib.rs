//! The extension module of the Python package `druse`.
//!
//! It has structures, models, potentials and the commands of the program as functions ([`druse_cli::library`]): options go in
//! as on the command line, errors come out with the same words. The package's own Python (`druse/`) gives them signatures,
//! converts the objects of other packages, and draws pictures. Long work runs on a thread of its own (`work.rs`).

mod commands;
mod error;
mod events;
mod json;
mod models;
mod structure;
mod view;
mod work;

use std::process::ExitCode;

use pyo3::prelude::*;

/// As in the program, so that both are equally fast. Memory of Python's objects is Python's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The program: its exit code.
#[pyfunction]
fn _command(py: Python<'_>, arguments: Vec<std::ffi::OsString>) -> u8 {
    py.detach(|| {
        // The hook has printed it; the binary ends like that, too.
        let code = std::panic::catch_unwind(|| druse_cli::run(arguments)).unwrap_or(ExitCode::from(101));
        // An exit code can be made and compared, but not read.
        (0..=u8::MAX).find(|&n| ExitCode::from(n) == code).unwrap_or(1)
    })
}

/// The extension module.
#[pymodule]
mod _druse {
    use super::*;

    #[pymodule_export]
    use super::_command;
    #[pymodule_export]
    use super::commands::{
        _evaluate, _evaluation, _featurize, _holds_run, _hull, _match, _predict, _read, _reconstruct, _relax,
        _sample, _screen, _train, _write, Evaluation,
    };
    #[pymodule_export]
    use super::events::Event;
    #[pymodule_export]
    use super::models::{_radii, Model, Potential, load_model, load_potential};
    #[pymodule_export]
    use super::structure::{_restore, Failure, Structure};
    #[pymodule_export]
    use super::view::Array;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        druse_cli::keep_freed_memory();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
