//! `druse optimize`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::Args;
use druse_crystal::Structure;
use druse_data::LoadOptions;
use druse_evaluate::{Evaluation, GenerationSettings, Optimization, Sets, generation, report};
use druse_metrics::generation::Rules;
use druse_metrics::optimization::Goal;
use druse_run::latent::{Descent, encode, optimize, prior};
use druse_run::model::LoadedModel;
use druse_run::output::STRUCTURES_FILE;
use druse_run::predict::predict;
use druse_run::sample::Target;
use schemars::JsonSchema;
use serde::Serialize;

use super::encode::{ChoiceArgs, read};
use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::{ComputeArgs, lacking, load, set_threads};
use crate::sampling::{self, SamplingArgs, SamplingResult};
use crate::sets::{self, write_result};

/// Arguments of `druse optimize`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse optimize --model runs/cdvae --data data/perov_5/test.csv.gz --property heat_ref --minimize --out optimized
  druse optimize --model runs/cdvae --data data/perov_5/test.csv.gz --property heat_ref --minimize \
      --predictor runs/heat --out optimized
  druse optimize --model runs/cdvae --random 100 --property band_gap --maximize --out optimized

The model has to be trained with the property (model.property). From each start the latent is moved along the gradient \
of the property that the model reads off it, and decoded at every snapshot. structures.jsonl carries `start` (identifier \
of the start), `step` and `latent_value` (the property read off the latent).")]
pub struct OptimizeArgs {
    /// Checkpoint or folder of a training run of a model that was trained with a property.
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    #[command(flatten)]
    starts: StartArgs,
    /// The property; has to be the one that the model was trained with.
    #[arg(long, value_name = "NAME")]
    property: String,
    #[command(flatten)]
    goal: GoalArgs,
    /// Structures of --data to start from, in their order.
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: usize,
    /// Gradient steps.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Size of a gradient step (learning rate of Adam).
    #[arg(long, value_name = "X", default_value_t = 1e-3)]
    lr: f64,
    /// Gradient steps between two snapshots.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// What the improbability of a latent, ½ ‖z‖², counts against the property in standard deviations. It keeps latents where
    /// the decoder was trained; with 0, which is the papers' descent, many later snapshots are no crystals.
    #[arg(long, value_name = "X", default_value_t = 0.1)]
    prior: f64,
    /// Checkpoint or folder of a property predictor, trained by itself: judges the decoded structures. Writes
    /// optimized.jsonl with its predictions under the name of the property, and prints SR5, SR10, SR15 (with --data).
    #[arg(long, value_name = "PATH")]
    predictor: Option<PathBuf>,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// Where to start.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct StartArgs {
    /// From the latents of the structures of a data set.
    #[arg(long, value_name = "DATASET", value_parser = input::path())]
    data: Option<PathBuf>,
    /// From so many points of the prior.
    #[arg(long, value_name = "N")]
    random: Option<usize>,
}

/// Which way the property is to go.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct GoalArgs {
    /// As low as possible.
    #[arg(long)]
    minimize: bool,
    /// As high as possible.
    #[arg(long)]
    maximize: bool,
}

impl OptimizeArgs {
    /// Names and latents of the starts.
    fn starts(&self, model: &LoadedModel) -> Result<Vec<(String, Vec<f32>)>, Failure> {
        let space = model.autoencoder().map_err(lacking)?;
        let Some(path) = &self.starts.data else {
            let count = self.starts.random.unwrap_or(self.count);
            let names = (0..count).map(|i| format!("prior {i}"));
            return Ok(names.zip(prior(space, count, self.sampling.seed)).collect());
        };
        let mut dataset = read(path, model)?;
        dataset.entries.truncate(self.count);
        let structures: Vec<&Structure> = dataset.structures().collect();
        let latents = encode(space, &model.params, &structures, self.choice.choice(), 1)?;
        Ok(dataset.entries.into_iter().map(|e| e.id).zip(latents).collect())
    }

    /// The predictor, before the long work.
    fn predictor(&self) -> Result<Option<LoadedModel>, Failure> {
        let Some(path) = &self.predictor else { return Ok(None) };
        let predictor = load(Some(path), &self.compute)?;
        let (learned, wanted) = (predictor.predictor().map_err(lacking)?.property(), &self.property);
        if learned != wanted {
            let path = path.display();
            return Err(Failure::mistake(format!(
                "the predictor `{path}` predicts `{learned}`, not `{wanted}`"
            )));
        }
        Ok(Some(predictor))
    }

