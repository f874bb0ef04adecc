//! `druse info`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use druse_crystal::formats::CoincidentSites;
use druse_crystal::{Composition, Structure, files};
use druse_data::crystens::{Codec, ImageFile, is_image_file};
use druse_data::{
    DataError, DatasetStats, Item, ListOptions, LoadOptions, SetFormat, SplitStats, Splits, StatsOptions,
    list,
};
use druse_run::Checkpoint;
use druse_run::model::{checkpoint_path, shipped_checkpoint};
use druse_run::train::CONFIG_FILE;
use serde_json::Value;

use crate::console;
use crate::failure::Failure;
use crate::images::{MAX_PICTURED, describe as describe_images, image_bytes, write_picture};
use crate::sets::{StrictArgs, load, say};

/// Structures of a file that are described one by one.
const MAX_STRUCTURES: usize = 50;

/// Arguments of `druse info`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse info                                   (the shipped model)
  druse info runs/mp20/checkpoints/best.safetensors
  druse info data/mp_20/train.csv.gz
  druse info POSCAR
  druse info images.safetensors --picture images.png")]
pub struct InfoArgs {
    /// Checkpoint, folder of a run, data set, folder of a data set, structure file or file of CrysTens images [default: the
    /// shipped model].
    path: Option<PathBuf>,
    /// Write a PNG picture of the first eight structures as CrysTens images, channels side by side.
    #[arg(long, value_name = "FILE", requires = "path")]
    picture: Option<PathBuf>,
    #[command(flatten)]
    strict: StrictArgs,
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
    if args.picture.as_deref() == Some(path) {
        return Err(Failure::mistake(format!("`{}` would be replaced by its picture", path.display())));
    }
    if path.is_file() && SetFormat::from_path(path) == Some(SetFormat::Crystens) {
        let bytes = image_bytes(path)?;
        if is_image_file(&bytes) {
            let file = ImageFile::parse(&bytes)
                .map_err(|source| DataError::Images { path: path.clone(), source })?;
            console::data(&describe_images(path, &file))?;
            if let Some(picture) = &args.picture {
                let first = file.len().min(MAX_PICTURED);
                write_picture(picture, &(0..first).map(|k| file.image(k)).collect::<Vec<_>>())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
    let is_run = path.is_dir() && path.join(CONFIG_FILE).exists();
    let is_checkpoint = is_run || path.extension().is_some_and(|e| e == "safetensors");
    if let Some(picture) = &args.picture {
        if is_checkpoint {
            let words = format!("`{}` holds a model, of which there is no picture", path.display());
            return Err(Failure::mistake(words));
        }
        picture_of(path, args.strict, picture)?;
    }
    if is_checkpoint {
        checkpoint(&Checkpoint::load(&checkpoint_path(path)?)?)?;
    } else if is_table(path) || is_large(path) || !structures(path, args.strict)? {
        dataset(path, args.strict)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Folders and tables are described as data sets.
fn is_table(path: &Path) -> bool {
    !path.is_file() || matches!(SetFormat::from_path(path), Some(SetFormat::Csv | SetFormat::JsonLines))
}

/// So are files of many structures.
fn is_large(path: &Path) -> bool {
    files::size(path).is_ok_and(|n| n > 1 << 20)
}

fn checkpoint(c: &Checkpoint) -> Result<(), Failure> {
    let mut text = format!("checkpoint of the kind {}: {}\n", c.kind, c.name());
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
    text += &format!("  statistics    {}\n", shortened(&c.statistics));
    console::data(&text)
}

/// Most members of a list that are shown.
const MOST_SHOWN: usize = 8;

/// The same with the first members of long lists and the last alone, and how many there are.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Array(all) if all.len() > MOST_SHOWN => {
            let shown = all.iter().take(MOST_SHOWN / 2).map(shortened);
            let how_many = format!("… {} in all …", all.len()).into();
            shown.chain([how_many]).chain(all.last().map(shortened)).collect()
        }
        Value::Array(all) => all.iter().map(shortened).collect(),
        Value::Object(members) => members.iter().map(|(k, v)| (k.clone(), shortened(v))).collect(),
        other => other.clone(),
    }
}

/// Describes the structures of a file one by one, as every other command reads them; `false` when there are many.
fn structures(path: &Path, strict: StrictArgs) -> Result<bool, Failure> {
    let options =
        ListOptions { coincident: CoincidentSites::Refuse, strict: strict.strict, ..ListOptions::default() };
    let listing = list(path, &options)?;
    if listing.len() > MAX_STRUCTURES {
        return Ok(false);
    }
    if let Some(reason) = listing.items.first().and_then(Item::reason)
        && listing.items.iter().all(|item| item.structure().is_none())
    {
        return Err(Failure::mistake(format!("{}: {reason}", path.display())));
    }
    let single = listing.len() == 1;
    for item in &listing.items {
        let name = if single { String::new() } else { format!(", {}", item.id) };
        match &item.outcome {
            Ok(structure) => console::data(&format!("{}{name}: {}", path.display(), describe(structure)))?,
            Err(absent) => console::warn(&format!("{}{name}: {}", path.display(), absent.reason)),
        }
        item.warnings.iter().for_each(|warning| console::note(warning));
    }
    let of_items: Vec<&String> = listing.items.iter().flat_map(|item| &item.warnings).collect();
    for warning in listing.warnings.iter().filter(|w| !of_items.iter().any(|text| w.contains(*text))) {
        console::note(warning);
    }
    Ok(true)
}

/// A picture of the first structures, as images with the published constants.
fn picture_of(path: &Path, strict: StrictArgs, picture: &Path) -> Result<(), Failure> {
    let listing = list(path, &ListOptions { strict: strict.strict, ..ListOptions::default() })?;
    let mut images = Vec::new();
    for item in listing.items.iter().take(MAX_PICTURED) {
        match item.structure().map(|s| Codec::default().encode(s)) {
            Some(Ok(image)) => images.push(image),
            Some(Err(e)) => console::warn(&format!("{}: {e}", item.id)),
            None => console::warn(&format!("{}: {}", item.id, item.reason().unwrap_or_default())),
        }
    }
    if images.is_empty() {
        return Err(Failure::mistake(format!(
            "`{}` holds no structure that fits into an image",
            path.display()
        )));
    }
    write_picture(picture, &images)
}

/// Composition, cell, density, space group and shortest distance.
fn describe(s: &Structure) -> String {
    let [a, b, c, al, be, ga] = s.lattice.parameters();
    let composition = Composition::from_species(&s.species);
    let mut text = format!("{} ({} atoms)\n", composition.reduced_formula(), s.len());
    text += &format!("  cell          {a:.4} {b:.4} {c:.4} Å, {al:.2} {be:.2} {ga:.2}°\n");
    text += &format!("  volume        {:.3} Å³\n", s.lattice.volume());
    text += &format!("  density       {:.4} g/cm³\n", s.density());
    if let Ok(symmetry) = druse_crystal::symmetry::analyze(s, 0.01) {
        text += &format!("  space group   {} ({}) at 0.01 Å\n", symmetry.international, symmetry.number);
    }
    if let Some(d) = s.min_distance() {
        text += &format!("  shortest      {d:.3} Å between two sites\n");
    }
    text
}

fn dataset(path: &Path, strict: StrictArgs) -> Result<(), Failure> {
    let options = LoadOptions { strict: strict.strict, ..LoadOptions::default() };
    let splits = Splits::open(path)?;
    // Space groups take most of the time; `druse data stats` looks for them.
    let what = StatsOptions { symprec: None };
    let text = match splits.is_hashed() {
        true => DatasetStats::compute(&load(path, &options)?, what).map(|s| s.to_string()),
        false => {
            let sets = splits.load_all(&options)?;
            sets.values().for_each(say);
            SplitStats::compute(splits.name(), sets, what).map(|s| s.to_string())
        }
    };
    console::data_line(&text.unwrap_or_else(|| format!("{}: no structures", path.display())))
}
