//! `druse merge`.

use std::path::PathBuf;

use clap::Args;
use druse_crystal::formats::Format;
use druse_run::RunFolder;
use druse_run::merge::merge;
use druse_run::output::SampleFormat;
use druse_run::screen::SCREEN_FILE;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::formats::sample_format;
use crate::output;

/// Arguments of `druse merge`.
#[derive(Args)]
#[command(after_help = "Example:
  druse sample --system Li-Fe-O --count 128 --out part0 --shard 0/2
  druse sample --system Li-Fe-O --count 128 --out part1 --shard 1/2
  druse merge part0 part1 --out hull

Shards of `druse relax` are merged in the same way. The result is the same as that of a single run. Of shards of `druse screen` the \
relaxed candidates are put together: `druse screen` with the same arguments, --out for the whole and --resume then ends it.")]
pub struct MergeArgs {
    /// Folders of the shards.
    #[arg(required = true, value_name = "DIR")]
    parts: Vec<PathBuf>,
    /// Folder for the whole.
    #[arg(long, value_name = "DIR", value_parser = output::path())]
    out: PathBuf,
    /// Files to write besides structures.jsonl.
    #[arg(long, value_parser = sample_format(), default_value_t = SampleFormat::Structures(Format::Cif))]
    format: SampleFormat,
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Together {
    /// Folder of the whole.
    out: PathBuf,
    /// Structures put together.
    structures: u64,
    /// Failures put together.
    failures: u64,
    /// Structures of the run that are in none of the folders.
    missing: u64,
    /// Whether the parts are of a screening, which `druse screen --resume` has to end.
    of_screening: bool,
}

/// Runs the command.
pub fn run(args: &MergeArgs) -> crate::Outcome {
    let out = RunFolder::open(&args.out)?;
    let merged = merge(&args.parts, &out, args.format)?;
    console::note(&format!("{} structures, {} failures", merged.structures, merged.failures));
    let of_screening = args.out.join(SCREEN_FILE).is_file();
    if of_screening {
        console::note(&format!(
            "relaxed candidates; `druse screen` with the same arguments and `--out {} --resume` ranks them",
            args.out.display()
        ));
    }
    if merged.missing > 0 {
        console::warn(&format!("{} structures of the run are in none of the folders", merged.missing));
    }
    let (structures, failures, missing) = (merged.structures, merged.failures, merged.missing);
    Ok(Done::with(Together { out: args.out.clone(), structures, failures, missing, of_screening }))
}
