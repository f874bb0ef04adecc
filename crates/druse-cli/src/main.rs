//! druse: train generative models of crystals and sample from them.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod commands;
mod console;
mod failure;
mod formats;
mod images;
mod models;
mod sampling;
mod sets;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::failure::Failure;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
fn keep_freed_memory() {
    /// `mi_option_purge_delay`, for which the bindings have no name: milliseconds, -1 for never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets one integer option of the allocator; no memory is involved.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}

fn main() -> ExitCode {
    keep_freed_memory();
    let cli = Cli::parse();
    console::init(cli.verbose, cli.quiet);
    match cli.command.run() {
        Ok(code) => code,
        Err(failure) => console::report(&failure),
    }
}

/// What a command returns.
type Outcome = Result<ExitCode, Failure>;
