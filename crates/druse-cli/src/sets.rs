//! Sets of structures on the command line: reading, choosing rows, matching, evaluating them, writing results.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use druse_crystal::files;
use druse_data::{
    DataError, Dataset, Filter, JsonlRecord, ListOptions, Listing, LoadOptions, OutputFormat, SetFormat,
    SetReader, Skipped, Splits, write_dataset, write_dataset_to,
};
use druse_metrics::matcher::StructureMatcher;
use druse_run::RunError;
use druse_run::output::{SampleFormat, list_structures};

use crate::console;
use crate::failure::Failure;
use crate::formats::source_help;
use crate::input;
use crate::stream::Stream;

/// A set of structures.
#[derive(Args)]
pub struct SourceArgs {
    #[arg(value_name = "INPUT", help = source_help(), value_parser = input::path())]
    path: PathBuf,
    /// Keep only rows whose property passes, such as 'role=gen' or 'e_above_hull<0.1'. Repeatable.
    #[arg(long = "filter", value_name = "COMPARISON")]
    filters: Vec<String>,
    #[command(flatten)]
    strict: StrictArgs,
}

/// Whether doubtful structures are refused.
#[derive(Args, Clone, Copy)]
pub struct StrictArgs {
    /// Refuse structures that may be others than their authors meant: guesses of the reader, contradictions within a file.
    #[arg(long)]
    pub strict: bool,
}

impl SourceArgs {
    /// Every row of the set.
    pub fn list(&self) -> Result<Listing, Failure> {
        read(&self.path, &self.filters, self.strict)
    }

    /// What rows have to pass.
    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    /// Whether doubtful structures are refused.
    pub fn strict(&self) -> StrictArgs {
        self.strict
    }
}

/// Lists a set, with what the model failed at where it is a sampling run, and repeats the readers' warnings.
pub fn read(path: &Path, filters: &[String], strict: StrictArgs) -> Result<Listing, Failure> {
    let filters: Vec<Filter> =
        filters.iter().map(|text| text.parse().map_err(DataError::Filter)).collect::<Result<_, _>>()?;
    let listing =
        list_structures(path, &ListOptions { filters, strict: strict.strict, ..ListOptions::default() })?;
    for warning in &listing.warnings {
        console::note(&format!("{}: {warning}", listing.name));
    }
    Ok(listing)
}

/// Lists a set whose rows need a composition and an energy, but no structure: any that [`read`] takes, a table of formulas, or
/// a folder of splits, which count as one set.
pub fn read_energies(path: &Path, strict: StrictArgs) -> Result<Listing, Failure> {
    let options = ListOptions { strict: strict.strict, formulas: true, ..ListOptions::default() };
    let mut listing = match splits_of(path)? {
        None => list_structures(path, &options)?,
        Some(parts) => {
            let mut whole = Listing { path: path.to_owned(), ..Listing::default() };
            let mut hasher = blake3::Hasher::new();
            for part in parts {
                let part = druse_data::list(&part, &options)?;
                whole.name =
                    part.name.rsplit_once('/').map_or(part.name.clone(), |(folder, _)| folder.to_owned());
                hasher.update(part.source_hash.as_bytes());
                whole.items.extend(part.items);
                whole.warnings.extend(part.warnings);
            }
            whole.source_hash = hasher.finalize().to_hex().to_string();
            whole
        }
    };
    for warning in std::mem::take(&mut listing.warnings) {
        console::note(&format!("{}: {warning}", listing.name));
    }
    Ok(listing)
}

/// The files of a folder of splits; `None` for anything else.
fn splits_of(path: &Path) -> Result<Option<Vec<PathBuf>>, Failure> {
    if !path.is_dir() {
        return Ok(None);
    }
    let splits = Splits::open(path)?;
    if splits.is_hashed() {
        return Ok(None);
    }
    let parts = splits.available().into_iter().filter_map(|split| splits.path(split).map(Path::to_owned));
    Ok(Some(parts.collect()))
}

