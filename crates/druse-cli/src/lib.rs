//! The program druse: train generative models of crystals, sample from them, judge what comes out.
//!
//! [`run`] is the program; the binary and the command of the Python package call it. [`library`] has its commands as
//! functions, with options as on the command line and sets and results in memory: the Python module is made of these.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod commands;
mod console;
mod failure;
mod formats;
mod images;
pub mod library;
mod models;
mod options;
mod rows;
mod sampling;
mod sets;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;

pub use crate::console::Remark;
pub use crate::failure::Failure;
pub use crate::models::{load_model, registry};

/// Train generative models of crystals and sample new structures.
#[derive(Parser)]
#[command(name = "druse", version, propagate_version = true)]
#[command(after_help = "Examples:
  druse sample --formula LiFeO2 --count 8 --out lifeo2
  druse train --data ../data/mp_20 --out runs/mp20
  druse sample --model runs/mp20 --formula SrTiO3 --count 4 --out sto
  druse info runs/mp20/checkpoints/best.safetensors

Exit codes: 0 done, 1 failed, 2 wrong arguments or input, 130 interrupted.")]
struct Cli {
    /// More messages on stderr (-v: debug, -vv: trace).
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = 900)]
    verbose: u8,
    /// No progress and no remarks, only warnings and errors.
    #[arg(short, long, global = true, display_order = 901)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

/// Keeps freed memory for the next step. By default the allocator hands it back to the system within milliseconds, and
/// a training step, which allocates the same hundreds of megabytes as the one before, pays for fresh pages each time.
///
/// It is for programs whose allocator is mimalloc.
pub fn keep_freed_memory() {
    /// `mi_option_purge_delay`, for which the bindings have no name: milliseconds, -1 for never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets one integer option of the allocator; no memory is involved.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}

/// Runs the program with its arguments, of which the first is its name, and gives its exit code.
pub fn run<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no failures. That stdout is closed is none either.
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    console::init(cli.verbose, cli.quiet);
    match cli.command.run() {
        Ok(code) => code,
        Err(failure) => console::report(&failure),
    }
}

/// What a command returns.
type Outcome = Result<ExitCode, Failure>;
