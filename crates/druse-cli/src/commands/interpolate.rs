//! `druse interpolate`.

use std::path::{Path, PathBuf};

use clap::Args;
use druse_crystal::Structure;
use druse_run::latent::interpolate;
use druse_run::model::LoadedModel;

use super::encode::{ChoiceArgs, read};
use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::{ComputeArgs, lacking, load, set_threads};
use crate::sampling::{self, SamplingArgs};

/// Arguments of `druse interpolate`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse interpolate --model runs/cdvae SrTiO3.cif BaZrO3.cif --points 9 --out path

Both structures are encoded: a latent is drawn from the posterior of each, or is its mean with --mean. Latents on the \
way between them, along the sphere that the prior concentrates on, are decoded. structures.jsonl has the fraction of \
the way, 0 to 1, in `fraction`.")]
pub struct InterpolateArgs {
    /// Checkpoint or folder of a training run of a model with a latent space.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Structure file where the way begins.
    #[arg(value_parser = input::path())]
    from: PathBuf,
    /// Structure file where it ends.
    #[arg(value_parser = input::path())]
    to: PathBuf,
    /// Structures on the way, both ends included.
    #[arg(long, value_name = "N", default_value_t = 11, value_parser = clap::value_parser!(u32).range(2..))]
    points: u32,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

fn end(path: &Path, model: &LoadedModel) -> Result<Structure, Failure> {
    let dataset = read(path, model)?;
    let count = dataset.entries.len();
    let mut entries = dataset.entries.into_iter();
    match (entries.next(), count) {
        (Some(entry), 1) => Ok(entry.structure),
        _ => Err(Failure::mistake(format!("`{}` holds {count} structures, expected one", path.display()))),
    }
}

/// Runs the command.
pub fn run(args: &InterpolateArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let model = sampling::configured(&args.sampling, load(Some(&args.model), &args.compute)?, &[])?;
    let space = model.autoencoder().map_err(lacking)?;
    let ends = [end(&args.from, &model)?, end(&args.to, &model)?];
    let (points, choice) = (args.points as usize, args.choice.choice());
    let targets = interpolate(space, &model.params, ends.each_ref(), points, choice)?;
    let count = targets.len() as u64;
    let stop = console::stop_flag()?;
    let result = sampling::run(&args.sampling, &model, targets, count, &stop)?;
    let code = result.code();
    Ok(Done::with(result).code(code))
}
