//! `druse encode`.

use std::path::{Path, PathBuf};

use clap::Args;
use druse_crystal::Structure;
use druse_data::{Dataset, LoadOptions};
use druse_run::latent::{Choice, LatentRecord, encode, latent_lines};
use druse_run::model::LoadedModel;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::{ComputeArgs, lacking, load, set_threads};
use crate::sets;

/// Arguments of `druse encode`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse encode --model runs/cdvae data/mp_20/test.csv.gz --out latents.jsonl
  druse sample --model runs/cdvae --latents latents.jsonl --out decoded

A line a structure: its identifier, a hash of the model, the latent.")]
pub struct EncodeArgs {
    /// Checkpoint or folder of a training run of a model with a latent space.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Structures to encode.
    #[arg(value_name = "DATASET", value_parser = input::path())]
    data: PathBuf,
    /// File for the latents; `-` for stdout.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// Which latent stands for a structure.
#[derive(Args)]
pub struct ChoiceArgs {
    /// Take the means of the posteriors instead of draws from them.
    #[arg(long)]
    mean: bool,
    /// Seed of the draws.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "mean")]
    latent_seed: u64,
}

impl ChoiceArgs {
    /// The choice.
    pub fn choice(&self) -> Choice {
        if self.mean { Choice::Mean } else { Choice::Draw { seed: self.latent_seed } }
    }
}

/// Reads a data set for a model's encoder; cells are Niggli-reduced where the model was trained on such.
pub fn read(path: &Path, model: &LoadedModel) -> Result<Dataset, Failure> {
    let options = LoadOptions { niggli: model.config.data.niggli, ..LoadOptions::default() };
    sets::load(path, &options)
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Encoded {
    /// File of the latents, one a line.
    out: PathBuf,
    /// How many latents.
    latents: usize,
    /// Numbers of a latent.
    width: usize,
    /// Hash of the model's file.
    model_hash: String,
}

/// Runs the command.
pub fn run(args: &EncodeArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let model = load(Some(&args.model), &args.compute)?;
    let space = model.autoencoder().map_err(lacking)?;
    let dataset = read(&args.data, &model)?;
    let structures: Vec<&Structure> = dataset.structures().collect();
    let latents = encode(space, &model.params, &structures, args.choice.choice(), 1)?;
    let records: Vec<LatentRecord> = dataset
        .entries
        .iter()
        .zip(latents)
        .map(|(e, latent)| LatentRecord { id: e.id.clone(), model: model.hash.clone(), latent })
        .collect();
    sets::write_result("--out", &args.out, |out| latent_lines(&records, out))?;
    console::note(&format!("{} latents: {}", records.len(), args.out.display()));
    Ok(Done::with(Encoded {
        out: args.out.clone(),
        latents: records.len(),
        width: space.latent_width(),
        model_hash: model.hash,
    }))
}
