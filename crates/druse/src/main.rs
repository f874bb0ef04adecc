//! druse: train generative models of crystals and sample from them.

mod commands;
mod console;
mod failure;
mod model_source;
mod report;

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
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    /// No progress bars and no remarks, only errors.
    #[arg(short, long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    console::init(cli.verbose, cli.quiet);
    match cli.command.run() {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// What a command returns.
type Outcome = Result<ExitCode, Failure>;
