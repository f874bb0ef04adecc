//! `druse export`.

use std::path::PathBuf;

use clap::Args;
use druse_run::Checkpoint;
use druse_run::model::checkpoint_path;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::output;

/// Arguments of `druse export`.
#[derive(Args)]
#[command(after_help = "Example:
  druse export runs/mp20 --out mp20.safetensors

The file holds the averaged weights, the configuration and the statistics: all that sampling needs.")]
pub struct ExportArgs {
    /// Checkpoint, or folder of a training run (its best checkpoint).
    run: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE", value_parser = output::path())]
    out: PathBuf,
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Exported {
    /// File of the model.
    out: PathBuf,
    /// Its size.
    bytes: u64,
    /// Its parameters.
    parameters: usize,
    /// Kind of the model.
    kind: String,
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> crate::Outcome {
    let source = checkpoint_path(&args.run)?;
    let slim = Checkpoint::load(&source)?.export();
    slim.save(&args.out).map_err(Failure::environment)?;
    let bytes = druse_crystal::files::size(&args.out)?;
    let (out, megabytes) = (args.out.display(), bytes as f64 / 1e6);
    console::note(&format!("{} parameters, {megabytes:.2} MB: {out}", slim.parameters()));
    let (parameters, kind) = (slim.parameters(), slim.kind.clone());
    Ok(Done::with(Exported { out: args.out.clone(), bytes, parameters, kind }))
}
