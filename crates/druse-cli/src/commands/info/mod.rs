//! `druse info`.

mod machine;

use std::path::{Path, PathBuf};

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
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Done;
use crate::console;
use crate::failure::{Failure, Place};
use crate::images::{ImagesFound, MAX_PICTURED, describe as describe_images, image_bytes, write_picture};
use crate::input;
use crate::output;
use crate::sets::{StrictArgs, load, say};
use machine::MachineFound;

/// Structures of a file that are described one by one.
const MAX_STRUCTURES: usize = 50;

/// Arguments of `druse info`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse info                                   (the shipped model)
  druse info runs/mp20/checkpoints/best.safetensors
  druse info data/mp_20/train.csv.gz
  druse info POSCAR
  druse info images.safetensors --picture images.png
  druse info --machine                         (this machine, and how fast it is)")]
pub struct InfoArgs {
    /// Checkpoint, folder of a run, data set, folder of a data set, structure file or file of CrysTens images; `-` for
    /// standard input [default: the shipped model].
    #[arg(value_parser = input::path())]
    path: Option<PathBuf>,
    /// Write a PNG picture of the first eight structures as CrysTens images, channels side by side.
    #[arg(long, value_name = "FILE", requires = "path", value_parser = output::path())]
    picture: Option<PathBuf>,
    /// Describe this machine instead: processor, memory, devices, and how fast products and memory are.
    #[arg(long, conflicts_with_all = ["path", "strict"])]
    machine: bool,
    #[command(flatten)]
    strict: StrictArgs,
}

/// What the command leaves, by what was found.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Found {
    /// A model.
    Checkpoint(Box<ModelFound>),
    /// Structures of a file, one by one.
    Structures {
        /// The structures; those that cannot be read have an `error`.
        structures: Vec<StructureFound>,
    },
    /// A data set, or a file of many structures: its statistics, without space groups.
    DataSet {
        /// The statistics of the whole.
        statistics: Option<Box<DatasetStats>>,
        /// Those of its splits, where it has splits.
        splits: Option<Box<SplitStats>>,
    },
    /// CrysTens images.
    Images(ImagesFound),
    /// This machine (`--machine`).
    Machine(Box<MachineFound>),
}

/// What a checkpoint holds.
#[derive(Serialize, JsonSchema)]
pub struct ModelFound {
    /// Kind of the model.
    kind: String,
    /// The model, in words.
    name: String,
    /// Preset that its configuration started from.
    preset: String,
    /// Parameters.
    parameters: usize,
    /// Version that wrote it.
    written_by: String,
    /// The data set that it was trained on.
    data: PathBuf,
    /// Hash of its training set.
    data_hash: String,
    /// Seed of the training.
    seed: u64,
    /// How far it was trained; `null` for an exported model, which lacks the state of the optimizer.
    trained: Option<Trained>,
    /// Statistics of the training set that the model uses; of long lists some members.
    statistics: Value,
}

/// How far a model was trained.
#[derive(Serialize, JsonSchema)]
struct Trained {
    /// Epochs.
    epochs: u64,
    /// Steps.
    steps: u64,
    /// Seconds.
    seconds: f64,
    /// Lowest loss.
    best_loss: Option<f64>,
}

/// A structure of a file.
#[derive(Serialize, JsonSchema)]
pub struct StructureFound {
    /// Its identifier.
    id: String,
    /// What is in the cell; `null` where there is no structure.
    structure: Option<Cell>,
    /// Why there is no structure.
    error: Option<String>,
    /// What the reader had to interpret, repair or leave out.
    warnings: Vec<String>,
}

