//! `druse predict`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use druse_data::{Dataset, ListOptions, LoadOptions, Split, Splits, list};
use druse_run::predict::{embed, predict, write_vectors};

use crate::console;
use crate::failure::Failure;
use crate::models::{ComputeArgs, lacking, load, set_threads};
use crate::sets::{StrictArgs, say, write_result};

/// Arguments of `druse predict`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse predict runs/energy data/mp_20 --out predictions.csv
  druse predict runs/energy generated.jsonl
  druse predict runs/energy data/mp_20 --split val
  druse predict cgcnn generated.jsonl --embeddings vectors.csv
  druse predict runs/energy generated.jsonl --out - --structures with-energy.jsonl

The table has a row for each structure: id, prediction, reference (the value in the data, where it has one) and error (why \
there is no prediction). The mean absolute error goes to stderr. --structures writes the set as JSON Lines with the prediction \
as a further property, for `druse evaluate --property` and `--optimize`.")]
pub struct PredictArgs {
    /// Checkpoint or folder of a training run of a property predictor, or cgcnn: the published weights for formation energies
    /// per atom (eV), which ship.
    model: PathBuf,
    /// Data set: a file or folder of structures, or a folder with splits.
    data: PathBuf,
    /// Part of a data set with splits.
    #[arg(long, value_enum, default_value_t = SplitArg::Test)]
    split: SplitArg,
    /// File of the table (CSV); `-` for stdout.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// File of the structures with their predictions (JSON Lines).
    #[arg(long, value_name = "FILE")]
    structures: Option<PathBuf>,
    /// Name of the prediction among the properties there [default: predicted_ and the name of the property].
    #[arg(long, value_name = "NAME", requires = "structures")]
    column: Option<String>,
    /// File of the vectors that the predictions are made of (CSV: id, e0, e1, …): activations before the last layer.
    #[arg(long, value_name = "FILE")]
    embeddings: Option<PathBuf>,
    #[command(flatten)]
    strict: StrictArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// Parts of a data set.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// What models are trained on.
    Train,
    /// What decides when training stops.
    Val,
    /// What is looked at last.
    Test,
}

impl From<SplitArg> for Split {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Self::Train,
            SplitArg::Val => Self::Val,
            SplitArg::Test => Self::Test,
        }
    }
}

/// The chosen part of a data set with splits, or all of one without. Cells stay as they are: predictions do not depend on
/// their choice.
pub fn read(args: &PredictArgs) -> Result<Dataset, Failure> {
    let strict = args.strict.strict;
    if args.data.is_dir() {
        let splits = Splits::open(&args.data)?;
        if !splits.is_hashed() {
            let options =
                LoadOptions { niggli: false, max_skipped_share: 1.0, strict, ..LoadOptions::default() };
            return Ok(splits.load(args.split.into(), &options)?);
        }
    }
    Ok(list(&args.data, &ListOptions { strict, ..ListOptions::default() })?.into())
}

/// Runs the command.
pub fn run(args: &PredictArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let model = load(Some(&args.model), &args.compute)?;
    let predictor = model.predictor().map_err(lacking)?;
    let set = read(args)?;
    say(&set);
    let column = args.column.clone().unwrap_or_else(|| format!("predicted_{}", predictor.property()));
    let taken = set.entries.iter().find(|entry| entry.structure.properties.contains_key(&column));
    if let (Some(entry), Some(_)) = (taken, &args.structures) {
        let message = format!("`{}` already has a property `{column}`", entry.id);
        return Err(Failure::mistake(message).hint("choose another name with --column"));
    }
    let predictions = predict(predictor, &model.params, &set)?;
    write_result(&args.out, |out| predictions.write_csv(out))?;
    if let Some(path) = &args.structures {
        write_result(path, |out| predictions.write_structures(&set, &column, out))?;
    }
    if let Some(path) = &args.embeddings {
        let structures: Vec<_> = set.structures().collect();
        let stop = AtomicBool::new(false);
        let vectors = embed(predictor, &model.params, &structures, &mut |_| {}, &stop)?;
        let ids: Vec<&str> = set.entries.iter().map(|entry| entry.id.as_str()).collect();
        write_result(path, |out| write_vectors(&ids, &vectors, out))?;
    }
    let (property, n) = (&predictions.property, predictions.rows.len());
    let failed = predictions.rows.iter().filter(|row| row.value.is_err()).count();
    if failed > 0 {
        console::warn(&format!("{failed} of {n} structures have no prediction"));
    }
    match predictions.error() {
        Some(e) => console::note(&format!(
            "{property} of {}: MAE {:.4}, RMSE {:.4} over {} structures (always the mean: MAE {:.4})",
            set.name, e.mean_absolute, e.root_mean_square, e.structures, e.mean_absolute_deviation
        )),
        None => console::note(&format!("the data has no {property} to compare with")),
    }
    Ok(ExitCode::SUCCESS)
}
