//! `druse featurize`.

use std::path::PathBuf;

use clap::Args;
use druse_evaluate::featurize::{Feature, featurize};
use druse_run::output::Shard;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Done;
use crate::console;
use crate::models::set_threads;
use crate::sets::{SourceArgs, named, rows_into_answer, write_result};

/// Arguments of `druse featurize`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse featurize structures/ --features validity,symmetry --out features.jsonl
  druse featurize generated.jsonl.gz --features crystalnn --niggli --out -
  druse featurize large.druse --features crystalnn --shard 0/64 --out part-00.jsonl

One line a row of the input, in its order: `id`, `composition`, a member for each feature, and `error`, which is \
null or says what could not be computed and why; `warnings` where the reader had to interpret something. docs/evaluate.md lists the fields.")]
pub struct FeaturizeArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Features to compute: crystalnn, magpie, validity, symmetry, niggli, neighbors.
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    pub features: Vec<Feature>,
    /// File to write; `-` for stdout.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    /// Reduce each cell first and rebuild it from its lengths and angles.
    #[arg(long)]
    pub niggli: bool,
    /// Only one of N equal parts of the rows, one after another from 0: their files, joined by `cat` in order, are that of
    /// all rows.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Worker threads [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Featurized {
    /// File of the rows, where one was named.
    out: Option<PathBuf>,
    /// Rows of the input.
    count: usize,
    /// Rows with an `error`.
    failed: usize,
    /// The rows, where no file was named: `id`, `composition`, a member for each feature, `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<Value>>,
}

/// Runs the command.
pub fn run(args: &FeaturizeArgs) -> crate::Outcome {
    set_threads(args.threads.unwrap_or(0))?;
    let mut listing = args.source.list()?;
    if let Some(shard) = args.shard {
        let rows = listing.len() as u128;
        let bound = |k: u64| (rows * u128::from(k) / u128::from(shard.count)) as usize;
        listing.items.truncate(bound(shard.index + 1));
        listing.items.drain(..bound(shard.index));
    }
    let stop = console::stop_flag_saying("stopping; nothing is written")?;
    let rows = console::Progress::of(|watch| featurize(&listing, &args.features, args.niggli, watch, &stop))?;
    let failed = rows.iter().filter(|row| !row["error"].is_null()).count();
    let kept = rows_into_answer(&args.out);
    if !kept {
        write_result("--out", &args.out, |out| {
            for row in &rows {
                serde_json::to_writer(&mut *out, row)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })?;
    }
    if failed > 0 {
        console::warn(&format!("{failed} of {} rows have an `error`", rows.len()));
    }
    let count = rows.len();
    Ok(Done::with(Featurized { out: named(&args.out), count, failed, rows: kept.then_some(rows) }))
}
