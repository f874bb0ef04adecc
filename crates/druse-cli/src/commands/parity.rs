//! `druse parity`.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use druse_crystal::files::{self, Action, FileError};
use druse_models::parity::{OutputDifference, compare_beside};
use druse_nn::device;
use flate2::read::GzDecoder;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::models::registry;

/// Arguments of `druse parity`.
#[derive(Args)]
#[command(after_help = "Example:
  druse parity gemsdiff_released.json --tolerance 5e-5

The file names a network, gives its weights by a formula, and lists inputs and the outputs of the published program.
Exit code 1 when an output differs by more than the tolerance.")]
pub struct ParityArgs {
    /// Reference file.
    file: PathBuf,
    /// Largest relative difference that passes.
    #[arg(long, default_value_t = 5e-5)]
    tolerance: f64,
    /// Where to compute.
    #[arg(long, default_value = "cpu")]
    device: String,
}

/// The text of a file, gzip-compressed or plain.
fn read(path: &Path) -> Result<String, FileError> {
    let bytes = files::read(path)?;
    let mut text = String::new();
    match bytes.starts_with(&[0x1f, 0x8b]) {
        true => GzDecoder::new(bytes.as_slice()).read_to_string(&mut text),
        false => bytes.as_slice().read_to_string(&mut text),
    }
    .map_err(FileError::wrap(Action::Read, path))?;
    Ok(text)
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Compared {
    /// Whether every output is within the tolerance, and there is one.
    passed: bool,
    /// Largest relative difference that passes.
    tolerance: f64,
    /// Largest relative difference.
    worst: f64,
    /// Input crystals.
    crystals: usize,
    /// The outputs.
    outputs: Vec<Output>,
    /// Outputs of the file that have no counterpart here.
    skipped: Vec<String>,
}

/// An output of a network.
#[derive(Serialize, JsonSchema)]
pub struct Output {
    /// Its name.
    name: String,
    /// Numbers compared.
    values: usize,
    /// Largest relative difference.
    relative: f64,
}

/// Runs the command.
pub fn run(args: &ParityArgs) -> crate::Outcome {
    let device = device::parse(&args.device)?;
    let name = args.file.display();
    let text = read(&args.file)?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let beside = |other: &str| read(&folder.join(other)).map_err(|e| e.to_string());
    let report = compare_beside(registry(), &text, &beside, &device)
        .map_err(|e| Failure::mistake(format!("`{name}`: {e}")))?;
    let width = report.outputs.iter().map(|o| o.name.len()).fold("output".len(), usize::max);
    console::data_line(&format!("{:width$} {:>8} {:>22}", "output", "values", "relative difference"))?;
    for output in &report.outputs {
        let mark = if output.relative <= args.tolerance { "" } else { "  above the tolerance" };
        let line = format!("{:width$} {:>8} {:>22.3e}{mark}", output.name, output.values, output.relative);
        console::data_line(&line)?;
    }
    for output in &report.skipped {
        console::warn(&format!("the output `{output}` has no counterpart here and was not compared"));
    }
    let (worst, tolerance) = (report.worst(), args.tolerance);
    console::data_line(&format!(
        "largest: {worst:.3e} over {} crystals (tolerance {tolerance:e})",
        report.crystals
    ))?;
    // A file without outputs would pass without having compared anything.
    let passed = !report.outputs.is_empty() && worst <= tolerance;
    let output =
        |o: &OutputDifference| Output { name: o.name.clone(), values: o.values, relative: o.relative };
    let outputs = report.outputs.iter().map(output).collect();
    let (skipped, crystals) = (report.skipped, report.crystals);
    let result = Compared { passed, tolerance, worst, crystals, outputs, skipped };
    Ok(Done::with(result).code(if passed { 0 } else { 1 }))
}
