//! `druse reconstruct`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use druse_crystal::Structure;
use druse_data::Listing;
use druse_evaluate::{
    EvaluateError, Evaluation, MatchingSettings, Observer, Pairing, Sets, Task, matching, report,
};
use druse_metrics::generation::Rules;
use druse_run::latent::{RECONSTRUCTION_OF, Reconstruction, reconstruct};
use druse_run::output::STRUCTURES_FILE;
use schemars::JsonSchema;
use serde::Serialize;

use super::encode::ChoiceArgs;
pub use super::encode::read as read_data;
use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::{ComputeArgs, lacking, load, set_threads};
use crate::sampling::{self, SamplingArgs, SamplingResult};
use crate::sets;

/// Arguments of `druse reconstruct`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse reconstruct --model runs/cdvae data/perov_5/test.csv.gz --out reconstructed
  druse reconstruct --model runs/cdvae data/mp_20/test.csv.gz --candidates 20 --count 200 --out reconstructed

Each structure is encoded, its latent decoded, and the result compared with it: match rate and RMSE by CDVAE's \
protocol (a prediction has to be valid to match). structures.jsonl carries the identifier of the structure in \
`reconstruction_of`.")]
pub struct ReconstructArgs {
    /// Checkpoint or folder of a training run of a model with a latent space.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Structures to reconstruct.
    #[arg(value_name = "DATASET", value_parser = input::path())]
    data: PathBuf,
    /// Reconstruct the first so many structures only.
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// Latents drawn and decoded for each structure; the best match counts.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    candidates: u32,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Take the number of atoms from the structure instead of decoding it.
    #[arg(long)]
    true_atoms: bool,
    /// Take the species from the structure instead of decoding them.
    #[arg(long)]
    true_species: bool,
    /// Only sample; compare later with `druse evaluate --task reconstruction --group-by reconstruction_of`.
    #[arg(long)]
    pub no_evaluation: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

impl ReconstructArgs {
    /// How structures are reconstructed.
    pub fn how(&self) -> Reconstruction {
        Reconstruction {
            candidates: self.candidates as usize,
            choice: self.choice.choice(),
            true_atoms: self.true_atoms,
            true_species: self.true_species,
        }
    }

    /// Compares reconstructions with what they are reconstructions of.
    pub fn evaluate(
        &self,
        generated: &Listing,
        reference: &Listing,
        watch: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Evaluation, EvaluateError> {
        let sets = Sets { generated, reference, train: None };
        let task = if self.candidates == 1 { Task::Reconstruction } else { Task::Prediction };
        let pairing = Pairing::Property(RECONSTRUCTION_OF.into());
        let settings = MatchingSettings::new(task, sets.resolve(&Rules::default()).protocol, pairing);
        matching(sets, &settings, watch, stop)
    }
}

/// What the command leaves: the comparison, unless `--no-evaluation` is given or it was stopped, and how the structures were made.
#[derive(Serialize, JsonSchema)]
pub struct Reconstructed {
    #[serde(flatten)]
    evaluation: Option<Evaluation>,
    /// How the reconstructions were sampled.
    sampling: SamplingResult,
}

/// Runs the command.
pub fn run(args: &ReconstructArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    if args.sampling.to_stdout() && !args.no_evaluation {
        let text = "reconstructions are compared in the folder of --out, which is standard output";
        return Err(Failure::mistake(text).hint("name a folder, or add --no-evaluation"));
    }
    let model = sampling::configured(&args.sampling, load(Some(&args.model), &args.compute)?, &[])?;
    let space = model.autoencoder().map_err(lacking)?;
    let mut dataset = read_data(&args.data, &model)?;
    if let Some(count) = args.count {
        dataset.entries.truncate(count);
    }
    let structures: Vec<(&str, &Structure)> =
        dataset.entries.iter().map(|e| (e.id.as_str(), &e.structure)).collect();
    let targets = reconstruct(space, &model.params, &structures, &args.how())?;
    let count = targets.len() as u64;
    let stop = console::stop_flag()?;
    let sampling = sampling::run(&args.sampling, &model, targets, count, &stop)?;
    if sampling.interrupted() || args.no_evaluation {
        let code = sampling.code();
        return Ok(Done::with(Reconstructed { evaluation: None, sampling }).code(code));
    }
    let mut reference = sets::read(&args.data, &[], sets::StrictArgs { strict: false })?;
    if args.count.is_some() {
        let chosen: HashSet<&str> = dataset.entries.iter().map(|e| e.id.as_str()).collect();
        reference.items.retain(|item| chosen.contains(item.id.as_str()));
    }
    let generated =
        sets::read(&args.sampling.out.join(STRUCTURES_FILE), &[], sets::StrictArgs { strict: false })?;
    let evaluation = console::Progress::of(|watch| args.evaluate(&generated, &reference, watch, &stop))?;
    console::data(&report::table::evaluation(&evaluation))?;
    Ok(Done::with(Reconstructed { evaluation: Some(evaluation), sampling }))
}
