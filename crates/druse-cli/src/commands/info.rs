//! `druse info`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use druse_crystal::formats::{self, Format};
use druse_crystal::{Composition, files};
use druse_data::{DatasetStats, LoadOptions, SplitStats, Splits, StatsOptions};
use druse_run::Checkpoint;
use druse_run::model::{checkpoint_path, shipped_checkpoint};
use druse_run::train::CONFIG_FILE;

use crate::console;
use crate::failure::Failure;

/// Arguments of `druse info`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse info                                   (the shipped model)
  druse info runs/mp20/checkpoints/best.safetensors
  druse info data/mp_20/train.csv.gz
  druse info POSCAR")]
pub struct InfoArgs {
    /// Checkpoint, folder of a run, data set, folder of a data set or structure file [default: the shipped model].
    path: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &InfoArgs) -> crate::Outcome {
    let Some(path) = &args.path else {
        checkpoint(&shipped_checkpoint()?)?;
        return Ok(ExitCode::SUCCESS);
    };
    if !path.exists() {
        return Err(Failure::mistake(format!("`{}` does not exist", path.display())));
    }
    let is_run = path.is_dir() && path.join(CONFIG_FILE).exists();
    if is_run || path.extension().is_some_and(|e| e == "safetensors") {
        checkpoint(&Checkpoint::load(&checkpoint_path(path)?)?)?;
    } else if path.is_file() && Format::from_path(path).is_some() && !is_large(path) {
        structures(path)?;
    } else {
        dataset(path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Files of many structures are described as data sets.
fn is_large(path: &Path) -> bool {
    files::size(path).is_ok_and(|n| n > 1 << 20)
}

fn checkpoint(c: &Checkpoint) -> Result<(), Failure> {
    let mut text = format!("checkpoint of a {} model: {}\n", c.kind, c.name());
    text += &format!("  preset        {}\n", c.config.preset);
    text += &format!("  parameters    {}\n", c.parameters());
    text += &format!("  written by    {}\n", c.written_by);
    text += &format!("  data          {} (hash {})\n", c.config.data.path.display(), c.data_hash);
    text += &format!("  seed          {}\n", c.config.train.seed);
    match c.progress()? {
        Some(p) => {
            let best = p.best.map_or("none".to_owned(), |b| format!("{b:.6}"));
            text += &format!(
                "  trained       {} epochs, {} steps, {:.1} min\n",
                p.epoch,
                p.step,
                p.seconds / 60.0
            );
            text += &format!("  best loss     {best}\n");
        }
        None => text += "  trained       exported model, without optimizer state\n",
    }
    text += &format!("  statistics    {}\n", c.statistics);
    console::data(&text)
}

fn structures(path: &Path) -> Result<(), Failure> {
    let parsed = formats::read_path(path)?;
    for p in &parsed {
        let s = &p.structure;
        let [a, b, c, al, be, ga] = s.lattice.parameters();
        let composition = Composition::from_species(&s.species);
        let mut text = format!("{}: {} ({} atoms)\n", path.display(), composition.reduced_formula(), s.len());
        text += &format!("  cell          {a:.4} {b:.4} {c:.4} Å, {al:.2} {be:.2} {ga:.2}°\n");
        text += &format!("  volume        {:.3} Å³\n", s.lattice.volume());
        text += &format!("  density       {:.4} g/cm³\n", s.density());
        if let Ok(symmetry) = druse_crystal::symmetry::analyze(s, 0.01) {
            text += &format!("  space group   {} ({}) at 0.01 Å\n", symmetry.international, symmetry.number);
        }
        if let Some(d) = s.min_distance() {
            text += &format!("  shortest      {d:.3} Å between two sites\n");
        }
        console::data(&text)?;
        for warning in &p.warnings {
            console::note(&warning.text);
        }
    }
    Ok(())
}

fn dataset(path: &Path) -> Result<(), Failure> {
    let options = LoadOptions::default();
    let splits = Splits::open(path)?;
    // Space groups take most of the time; `druse data stats` looks for them.
    let what = StatsOptions { symprec: None };
    let text = match splits.is_hashed() {
        true => DatasetStats::compute(&druse_data::load(path, &options)?, what).map(|s| s.to_string()),
        false => SplitStats::compute(splits.name(), splits.load_all(&options)?, what).map(|s| s.to_string()),
    };
    console::data_line(&text.unwrap_or_else(|| format!("{}: no structures", path.display())))
}