/// Loads a data set to learn or start from, and says what was left out and what the readers had to interpret.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Dataset, Failure> {
    let dataset = druse_data::load(path, options)?;
    say(&dataset);
    Ok(dataset)
}

/// Opens a data set to be read block by block, and says the same.
pub fn open(path: &Path, options: &LoadOptions) -> Result<SetReader, Failure> {
    let set = SetReader::open(path, options)?;
    say_read(&set);
    Ok(set)
}

/// As [`say`], of a set that is read block by block.
pub fn say_read(set: &SetReader) {
    told(&set.skipped, &set.warnings);
}

/// Says what was left out, and what the readers had to interpret.
pub fn say(dataset: &Dataset) {
    told(&dataset.skipped, &dataset.warnings);
}

fn told(skipped: &[Skipped], warnings: &[String]) {
    for skipped in skipped {
        console::warn(&format!("skipped {skipped}"));
    }
    for warning in warnings {
        console::note(warning);
    }
}

/// Writes a result to the file that an option names, which appears whole or not at all, or to stdout (`-`).
pub fn write_result(
    option: &str,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    if is_stdout(path) {
        console::claim_stdout(option)?;
        let mut text = Vec::new();
        fill(&mut text).map_err(Failure::environment)?;
        return console::write_stdout(&text).map(drop);
    }
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder)?;
    }
    files::write_atomic_with(path, |file| {
        let mut out = io::BufWriter::new(file);
        fill(&mut out)?;
        out.flush()
    })?;
    Ok(())
}

/// Whether an option names stdout.
pub fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The format of a set that is written, by the name of its file; JSON Lines on stdout.
pub fn format_of(path: &Path) -> Result<OutputFormat, Failure> {
    if is_stdout(path) {
        return Ok(OutputFormat::JSONL);
    }
    OutputFormat::from_path(path).ok_or_else(|| {
        let text = format!("the name `{}` does not tell a format", path.display());
        Failure::mistake(text).hint("add --format")
    })
}

/// Writes a set to the file or folder that an option names, or to stdout (`-`).
pub fn write_set(
    option: &str,
    set: &Dataset,
    path: &Path,
    format: OutputFormat,
    overwrite: bool,
) -> Result<(), Failure> {
    if !is_stdout(path) {
        return Ok(write_dataset(set, path, format, overwrite)?);
    }
    if format.is_folder() {
        let SetFormat::Structures(form) = format.format() else { return Err(no_stream(format)) };
        let mut stream = Stream::open(option, SampleFormat::Structures(form), set.len() as u64)?;
        for entry in &set.entries {
            match stream.write(&JsonlRecord::from(entry), "") {
                Ok(()) => {}
                Err(RunError::ReceiverGone) => break,
                Err(e) => return Err(e.into()),
            }
        }
        return Ok(());
    }
    if format.format() == SetFormat::Crystens {
        return Err(no_stream(format));
    }
    write_result(option, path, |out| write_dataset_to(set, format, out))
}

fn no_stream(format: OutputFormat) -> Failure {
    Failure::mistake(format!("{format} files are not written to standard output")).hint("name a file")
}

/// Takes stdout for the options that name it, before the work that they are for.
pub fn claim_stdout<'a>(
    options: impl IntoIterator<Item = (&'a str, Option<&'a PathBuf>)>,
) -> Result<(), Failure> {
    let mut named = options.into_iter().filter(|(_, path)| path.is_some_and(|path| is_stdout(path)));
    named.try_for_each(|(option, _)| console::claim_stdout(option))
}

/// A file that an option names, for results; stdout is none.
pub fn named(path: &Path) -> Option<PathBuf> {
    (!is_stdout(path)).then(|| path.to_owned())
}

/// Whether rows that are written to stdout where no file is named belong into a result for programs, which is written there.
pub fn rows_into_answer(path: &Path) -> bool {
    is_stdout(path) && console::json_wanted()
}

