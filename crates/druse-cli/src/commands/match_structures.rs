//! `druse match`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use druse_crystal::Structure;
use druse_evaluate::pairs::{compare, compare_file};
use druse_metrics::matcher::StructureMatcher;
use serde_json::Value;

use crate::console;
use crate::failure::Failure;
use crate::models::set_threads;
use crate::sets::{MatcherArgs, MatcherPreset, StrictArgs, read, write_result};

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
    #[arg(required_unless_present = "pairs", requires = "b")]
    a: Option<PathBuf>,
    /// Structure file.
    b: Option<PathBuf>,
    /// JSON Lines file of pairs; also .gz.
    #[arg(long, value_name = "FILE", conflicts_with = "a")]
    pairs: Option<PathBuf>,
    /// With --pairs: file to write; `-` for stdout.
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    matcher: MatcherArgs,
    #[command(flatten)]
    strict: StrictArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
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

/// Runs the command. The exit code does not depend on the verdict.
pub fn run(args: &MatchArgs) -> crate::Outcome {
    set_threads(args.threads.unwrap_or(0))?;
    let matcher = args.rules()?;
    if let Some(path) = &args.pairs {
        let stop = console::stop_flag_saying("stopping; nothing is written")?;
        let answers =
            console::Progress::of(|watch| compare_file(path, &matcher, args.strict.strict, watch, &stop))?;
        write_result(&args.out, |out| {
            for answer in &answers {
                serde_json::to_writer(&mut *out, answer)?;
                out.write_all(b"\n")?;
            }
            Ok(())
        })?;
        let errors = answers.iter().filter(|a| a.error.is_some()).count();
        if errors > 0 {
            console::warn(&format!("{errors} of {} pairs have an `error`", answers.len()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let (Some(a), Some(b)) = (&args.a, &args.b) else {
        return Err(Failure::mistake("two structure files are needed, or --pairs"));
    };
    let (first, second) = (single(a, args.strict)?, single(b, args.strict)?);
    let answer = compare(&matcher, Value::Null, &first, &second);
    if args.json {
        let mut object = serde_json::to_value(&answer).map_err(Failure::environment)?;
        if let Some(object) = object.as_object_mut() {
            object.remove("pair");
        }
        console::data_line(&object.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
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
    Ok(ExitCode::SUCCESS)
}

/// The only structure of a file.
fn single(path: &Path, strict: StrictArgs) -> Result<Structure, Failure> {
    let mut listing = read(path, &[], strict)?;
    if listing.len() > 1 {
        let text = format!("`{}` holds {} structures, expected one", path.display(), listing.len());
        return Err(Failure::mistake(text).hint("`--pairs` compares many"));
    }
    let item = listing.items.remove(0);
    let place = item.skipped().map(|s| s.to_string());
    item.outcome.map_err(|absent| Failure::mistake(place.unwrap_or(absent.reason)))
}
