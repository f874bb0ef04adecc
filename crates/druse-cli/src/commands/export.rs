//! `druse export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use druse_data::{Dataset, Entry, OutputFormat, write_dataset};
use druse_nn::device;
use druse_run::Checkpoint;
use druse_run::model::{LoadedModel, checkpoint_path};

use crate::console;
use crate::failure::Failure;
use crate::models::registry;

/// Arguments of `druse export`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse export runs/mp20 --out mp20.safetensors
  druse export --structures known.jsonl         (the crystals that the model of the program knows)

The file of `--out` holds the averaged weights, the configuration and the statistics: all that sampling needs.
Models that choose among known crystals (orbit, substitute) keep those that they were trained on; `--structures`
writes them as a data set, for example as the reference of `druse screen`.")]
pub struct ExportArgs {
    /// Checkpoint, or folder of a training run (its best checkpoint) [default: the model that ships].
    #[arg(required_unless_present = "structures")]
    run: Option<PathBuf>,
    /// File to write the model to.
    #[arg(long, value_name = "FILE", required_unless_present = "structures", requires = "run")]
    out: Option<PathBuf>,
    /// File to write the crystals to that the model keeps: .jsonl, .csv, .extxyz, each also with .gz.
    #[arg(long, value_name = "FILE")]
    structures: Option<PathBuf>,
    /// Replace the file of structures.
    #[arg(long, requires = "structures")]
    overwrite: bool,
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> crate::Outcome {
    if let (Some(run), Some(out)) = (&args.run, &args.out) {
        write_model(run, out)?;
    }
    if let Some(path) = &args.structures {
        write_structures(args.run.as_deref(), path, args.overwrite)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_model(run: &Path, out: &Path) -> Result<(), Failure> {
    let source = checkpoint_path(run)?;
    let slim = Checkpoint::load(&source)?.export();
    slim.save(out).map_err(Failure::environment)?;
    let bytes = druse_crystal::files::size(out)?;
    let (out, megabytes) = (out.display(), bytes as f64 / 1e6);
    console::note(&format!("{} parameters, {megabytes:.2} MB: {out}", slim.parameters()));
    Ok(())
}

fn write_structures(run: Option<&Path>, path: &Path, overwrite: bool) -> Result<(), Failure> {
    let format = OutputFormat::from_path(path).ok_or_else(|| {
        Failure::mistake(format!("the name `{}` does not tell a format", path.display()))
            .hint("end it with .jsonl, .csv or .extxyz")
    })?;
    let model = match run {
        Some(run) => LoadedModel::open(registry(), run, &device::cpu())?,
        None => LoadedModel::shipped(registry(), &device::cpu())?,
    };
    let known = model.model.trainable().known_structures();
    if known.is_empty() {
        let kind = model.model.trainable().kind();
        return Err(Failure::mistake(format!(
            "{}: a model of kind `{kind}` keeps no structures",
            model.name
        )));
    }
    let entry = |(id, structure): (&str, &_)| Entry { id: id.to_owned(), structure: Clone::clone(structure) };
    let dataset = Dataset::new(model.name.clone(), known.into_iter().map(entry).collect());
    write_dataset(&dataset, path, format, overwrite)?;
    console::note(&format!("{} structures: {}", dataset.len(), path.display()));
    Ok(())
}
