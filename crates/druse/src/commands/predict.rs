//! `druse predict`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use druse_data::{Dataset, LoadOptions, Split, Splits};
use druse_run::predict::predict;

use super::sets::write_result;
use crate::console;
use crate::failure::Failure;
use crate::model_source::{ComputeArgs, load_predictor, set_threads};

/// Arguments of `druse predict`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse predict runs/energy data/mp_20 --out predictions.csv
  druse predict runs/energy generated.jsonl
  druse predict runs/energy data/mp_20 --split val

The table has a row for each structure: id, prediction, reference (the value in the data, where it has one) and error (why \
there is no prediction). The mean absolute error goes to stderr.")]
pub struct PredictArgs {
    /// Checkpoint or folder of a training run of a property predictor.
    model: PathBuf,
    /// Data set: a file or folder of structures, or a folder with splits.
    data: PathBuf,
    /// Part of a data set with splits.
    #[arg(long, value_enum, default_value_t = SplitArg::Test)]
    split: SplitArg,
    /// File of the table (CSV); `-` for stdout.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
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

/// The chosen part of a data set with splits, or all of one without.
fn read(args: &PredictArgs, niggli: bool) -> Result<Dataset, Failure> {
    let options = LoadOptions { niggli, ..LoadOptions::default() };
    if args.data.is_dir() {
        let splits = Splits::open(&args.data)?;
        if !splits.is_hashed() {
            return Ok(splits.load(args.split.into(), &options)?);
        }
    }
    Ok(druse_data::load(&args.data, &options)?)
}

/// Runs the command.
pub fn run(args: &PredictArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let (model, params, config) = load_predictor(&args.model, &args.compute)?;
    let set = read(args, config.data.niggli)?;
    for skipped in &set.skipped {
        console::warn(&format!("skipped {skipped}"));
    }
    let predictions = predict(&model, &params, &set)?;
    write_result(&args.out, |out| predictions.write_csv(out))?;
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
