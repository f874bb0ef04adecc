//! `druse merge`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use druse_crystal::formats::Format;
use druse_run::RunFolder;
use druse_run::merge::merge;
use druse_run::output::SampleFormat;
use druse_run::screen::SCREEN_FILE;

use crate::console;
use crate::formats::sample_format;

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
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Files to write besides structures.jsonl.
    #[arg(long, value_parser = sample_format(), default_value_t = SampleFormat::Structures(Format::Cif))]
    format: SampleFormat,
}

/// Runs the command.
pub fn run(args: &MergeArgs) -> crate::Outcome {
    let out = RunFolder::open(&args.out)?;
    let merged = merge(&args.parts, &out, args.format)?;
    console::note(&format!("{} structures, {} failures", merged.structures, merged.failures));
    if args.out.join(SCREEN_FILE).is_file() {
        console::note(&format!(
            "relaxed candidates; `druse screen` with the same arguments and `--out {} --resume` ranks them",
            args.out.display()
        ));
    }
    if merged.missing > 0 {
        console::warn(&format!("{} structures of the run are in none of the folders", merged.missing));
    }
    Ok(ExitCode::SUCCESS)
}