/// Writes a page for a browser where it is wanted (`-`: to stdout).
pub fn write_page(path: Option<&Path>, page: impl FnOnce() -> String) -> Result<(), Failure> {
    match path {
        Some(path) => write_result("--html", path, |out| out.write_all(page().as_bytes())),
        None => Ok(()),
    }
}

/// Refuses to write what a command reads.
pub fn refuse_to_replace<'a>(
    inputs: impl IntoIterator<Item = &'a PathBuf>,
    outputs: impl IntoIterator<Item = &'a PathBuf>,
) -> Result<(), Failure> {
    let inputs: Vec<&PathBuf> = inputs.into_iter().collect();
    let outputs = outputs.into_iter().cloned().chain(console::json_file());
    let replaced = outputs.into_iter().find(|out| !is_stdout(out) && inputs.contains(&out));
    match replaced {
        Some(out) => Err(Failure::mistake(format!("`{}` would be replaced by the result", out.display()))),
        None => Ok(()),
    }
}

/// Tolerances of the structure matcher.
#[derive(Args)]
pub struct MatcherArgs {
    /// Tolerances to start from [default: cdvae where predictions are matched, else default].
    #[arg(long, value_enum)]
    preset: Option<MatcherPreset>,
    /// Relative tolerance of cell lengths.
    #[arg(long, value_name = "X")]
    ltol: Option<f64>,
    /// Tolerance of site distances in units of (V/N)^(1/3).
    #[arg(long, value_name = "X")]
    stol: Option<f64>,
    /// Tolerance of cell angles in degrees.
    #[arg(long, value_name = "DEGREES")]
    angle_tol: Option<f64>,
    /// Compare primitive cells (the default).
    #[arg(long, overrides_with = "no_primitive")]
    primitive: bool,
    /// Compare the cells as given instead of primitive cells.
    #[arg(long, overrides_with = "primitive")]
    no_primitive: bool,
    /// Scale both structures to the same volume (the default).
    #[arg(long, overrides_with = "no_scale")]
    scale: bool,
    /// Compare volumes, too.
    #[arg(long, overrides_with = "scale")]
    no_scale: bool,
}

/// Named tolerances.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatcherPreset {
    /// pymatgen's: 0.2, 0.3, 5°, for finding duplicates.
    Default,
    /// CDVAE's: 0.3, 0.5, 10°, for reconstruction and structure prediction.
    Cdvae,
}

impl MatcherArgs {
    /// Whether any tolerance or rule was given.
    pub fn are_given(&self) -> bool {
        let Self { preset, ltol, stol, angle_tol, primitive, no_primitive, scale, no_scale } = self;
        preset.is_some()
            || [ltol, stol, angle_tol].into_iter().any(Option::is_some)
            || [primitive, no_primitive, scale, no_scale].into_iter().any(|x| *x)
    }

    /// The matcher; `preset` counts where none was given.
    pub fn matcher(&self, preset: MatcherPreset) -> Result<StructureMatcher, Failure> {
        let start = match self.preset.unwrap_or(preset) {
            MatcherPreset::Default => StructureMatcher::default(),
            MatcherPreset::Cdvae => StructureMatcher::CDVAE,
        };
        let matcher = StructureMatcher {
            ltol: self.ltol.unwrap_or(start.ltol),
            stol: self.stol.unwrap_or(start.stol),
            angle_tol: self.angle_tol.unwrap_or(start.angle_tol),
            primitive: self.primitive || !self.no_primitive,
            scale: self.scale || !self.no_scale,
        };
        for (name, x) in
            [("--ltol", matcher.ltol), ("--stol", matcher.stol), ("--angle-tol", matcher.angle_tol)]
        {
            if !(x.is_finite() && x > 0.0) {
                return Err(Failure::mistake(format!("{name} {x}: expected a positive number")));
            }
        }
        Ok(matcher)
    }
}
