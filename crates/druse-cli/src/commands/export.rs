//! `druse export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use druse_run::Checkpoint;
use druse_run::model::checkpoint_path;

use crate::console;
use crate::failure::Failure;

/// Arguments of `druse export`.
#[derive(Args)]
#[command(after_help = "Example:
  druse export runs/mp20 --out mp20.safetensors

The file holds the averaged weights, the configuration and the statistics: all that sampling needs.")]
pub struct ExportArgs {
    /// Checkpoint, or folder of a training run (its best checkpoint).
    run: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> crate::Outcome {
    let source = checkpoint_path(&args.run)?;
    let slim = Checkpoint::load(&source)?.export();
    slim.save(&args.out).map_err(Failure::environment)?;
    let bytes = druse_crystal::files::size(&args.out)?;
    let (out, megabytes) = (args.out.display(), bytes as f64 / 1e6);
    console::note(&format!("{} parameters, {megabytes:.2} MB: {out}", slim.parameters()));
    Ok(ExitCode::SUCCESS)
}
