//! `druse export`.

use std::path::{Path, PathBuf};

use clap::Args;
use druse_data::{Dataset, Entry, OutputFormat, write_dataset};
use druse_nn::device;
use druse_run::Checkpoint;
use druse_run::model::{LoadedModel, checkpoint_path};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::models::registry;
use crate::output;

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
    #[arg(long, value_name = "FILE", value_parser = output::path(), required_unless_present = "structures", requires = "run")]
    out: Option<PathBuf>,
    /// File to write the crystals to that the model keeps: .jsonl, .csv, .extxyz, each also with .gz.
    #[arg(long, value_name = "FILE", value_parser = output::path())]
    structures: Option<PathBuf>,
    /// Replace the file of structures.
    #[arg(long, requires = "structures")]
    overwrite: bool,
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Exported {
    /// The model, where one was written.
    #[serde(flatten)]
    model: Option<ExportedModel>,
    /// The crystals that the model keeps, where they were written.
    structures: Option<ExportedStructures>,
}

/// A model that was written.
#[derive(Serialize, JsonSchema)]
pub struct ExportedModel {
    /// Its file.
    out: PathBuf,
    /// Size of the file.
    bytes: u64,
    /// Its parameters.
    parameters: usize,
    /// Its kind.
    kind: String,
}

/// Crystals that were written.
#[derive(Serialize, JsonSchema)]
pub struct ExportedStructures {
    /// Their file.
    out: PathBuf,
    /// How many there are.
    count: usize,
}

/// Runs the command.
pub fn run(args: &ExportArgs) -> crate::Outcome {
    let model = match (&args.run, &args.out) {
        (Some(run), Some(out)) => Some(write_model(run, out)?),
        _ => None,
    };
    let structures = match &args.structures {
        Some(path) => Some(write_structures(args.run.as_deref(), path, args.overwrite)?),
        None => None,
    };
    Ok(Done::with(Exported { model, structures }))
}

fn write_model(run: &Path, out: &Path) -> Result<ExportedModel, Failure> {
    let source = checkpoint_path(run)?;
    let slim = Checkpoint::load(&source)?.export();
    slim.save(out).map_err(Failure::environment)?;
    let bytes = druse_crystal::files::size(out)?;
    let (parameters, kind) = (slim.parameters(), slim.kind.clone());
    console::note(&format!("{parameters} parameters, {:.2} MB: {}", bytes as f64 / 1e6, out.display()));
    Ok(ExportedModel { out: out.to_owned(), bytes, parameters, kind })
}

fn write_structures(run: Option<&Path>, path: &Path, overwrite: bool) -> Result<ExportedStructures, Failure> {
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
    Ok(ExportedStructures { out: path.to_owned(), count: dataset.len() })
}
