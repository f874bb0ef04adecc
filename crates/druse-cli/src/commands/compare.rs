//! `druse compare`.

use std::path::{Path, PathBuf};

use clap::Args;
use druse_evaluate::report::{self, Comparison};
use druse_evaluate::{Evaluation, FORMAT, Sets};
use schemars::JsonSchema;
use serde::Serialize;

use super::evaluate::RuleArgs;
use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::set_threads;
use crate::sets::{claim_stdout, read, write_page};

/// Arguments of `druse compare`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse compare a.json b.json c.json
  druse compare runs/a runs/b --reference data/mp_20/test.csv.gz --html compare.html

An input is what `druse evaluate --json FILE` wrote, or, with --reference, a set of structures, which is evaluated first. \
The best value of a metric is marked. Metrics measured under different protocols, or against different references, are \
shown but not ranked.")]
pub struct CompareArgs {
    /// Evaluations, or generated sets.
    #[arg(required = true, num_args = 2.., value_name = "INPUT", value_parser = input::path())]
    inputs: Vec<PathBuf>,
    /// Reference set to evaluate generated sets against.
    #[arg(long, value_name = "SET", value_parser = input::path())]
    reference: Option<PathBuf>,
    /// Training set, for novelty.
    #[arg(long, value_name = "SET", requires = "reference", value_parser = input::path())]
    train: Option<PathBuf>,
    #[command(flatten)]
    rules: RuleArgs,
    /// Write it as one file that a browser shows without network.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Compared {
    /// Version of the layout of evaluations, 1.
    format: u32,
    /// The evaluations side by side.
    comparison: Comparison,
}

/// Runs the command.
pub fn run(args: &CompareArgs) -> crate::Outcome {
    set_threads(args.rules.threads.unwrap_or(0))?;
    args.rules.rules()?;
    claim_stdout([("--html", args.html.as_ref())])?;
    // `--json a.json b.json` names a file to write, where inputs were meant.
    if let Some(path) = console::json_file().as_deref().filter(|path| path.is_file())
        && evaluation(path)?.is_some()
    {
        let text = format!("--json would replace the evaluation `{}`", path.display());
        return Err(Failure::mistake(text).hint("put --json last, or write --json=FILE"));
    }
    let embedders = if args.reference.is_some() { args.rules.embedders()? } else { Vec::new() };
    let stop = console::stop_flag_saying("stopping; nothing is written")?;
    let reference = args.reference.as_deref().map(|path| read(path, &[], args.rules.strict)).transpose()?;
    let train = args.train.as_deref().map(|path| read(path, &[], args.rules.strict)).transpose()?;
    let mut evaluations = Vec::new();
    for path in &args.inputs {
        let evaluation = match (evaluation(path)?, &reference) {
            (Some(evaluation), _) => evaluation,
            (None, Some(reference)) => {
                let generated = read(path, &[], args.rules.strict)?;
                let sets = Sets { generated: &generated, reference, train: train.as_ref() };
                console::Progress::of(|watch| args.rules.evaluate(sets, None, &embedders, watch, &stop))?
            }
            (None, None) => {
                let text =
                    format!("`{}` is no evaluation that `druse evaluate --json` wrote", path.display());
                return Err(Failure::mistake(text).hint("a set of structures needs --reference"));
            }
        };
        evaluations.push((path.display().to_string(), evaluation));
    }
    let comparison = Comparison::new(&evaluations);
    write_page(args.html.as_deref(), || report::html::comparison_page(&comparison))?;
    console::data(&report::table::comparison(&comparison))?;
    Ok(Done::with(Compared { format: FORMAT, comparison }))
}

/// The evaluation in a file; `None` when the path is something else.
fn evaluation(path: &Path) -> Result<Option<Evaluation>, Failure> {
    if path.is_dir() {
        return Ok(None);
    }
    let bytes = druse_crystal::files::read(path)?;
    Ok(Evaluation::from_json(&bytes, path)?)
}