    /// Predicts the property of what was decoded and says how many starts succeeded.
    fn judge(&self, predictor: &LoadedModel, stop: &AtomicBool) -> Result<Judged, Failure> {
        let structures = self.sampling.out.join(STRUCTURES_FILE);
        // Decoded structures with atoms on one spot are none that a predictor could judge, and no success; the others count.
        let options = LoadOptions { niggli: false, max_skipped_share: 1.0, ..LoadOptions::default() };
        let set = sets::load(&structures, &options)?;
        let predicted = predict(predictor.predictor().map_err(lacking)?, &predictor.params, &set)?;
        let path = self.sampling.out.join(OPTIMIZED_FILE);
        write_result("--out", &path, |out| predicted.write_structures(&set, &self.property, out))?;
        console::note(&format!("predictions: {}", path.display()));
        let predictions = Some(path.clone());
        let Some(reference) = &self.starts.data else { return Ok(Judged { predictions, evaluation: None }) };
        let all = sets::StrictArgs { strict: false };
        let (generated, reference) = (sets::read(&path, &[], all)?, sets::read(reference, &[], all)?);
        let sets = Sets { generated: &generated, reference: &reference, train: None };
        let goal = if self.goal.maximize { Goal::Maximize } else { Goal::Minimize };
        let (property, start) = (self.property.clone(), "start".to_owned());
        let settings = GenerationSettings {
            symprec: None,
            matcher: None,
            optimization: Some(Optimization { property, start, goal }),
            ..GenerationSettings::new(sets.resolve(&Rules::default()))
        };
        let evaluation = console::Progress::of(|watch| generation(sets, &settings, watch, stop))?;
        console::data(&report::table::evaluation(&evaluation))?;
        Ok(Judged { predictions, evaluation: Some(evaluation) })
    }

    fn targets(
        &self,
        model: &LoadedModel,
        starts: Vec<(String, Vec<f32>)>,
        stop: &AtomicBool,
    ) -> Result<Vec<Target>, Failure> {
        let space = model.autoencoder().map_err(lacking)?;
        if !(self.lr > 0.0 && self.lr.is_finite()) {
            return Err(Failure::mistake(format!("--lr {}: expected a positive number", self.lr)));
        }
        if !(self.prior >= 0.0 && self.prior.is_finite()) {
            return Err(Failure::mistake(format!("--prior {}: expected 0 or more", self.prior)));
        }
        let goal = if self.goal.maximize { Goal::Maximize } else { Goal::Minimize };
        let descent = Descent { steps: self.steps, lr: self.lr, every: self.every, goal, prior: self.prior };
        let mut progress = console::Progress::default();
        let property = &self.property;
        let targets = optimize(space, &model.params, starts, property, &descent, &mut progress, stop);
        progress.finish();
        Ok(targets?)
    }
}

/// Name of the file with predictions beside that of the structures.
const OPTIMIZED_FILE: &str = "optimized.jsonl";

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Optimized {
    #[serde(flatten)]
    sampling: SamplingResult,
    /// Number of starts.
    starts: usize,
    #[serde(flatten)]
    judged: Judged,
}

/// What a predictor says of the decoded structures.
#[derive(Default, Serialize, JsonSchema)]
struct Judged {
    /// File of the structures with predictions, where there is a predictor.
    predictions: Option<PathBuf>,
    /// Success rates, where there is a predictor and starts are those of a data set.
    evaluation: Option<Evaluation>,
}

/// Runs the command.
pub fn run(args: &OptimizeArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    if args.sampling.to_stdout() && args.predictor.is_some() {
        let text = "--predictor writes its predictions into the folder of --out, which is standard output";
        return Err(
            Failure::mistake(text).hint("name a folder; or pass the structures on to `druse predict`")
        );
    }
    let model = sampling::configured(&args.sampling, load(Some(&args.model), &args.compute)?, &[])?;
    let predictor = args.predictor()?;
    let starts = args.starts(&model)?;
    if starts.is_empty() {
        return Err(Failure::mistake("there is nothing to start from"));
    }
    let count_of_starts = starts.len();
    let stop = console::stop_flag()?;
    let targets = args.targets(&model, starts, &stop)?;
    let count = targets.len() as u64;
    let sampling = sampling::run(&args.sampling, &model, targets, count, &stop)?;
    let judged = match (predictor, sampling.interrupted()) {
        (Some(predictor), false) => args.judge(&predictor, &stop)?,
        _ => Judged::default(),
    };
    let code = sampling.code();
    Ok(Done::with(Optimized { sampling, starts: count_of_starts, judged }).code(code))
}
