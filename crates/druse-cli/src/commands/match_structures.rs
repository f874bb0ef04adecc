//! `druse match`.

use std::path::{Path, PathBuf};

use clap::Args;
use druse_crystal::Structure;
use druse_evaluate::pairs::{PairVerdict, compare, compare_file};
use druse_metrics::matcher::StructureMatcher;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Done;
use crate::console;
use crate::failure::{Failure, Place};
use crate::input;
use crate::models::set_threads;
use crate::sets::{MatcherArgs, MatcherPreset, StrictArgs, named, read, rows_into_answer, write_result};

/// Arguments of `druse match`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse match a.cif b.vasp
  druse match a.cif b.cif --preset cdvae --json
  druse match --pairs pairs.jsonl.gz --preset cdvae --out verdicts.jsonl

`fit` asks whether some alignment keeps every site within the tolerance, `rms` is the smallest root mean square \
distance over all alignments, in units of (V/N)^(1/3); both answer for structures of the same elements alone.
A line of a pairs file holds two structures, `s1` and `s2`; its answer has the line's `pair` or `id`.")]
pub struct MatchArgs {
    /// Structure file.
    #[arg(required_unless_present = "pairs", requires = "b", value_parser = input::path())]
    a: Option<PathBuf>,
    /// Structure file.
    #[arg(value_parser = input::path())]
    b: Option<PathBuf>,
    /// JSON Lines file of pairs; also .gz.
    #[arg(long, value_name = "FILE", conflicts_with = "a", value_parser = input::path())]
    pairs: Option<PathBuf>,
    /// With --pairs: file to write; `-` for stdout.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    matcher: MatcherArgs,
    #[command(flatten)]
    strict: StrictArgs,
    /// Worker threads [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl MatchArgs {
    /// The matcher that was asked for.
    pub fn rules(&self) -> Result<StructureMatcher, Failure> {
        self.matcher.matcher(MatcherPreset::Default)
    }
}

/// What the command leaves: of two structures the verdict, of a file of pairs how they went.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "there is one of them")]
pub enum Matched {
    /// Two structures.
    Two(Verdict),
    /// A file of pairs.
    Pairs(Pairs),
}

/// The verdict on two structures.
#[derive(Serialize, JsonSchema)]
pub struct Verdict {
    /// Whether some alignment keeps every site within the tolerance.
    fit: bool,
    /// Smallest normalized RMS distance; `null` when it is not below the tolerance for any alignment.
    rms: Option<f64>,
    /// Largest normalized distance of that alignment.
    max: Option<f64>,
    /// Whether a search was given up, so that there may be a closer alignment.
    unfinished: bool,
}

/// How the pairs of a file went.
#[derive(Serialize, JsonSchema)]
pub struct Pairs {
    /// File of the verdicts, where one was named.
    out: Option<PathBuf>,
    /// Pairs of the file.
    count: usize,
    /// Pairs that fit.
    fitting: usize,
    /// Pairs that cannot be compared.
    failed: usize,
    /// The verdicts, where no file was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pairs: Option<Vec<PairVerdict>>,
}

/// Runs the command. The exit code does not depend on the verdict.
pub fn run(args: &MatchArgs) -> crate::Outcome {
    set_threads(args.threads.unwrap_or(0))?;
    let matcher = args.rules()?;
    if let Some(path) = &args.pairs {
        let stop = console::stop_flag_saying("stopping; nothing is written")?;
        let answers =
            console::Progress::of(|watch| compare_file(path, &matcher, args.strict.strict, watch, &stop))?;
        let kept = rows_into_answer(&args.out);
        if !kept {
            write_result("--out", &args.out, |out| {
                for answer in &answers {
                    serde_json::to_writer(&mut *out, answer)?;
                    out.write_all(b"\n")?;
                }
                Ok(())
            })?;
        }
        let errors = answers.iter().filter(|a| a.error.is_some()).count();
        if errors > 0 {
            console::warn(&format!("{errors} of {} pairs have an `error`", answers.len()));
        }
        return Ok(Done::with(Matched::Pairs(Pairs {
            out: named(&args.out),
            count: answers.len(),
            fitting: answers.iter().filter(|a| a.fit).count(),
            failed: errors,
            pairs: kept.then_some(answers),
        })));
    }
    let (Some(a), Some(b)) = (&args.a, &args.b) else {
        return Err(Failure::mistake("two structure files are needed, or --pairs"));
    };
    let (first, second) = (single(a, args.strict)?, single(b, args.strict)?);
    let answer = compare(&matcher, Value::Null, &first, &second);
    if let Some(error) = &answer.error {
        return Err(Failure::mistake(error));
    }
    let fit = if answer.fit { "yes" } else { "no" };
    console::data_line(&format!("fit  {fit} (largest distance, stol {})", matcher.stol))?;
    match (answer.rms, answer.max) {
        (Some(rms), Some(max)) => console::data_line(&format!("rms  {rms:.6} (largest distance {max:.6})"))?,
        _ => console::data_line("rms  none below stol")?,
    }
    if answer.unfinished {
        console::warn("the search was given up: there may be a closer alignment");
    }
    let PairVerdict { fit, rms, max, unfinished, .. } = answer;
    Ok(Done::with(Matched::Two(Verdict { fit, rms, max, unfinished })))
}

/// The only structure of a file.
fn single(path: &Path, strict: StrictArgs) -> Result<Structure, Failure> {
    let mut listing = read(path, &[], strict)?;
    if listing.len() > 1 {
        let text = format!("`{}` holds {} structures, expected one", path.display(), listing.len());
        return Err(Failure::mistake(text).hint("`--pairs` compares many"));
    }
    let item = listing.items.remove(0);
    let skipped = item.skipped();
    item.outcome.map_err(|absent| match &skipped {
        Some(skipped) => Failure::mistake(skipped).at(Some(Place::from(skipped))),
        None => Failure::mistake(absent.reason),
    })
}