/// What a cell holds.
#[derive(Serialize, JsonSchema)]
struct Cell {
    /// Reduced formula.
    formula: String,
    /// Atoms of the cell.
    atoms: usize,
    /// a, b, c in Å, then alpha, beta, gamma in degrees.
    cell: [f64; 6],
    /// Volume (Å³).
    volume: f64,
    /// Mass density (g/cm³).
    density: f64,
    /// Number of the space group found at 0.01 Å.
    space_group: Option<u16>,
    /// Its Hermann–Mauguin symbol.
    international: Option<String>,
    /// Shortest distance between two sites (Å).
    shortest: Option<f64>,
}

/// Runs the command.
pub fn run(args: &InfoArgs) -> crate::Outcome {
    found(args).map(Done::with)
}

fn found(args: &InfoArgs) -> Result<Found, Failure> {
    if args.machine {
        return machine::found();
    }
    let Some(path) = &args.path else {
        return checkpoint(&shipped_checkpoint()?);
    };
    if !files::exists(path) {
        let failure = Failure::mistake(format!("`{}` does not exist", path.display()));
        return Err(failure.at(Some(Place::of(path))));
    }
    if args.picture.as_deref() == Some(path) {
        return Err(Failure::mistake(format!("`{}` would be replaced by its picture", path.display())));
    }
    if files::is_file(path) && SetFormat::from_path(path) == Some(SetFormat::Crystens) {
        let bytes = image_bytes(path)?;
        if is_image_file(&bytes) {
            let file = ImageFile::parse(&bytes)
                .map_err(|source| DataError::Images { path: path.clone(), source })?;
            let (text, found) = describe_images(path, &file);
            console::data(&text)?;
            if let Some(picture) = &args.picture {
                let first = file.len().min(MAX_PICTURED);
                write_picture(picture, &(0..first).map(|k| file.image(k)).collect::<Vec<_>>())?;
            }
            return Ok(Found::Images(found));
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
        return checkpoint(&Checkpoint::load(&checkpoint_path(path)?)?);
    }
    let few = match is_table(path) || is_large(path) {
        true => None,
        false => structures(path, args.strict)?,
    };
    match few {
        Some(structures) => Ok(Found::Structures { structures }),
        None => dataset(path, args.strict),
    }
}

/// Folders and tables are described as data sets.
fn is_table(path: &Path) -> bool {
    !files::is_file(path) || matches!(SetFormat::from_path(path), Some(SetFormat::Csv | SetFormat::JsonLines))
}

/// So are files of many structures.
fn is_large(path: &Path) -> bool {
    files::size(path).is_ok_and(|n| n > 1 << 20)
}

fn checkpoint(c: &Checkpoint) -> Result<Found, Failure> {
    let mut text = format!("checkpoint of the kind {}: {}\n", c.kind, c.name());
    text += &format!("  preset        {}\n", c.config.preset);
    text += &format!("  parameters    {}\n", c.parameters());
    text += &format!("  written by    {}\n", c.written_by);
    text += &format!("  data          {} (hash {})\n", c.config.data.path.display(), c.data_hash);
    text += &format!("  seed          {}\n", c.config.train.seed);
    let progress = c.progress()?;
    match &progress {
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
    let statistics = shortened(&c.statistics);
    text += &format!("  statistics    {statistics}\n");
    console::data(&text)?;
    Ok(Found::Checkpoint(Box::new(ModelFound {
        kind: c.kind.clone(),
        name: c.name().to_owned(),
        preset: c.config.preset.clone(),
        parameters: c.parameters(),
        written_by: c.written_by.clone(),
        data: c.config.data.path.clone(),
        data_hash: c.data_hash.clone(),
        seed: c.config.train.seed,
        trained: progress.map(|p| Trained {
            epochs: p.epoch,
            steps: p.step,
            seconds: p.seconds,
            best_loss: p.best,
        }),
        statistics,
    })))
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

/// Describes the structures of a file one by one, as every other command reads them; `None` when there are many.
fn structures(path: &Path, strict: StrictArgs) -> Result<Option<Vec<StructureFound>>, Failure> {
    let options =
        ListOptions { coincident: CoincidentSites::Refuse, strict: strict.strict, ..ListOptions::default() };
    let listing = list(path, &options)?;
    if listing.len() > MAX_STRUCTURES {
        return Ok(None);
    }
    if let Some(skipped) = listing.items.first().and_then(Item::skipped)
        && listing.items.iter().all(|item| item.structure().is_none())
    {
        let text = format!("{}: {}", path.display(), skipped.reason);
        return Err(Failure::mistake(text).at(Some(Place::from(&skipped))));
    }
    let single = listing.len() == 1;
    let mut all = Vec::new();
    for item in &listing.items {
        let name = if single { String::new() } else { format!(", {}", item.id) };
        let cell = item.structure().map(Cell::of);
        match (&cell, &item.outcome) {
            (Some(cell), _) => console::data(&format!("{}{name}: {}", path.display(), cell.text()))?,
            (None, Err(absent)) => console::warn(&format!("{}{name}: {}", path.display(), absent.reason)),
            (None, Ok(_)) => {}
        }
        item.warnings.iter().for_each(|warning| console::note(warning));
        all.push(StructureFound {
            id: item.id.clone(),
            structure: cell,
            error: item.reason().map(str::to_owned),
            warnings: item.warnings.clone(),
        });
    }
    let of_items: Vec<&String> = listing.items.iter().flat_map(|item| &item.warnings).collect();
    for warning in listing.warnings.iter().filter(|w| !of_items.iter().any(|text| w.contains(*text))) {
        console::note(warning);
    }
    Ok(Some(all))
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

impl Cell {
    fn of(s: &Structure) -> Self {
        let symmetry = druse_crystal::symmetry::analyze(s, 0.01).ok();
        Self {
            formula: Composition::from_species(&s.species).reduced_formula(),
            atoms: s.len(),
            cell: s.lattice.parameters(),
            volume: s.lattice.volume(),
            density: s.density(),
            space_group: symmetry.as_ref().map(|found| found.number),
            international: symmetry.map(|found| found.international),
            shortest: s.min_distance(),
        }
    }

    /// Composition, cell, density, space group and shortest distance.
    fn text(&self) -> String {
        let [a, b, c, al, be, ga] = self.cell;
        let mut text = format!("{} ({} atoms)\n", self.formula, self.atoms);
        text += &format!("  cell          {a:.4} {b:.4} {c:.4} Å, {al:.2} {be:.2} {ga:.2}°\n");
        text += &format!("  volume        {:.3} Å³\n", self.volume);
        text += &format!("  density       {:.4} g/cm³\n", self.density);
        if let (Some(number), Some(international)) = (self.space_group, &self.international) {
            text += &format!("  space group   {international} ({number}) at 0.01 Å\n");
        }
        if let Some(d) = self.shortest {
            text += &format!("  shortest      {d:.3} Å between two sites\n");
        }
        text
    }
}

fn dataset(path: &Path, strict: StrictArgs) -> Result<Found, Failure> {
    let options = LoadOptions { strict: strict.strict, ..LoadOptions::default() };
    let splits = Splits::open(path)?;
    // Space groups take most of the time; `druse data stats` looks for them.
    let what = StatsOptions { symprec: None };
    let (statistics, splits) = match splits.is_hashed() {
        true => (DatasetStats::compute(&load(path, &options)?, what), None),
        false => {
            let sets = splits.load_all(&options)?;
            sets.values().for_each(say);
            (None, SplitStats::compute(splits.name(), sets, what))
        }
    };
    let text = statistics.as_ref().map(ToString::to_string).or(splits.as_ref().map(ToString::to_string));
    console::data_line(&text.unwrap_or_else(|| format!("{}: no structures", path.display())))?;
    let statistics = statistics.or_else(|| splits.as_ref().map(|s| s.whole.clone()));
    Ok(Found::DataSet { statistics: statistics.map(Box::new), splits: splits.map(Box::new) })
}
