//! `druse predict`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use clap::{Args, ValueEnum};
use druse_crystal::Element;
use druse_data::{Dataset, ListOptions, Listing, LoadOptions, Split, Splits, list};
use druse_evaluate::report::predictions::{PredictionsPage, RowPrediction, page as page_of};
use druse_run::predict::{Prediction, PredictionError, embed, predict, write_vectors};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::{ComputeArgs, lacking, load, set_threads};
use crate::sets::{StrictArgs, claim_stdout, named, rows_into_answer, say, write_page, write_result};

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
    /// Data set: a file or folder of structures, or a folder with splits; `-` for standard input.
    #[arg(value_parser = input::path())]
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
    /// Write a report with crystals, and with predictions against the values in the data, as one file that a browser shows without
    /// network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
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

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Predicted {
    /// The property.
    property: String,
    /// The model, in words.
    model: String,
    /// Name of the set.
    set: String,
    /// Structures of the set.
    structures: usize,
    /// Structures without a prediction.
    failed: usize,
    /// How far predictions are from the values of the set, where it has them.
    errors: Option<Errors>,
    /// File of the table, where one was named.
    out: Option<PathBuf>,
    /// File of the structures with their predictions.
    structures_file: Option<PathBuf>,
    /// File of the vectors.
    embeddings_file: Option<PathBuf>,
    /// Page for a browser.
    report: Option<PathBuf>,
    /// The predictions, where no file of the table was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<Row>>,
}

/// How far predictions are from the values of the set, over the structures that have both.
#[derive(Serialize, JsonSchema)]
struct Errors {
    /// Mean absolute error.
    mean_absolute: f64,
    /// Root of the mean squared error.
    root_mean_square: f64,
    /// Mean absolute deviation of the values from their mean: the error of always saying the mean.
    mean_absolute_deviation: f64,
    /// Structures that have both.
    structures: usize,
}

impl From<PredictionError> for Errors {
    fn from(e: PredictionError) -> Self {
        let PredictionError { mean_absolute, root_mean_square, mean_absolute_deviation, structures } = e;
        Self { mean_absolute, root_mean_square, mean_absolute_deviation, structures }
    }
}

/// A prediction.
#[derive(Serialize, JsonSchema)]
struct Row {
    /// Identifier of the structure.
    id: String,
    /// The prediction, in the unit of the training data.
    prediction: Option<f64>,
    /// The value in the data, where it has one.
    reference: Option<f64>,
    /// Why there is no prediction.
    error: Option<String>,
    /// Elements of the structure that the model was not trained on: its prediction says little.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unseen: Vec<&'static str>,
}

impl From<Prediction> for Row {
    fn from(Prediction { id, value, reference, unseen }: Prediction) -> Self {
        let error = value.as_ref().err().map(ToString::to_string);
        let unseen = unseen.into_iter().map(Element::symbol).collect();
        Self { id, prediction: value.ok(), reference, error, unseen }
    }
}

/// Tells of predictions for elements that the model knows nothing of.
fn warn_of_unseen(rows: &[Prediction]) {
    let of = |row: &&Prediction| row.value.is_ok() && !row.unseen.is_empty();
    let Some(first) = rows.iter().find(of) else { return };
    let all: BTreeSet<Element> = rows.iter().filter(of).flat_map(|row| row.unseen.iter().copied()).collect();
    let (count, n) = (rows.iter().filter(of).count(), rows.len());
    let names = all.into_iter().map(Element::symbol).collect::<Vec<_>>().join(", ");
    console::warn(&format!(
        "{count} of {n} structures (first `{}`) have elements that the model was not trained on ({names}): their \
         predictions say little",
        first.id
    ));
}

/// Runs the command.
pub fn run(args: &PredictArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let kept = rows_into_answer(&args.out);
    claim_stdout([
        ("--out", (!kept).then_some(&args.out)),
        ("--structures", args.structures.as_ref()),
        ("--embeddings", args.embeddings.as_ref()),
        ("--html", args.html.as_ref()),
    ])?;
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
    if !kept {
        write_result("--out", &args.out, |out| predictions.write_csv(out))?;
    }
    if let Some(path) = &args.structures {
        write_result("--structures", path, |out| predictions.write_structures(&set, &column, out))?;
    }
    if let Some(path) = &args.embeddings {
        let structures: Vec<_> = set.structures().collect();
        let stop = AtomicBool::new(false);
        let vectors = embed(predictor, &model.params, &structures, &mut |_| {}, &stop)?;
        let ids: Vec<&str> = set.entries.iter().map(|entry| entry.id.as_str()).collect();
        write_result("--embeddings", path, |out| write_vectors(&ids, &vectors, out))?;
    }
    let (property, n) = (&predictions.property, predictions.rows.len());
    let failed = predictions.rows.iter().filter(|row| row.value.is_err()).count();
    if failed > 0 {
        console::warn(&format!("{failed} of {n} structures have no prediction"));
    }
    warn_of_unseen(&predictions.rows);
    if let Some(path) = &args.html {
        let row = |row: &Prediction| RowPrediction {
            value: row.value.as_ref().map(|x| *x).map_err(ToString::to_string),
            reference: row.reference,
        };
        let rows: Vec<RowPrediction> = predictions.rows.iter().map(row).collect();
        let property = &predictions.property;
        // The predictions are of the structures alone, as the entries are.
        let listing = Listing::from(Dataset { skipped: Vec::new(), ..set.clone() });
        let page = PredictionsPage { property, model: &model.name, set: &listing, rows: &rows };
        write_page(Some(path), || page_of(&page))?;
    }
    let error = predictions.error();
    match &error {
        Some(e) => console::note(&format!(
            "{property} of {}: MAE {:.4}, RMSE {:.4} over {} structures (always the mean: MAE {:.4})",
            set.name, e.mean_absolute, e.root_mean_square, e.structures, e.mean_absolute_deviation
        )),
        None => console::note(&format!("the data has no {property} to compare with")),
    }
    Ok(Done::with(Predicted {
        property: property.clone(),
        model: model.name.clone(),
        set: set.name.clone(),
        structures: n,
        failed,
        errors: error.map(Errors::from),
        out: named(&args.out),
        structures_file: args.structures.clone(),
        embeddings_file: args.embeddings.clone(),
        report: args.html.clone(),
        rows: kept.then(|| predictions.rows.into_iter().map(Row::from).collect()),
    }))
}
