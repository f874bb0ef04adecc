//! `druse data`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use druse_crystal::files;
use druse_crystal::formats::Format;
use druse_data::crystens::{ImageFile, Normalization};
use druse_data::fetch::{FetchError, FetchOptions, FileStatus, Manifest, fetch};
use druse_data::{
    DataError, Dataset, DatasetStats, Drawn, Entries, Entry, Filter, HowRead, ImageOptions, Kinds,
    LoadOptions, OutputFormat, SetFormat, SetReader, Split, SplitBy, SplitOptions, SplitStats, Splits,
    StatsOptions, write_dataset, write_image_file, write_symmetrized_folder,
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::formats::{set_format, source_help};
use crate::images::{DecodingArgs, image_bytes};
use crate::input;
use crate::output;
use crate::sets::{StrictArgs, format_of, is_stdout, load, open, say_read, write_set};

/// Subcommands of `druse data`.
#[derive(Subcommand)]
pub enum DataCommand {
    /// Statistics: atoms, elements, space groups, density, duplicates.
    #[command(after_help = "Examples:
  druse data stats data/mp_20/train.csv.gz
  druse data stats data/mp_20                  (each of its splits, and the whole)
  druse data stats structures/ --max-atoms 20 --filter 'e_above_hull<0.1' --json")]
    Stats(StatsArgs),
    /// Write a data set in another format.
    #[command(after_help = "Examples:
  druse data convert train.csv.gz train.jsonl
  druse data convert train.csv.gz train.druse --niggli        (a packed store, read in little memory)
  druse data convert train.csv.gz train.parquet --with-cif
  druse data convert lifeo2/structures.jsonl cifs --format cif
  druse data convert structure.cif --out - --format poscar
  druse data convert lifeo2/structures.jsonl symmetric --format cif --symmetrize 0.1
  druse data convert train.csv.gz train.safetensors --normalization fit       (CrysTens images)
  druse data convert generated.safetensors cifs --format cif --decoding paper
  druse data convert mp_20/train.csv yardstick.jsonl --random 1000 --seed 0")]
    Convert(ConvertArgs),
    /// Divide a data set into train, val and test files.
    #[command(after_help = "Example:
  druse data split mine.csv --out mine --fractions 0.8,0.1,0.1
  druse data split mine.csv --out mine --by formula      (no composition in two files)")]
    Split(SplitArgs),
    /// Download a named public data set (mp-20, perov-5, carbon-24).
    #[command(after_help = "Examples:
  druse data fetch perov-5 --out data
  druse data fetch mp-20 --out data --from /mnt/mirror")]
    Fetch(FetchArgs),
}

/// What is read and what of it is kept.
#[derive(Args)]
struct Source {
    #[arg(help = source_help(), value_parser = input::path())]
    path: PathBuf,
    /// Largest share of unreadable structures, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    max_skipped_share: f64,
    /// Keep only cells of at most so many atoms.
    #[arg(long, value_name = "N")]
    max_atoms: Option<usize>,
    /// Keep only structures of these elements, such as Li,Fe,O.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    elements: Vec<String>,
    /// Keep only structures whose property passes, such as 'e_above_hull<0.1'. Repeatable.
    #[arg(long = "filter", value_name = "COMPARISON")]
    filters: Vec<String>,
    #[command(flatten)]
    strict: StrictArgs,
}

impl Source {
    fn options(&self, niggli: bool) -> Result<LoadOptions, Failure> {
        if !(0.0..=1.0).contains(&self.max_skipped_share) {
            return Err(Failure::mistake("--max-skipped-share: expected a number from 0 to 1"));
        }
        let mut filters: Vec<Filter> = self.max_atoms.map(Filter::MaxAtoms).into_iter().collect();
        if !self.elements.is_empty() {
            filters.push(Filter::allowed_elements(&self.elements).map_err(Failure::mistake)?);
        }
        for text in &self.filters {
            filters.push(text.parse().map_err(DataError::Filter)?);
        }
        let (max_skipped_share, strict) = (self.max_skipped_share, self.strict.strict);
        Ok(LoadOptions { niggli, max_skipped_share, strict, filters, ..LoadOptions::default() })
    }

    fn open(&self, niggli: bool) -> Result<SetReader, Failure> {
        open(&self.path, &self.options(niggli)?)
    }
}

/// Arguments of `druse data stats`.
#[derive(Args)]
pub struct StatsArgs {
    #[command(flatten)]
    source: Source,
    /// Distance tolerance of the space group search in Å.
    #[arg(long, default_value_t = 0.1)]
    symprec: f64,
    /// Leave out space groups and distinct sites, the slowest part.
    #[arg(long)]
    no_symmetry: bool,
}

/// Arguments of `druse data convert`.
#[derive(Args)]
pub struct ConvertArgs {
    #[command(flatten)]
    source: Source,
    /// File or folder to write; `-` for standard output.
    #[arg(required_unless_present = "to", conflicts_with = "to")]
    out: Option<PathBuf>,
    /// The same as an option.
    #[arg(long = "out", id = "to", value_name = "PATH")]
    to: Option<PathBuf>,
    /// Format [default: by the name of the output].
    #[arg(long, value_parser = set_format())]
    format: Option<OutputFormat>,
    /// Draw so many structures, which stay in their order. Which ones depends on the seed and on the identifiers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    random: Option<u64>,
    /// Another seed, another draw [default: 0].
    #[arg(long, value_name = "SEED", requires = "random")]
    seed: Option<u64>,
    /// Replace each cell by its Niggli-reduced one.
    #[arg(long)]
    niggli: bool,
    /// With CIF files: write the conventional cell with its space group and asymmetric unit, found within this
    /// distance in Å.
    #[arg(long, value_name = "SYMPREC")]
    symmetrize: Option<f64>,
    /// With images: avg-std (published constants), fit (avg-std with the constants of this set), divide-near-max,
    /// divide-near-max-published, or a file of images whose constants are taken [default: avg-std].
    #[arg(long, value_name = "NAME|FILE")]
    normalization: Option<String>,
    /// With Parquet: add a column of CIF texts, for readers that know no other.
    #[arg(long)]
    with_cif: bool,
    #[command(flatten)]
    decoding: DecodingArgs,
    /// Replace an existing file.
    #[arg(long)]
    overwrite: bool,
}

/// Arguments of `druse data split`.
#[derive(Args)]
pub struct SplitArgs {
    #[command(flatten)]
    source: Source,
    /// Folder for the three files.
    #[arg(long, value_name = "DIR", value_parser = output::path())]
    out: PathBuf,
    /// Shares of train, val and test.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', default_values_t = [0.8, 0.1, 0.1])]
    fractions: Vec<f64>,
    /// Another seed, another division.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What stays together in one part.
    #[arg(long, value_enum, default_value_t = By::Id)]
    by: By,
    /// Format of the files.
    #[arg(long, value_parser = set_format(), default_value_t = OutputFormat::CSV_GZ)]
    format: OutputFormat,
}

/// What stays together when a set is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Rows of one identifier.
    Id,
    /// Rows of one reduced formula: the test file has compositions that the train file lacks.
    Formula,
}

/// Arguments of `druse data fetch`.
#[derive(Args)]
pub struct FetchArgs {
    /// Name of the set.
    name: String,
    /// Folder to put the set's folder into.
    #[arg(long, value_name = "DIR", default_value = "data", value_parser = output::path())]
    out: PathBuf,
    /// Local mirror to copy from, for machines without network.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

/// What `druse data stats` leaves: the statistics of a set, or of its splits.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[allow(clippy::large_enum_variant, reason = "there is one of them")]
pub enum Stats {
    /// A set.
    Set(DatasetStats),
    /// A set with splits.
    Splits(SplitStats),
}

/// What `druse data convert` leaves.
#[derive(Serialize, JsonSchema)]
pub struct Converted {
    /// File or folder that was written; `-` for standard output.
    out: PathBuf,
    /// Its format.
    format: String,
    /// Structures written.
    structures: usize,
    /// Structures of the source that were left out.
    skipped: usize,
}

/// What `druse data split` leaves.
#[derive(Serialize, JsonSchema)]
pub struct Divided {
    /// The parts that hold a structure.
    parts: Vec<Part>,
}

/// A part of a set.
#[derive(Serialize, JsonSchema)]
struct Part {
    /// `train`, `val` or `test`.
    split: Split,
    /// Its file or folder.
    path: PathBuf,
    /// Its structures.
    structures: usize,
}

/// What `druse data fetch` leaves.
#[derive(Serialize, JsonSchema)]
pub struct Downloaded {
    /// The files of the set.
    files: Vec<FetchedFile>,
}

/// A file of a set.
#[derive(Serialize, JsonSchema)]
struct FetchedFile {
    /// Where it lies.
    path: PathBuf,
    /// `was there`, `copied` or `downloaded`.
    status: &'static str,
}

/// Runs the command.
pub fn run(command: DataCommand) -> crate::Outcome {
    match command {
        DataCommand::Stats(args) => stats(&args).map(Done::with),
        DataCommand::Convert(args) => convert(&args).map(Done::with),
        DataCommand::Split(args) => split(&args).map(Done::with),
        DataCommand::Fetch(args) => fetch_set(&args).map(Done::with),
    }
}

fn stats(args: &StatsArgs) -> Result<Stats, Failure> {
    let source = &args.source;
    let options = StatsOptions { symprec: (!args.no_symmetry).then_some(args.symprec) };
    let none = || Failure::mistake("the data set has no structures");
    let splits = Splits::open(&source.path)?;
    if splits.is_hashed() {
        let set = source.open(true)?;
        let stats = DatasetStats::read(&set, options)?.ok_or_else(none)?;
        say_filtered(&set, stats.count);
        console::data_line(&stats.to_string())?;
        return Ok(Stats::Set(stats));
    }
    let sets = splits.open_all(&source.options(true)?)?;
    sets.values().for_each(say_read);
    let stats = SplitStats::read(&splits.name(), &sets, options)?.ok_or_else(none)?;
    for (set, stats) in sets.values().zip(stats.splits.values()) {
        say_filtered(set, stats.count);
    }
    console::data_line(&stats.to_string())?;
    Ok(Stats::Splits(stats))
}

/// Says how many structures pass the filters.
fn say_filtered(set: &SetReader, count: usize) {
    if count < set.total() {
        console::note(&format!("{count} of {} structures pass the filters", set.total()));
    }
}

fn convert(args: &ConvertArgs) -> Result<Converted, Failure> {
    let out = args.out.as_ref().or(args.to.as_ref());
    let out = out.ok_or_else(|| Failure::mistake("no file or folder to write is named"))?;
    let format = match args.format {
        Some(format) => format,
        None => format_of(out)?,
    };
    let converted = |structures: usize, skipped: usize| Converted {
        out: out.clone(),
        format: format.name(),
        structures,
        skipped,
    };
    if let Some(symprec) = args.symmetrize {
        if format != Format::Cif.into() {
            return Err(Failure::mistake("--symmetrize writes CIF files: add --format cif"));
        }
        if is_stdout(out) {
            return Err(Failure::mistake("--symmetrize writes a folder, not to standard output"));
        }
        if !(symprec.is_finite() && symprec > 0.0) {
            return Err(Failure::mistake(format!(
                "--symmetrize {symprec}: expected a positive distance in Å"
            )));
        }
    }
    let to_images = format.format() == SetFormat::Crystens;
    if args.normalization.is_some() && !to_images {
        return Err(Failure::mistake("--normalization belongs to images: add --format crystens"));
    }
    if args.with_cif && format.format() != SetFormat::Parquet {
        return Err(Failure::mistake("--with-cif belongs to Parquet: add --format parquet"));
    }
    let images = ImageOptions {
        normalization: normalization(args.normalization.as_deref())?,
        max_skipped_share: args.source.max_skipped_share,
        gzip: format.is_gzip(),
        overwrite: args.overwrite,
    };
    let options = LoadOptions {
        decoding: args.decoding.of_source(&args.source.path)?,
        ..args.source.options(args.niggli)?
    };
    // What is made of a set in memory.
    let in_memory = || -> Result<Dataset, Failure> {
        let dataset = load(&args.source.path, &options)?;
        let Some(drawn) = draw(args, &dataset)? else { return Ok(dataset) };
        let few = Dataset::read(&drawn)?;
        Ok(Dataset { skipped: dataset.skipped, warnings: dataset.warnings, ..few })
    };
    if to_images && !is_stdout(out) {
        let dataset = in_memory()?;
        let skipped = write_image_file(&dataset, out, &images)?;
        skipped.iter().for_each(|structure| console::warn(&format!("skipped {structure}")));
        let written = dataset.len() - skipped.len();
        console::note(&format!("{written} images: {}", out.display()));
        return Ok(converted(written, skipped.len() + dataset.skipped.len()));
    }
    if is_stdout(out) && args.symmetrize.is_none() {
        let dataset = in_memory()?;
        write_set("--out", &dataset, out, format, args.overwrite)?;
        console::note(&format!("{} structures: -", dataset.len()));
        return Ok(converted(dataset.len(), dataset.skipped.len()));
    }
    let set = open(&args.source.path, &options)?;
    let drawn = draw(args, &set)?;
    let entries = Counted::new(drawn.as_ref().map_or(&set as &dyn Entries, |drawn| drawn));
    match args.symmetrize {
        Some(symprec) => write_symmetrized_folder(&entries, out, symprec, args.overwrite)?,
        #[cfg(feature = "parquet")]
        None if args.with_cif => {
            let options = druse_data::ParquetOptions { cif: true, overwrite: args.overwrite };
            druse_data::write_parquet(&entries, out, &options)?;
        }
        None => write_dataset(&entries, out, format, args.overwrite)?,
    }
    if drawn.is_none() {
        say_filtered(&set, entries.count());
    }
    console::note(&format!("{} structures: {}", entries.count(), out.display()));
    Ok(converted(entries.count(), set.skipped.len()))
}

/// The structures that are drawn, where some are.
fn draw<'a>(args: &ConvertArgs, set: &'a dyn Entries) -> Result<Option<Drawn<'a>>, Failure> {
    let Some(count) = args.random else { return Ok(None) };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Ok(Some(Drawn::new(set, count, args.seed.unwrap_or(0))?))
}

/// A set whose entries are counted as they are read.
struct Counted<'a> {
    set: &'a dyn Entries,
    count: Cell<usize>,
}

impl<'a> Counted<'a> {
    fn new(set: &'a dyn Entries) -> Self {
        Self { set, count: Cell::new(0) }
    }

    /// Entries of the last pass.
    fn count(&self) -> usize {
        self.count.get()
    }
}

impl Entries for Counted<'_> {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn for_each_block(
        &self,
        take: &mut dyn FnMut(&[Entry]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        self.count.set(0);
        self.set.for_each_block(&mut |block| {
            self.count.set(self.count.get() + block.len());
            take(block)
        })
    }

    fn how_read(&self) -> HowRead {
        self.set.how_read()
    }

    fn properties(&self) -> Result<BTreeMap<String, Kinds>, DataError> {
        self.set.properties()
    }
}

/// The normalization of a name or of a file of images; `None` for constants that are to be fitted.
fn normalization(name: Option<&str>) -> Result<Option<Normalization>, Failure> {
    Ok(Some(match name {
        None | Some("avg-std") => Normalization::published(),
        Some("fit") => return Ok(None),
        Some("divide-near-max") => Normalization::divide_near_max(),
        Some("divide-near-max-published") => Normalization::divide_near_max_published(),
        Some(file) if Path::new(file).is_file() => {
            let bytes = image_bytes(Path::new(file))?;
            ImageFile::parse(&bytes)
                .map_err(|source| DataError::Images { path: file.into(), source })?
                .header()
                .normalization
        }
        Some(other) => {
            return Err(Failure::mistake(format!(
                "--normalization {other}: expected avg-std, fit, divide-near-max, divide-near-max-published, or a file \
                 of images"
            )));
        }
    }))
}

fn split(args: &SplitArgs) -> Result<Divided, Failure> {
    let &[train, val, test] = args.fractions.as_slice() else {
        return Err(Failure::mistake("--fractions: expected three numbers, such as 0.8,0.1,0.1"));
    };
    let by = if args.by == By::Formula { SplitBy::Formula } else { SplitBy::Id };
    let options = SplitOptions { by, seed: args.seed, fractions: [train, val, test] };
    // Checks the fractions before anything is read.
    Splits::open_with(&args.source.path, options)?;
    let mut set = args.source.open(false)?;
    files::create_dir_all(&args.out)?;
    let mut parts = Vec::new();
    for split in Split::ALL {
        set.part(options, split);
        let part = Counted::new(&set);
        let path = args.out.join(args.format.file_name(split.name()));
        let written = write_dataset(&part, &path, args.format, false);
        let count = part.count();
        match written {
            // What the filters leave may be too little for three parts.
            Err(DataError::Empty { .. }) => {
                console::warn(&format!("no structure falls into {}", split.name()));
                continue;
            }
            written => written?,
        }
        let noun = if count == 1 { "structure" } else { "structures" };
        console::note(&format!("{count} {noun}: {}", path.display()));
        parts.push(Part { split, path, structures: count });
    }
    match parts.is_empty() {
        true => Err(Failure::mistake("no structure passes the filters")),
        false => Ok(Divided { parts }),
    }
}

fn fetch_set(args: &FetchArgs) -> Result<Downloaded, Failure> {
    let options = FetchOptions { from: args.from.clone(), ..FetchOptions::default() };
    let bar = console::bytes_bar();
    let fetched = fetch(&Manifest::built_in(), &args.name, &args.out, &options, &mut |p| {
        bar.set_length(p.total.unwrap_or(p.bytes));
        bar.set_position(p.bytes);
        bar.set_message(format!("{} ({}/{})", p.path, p.index + 1, p.files));
    });
    bar.finish();
    let fetched = fetched.map_err(|e| match e {
        FetchError::UnknownSet { .. } => Failure::mistake(e),
        e => Failure::environment(e).hint("a later call continues; --from DIR copies from a local mirror"),
    })?;
    let mut files = Vec::new();
    for (path, status) in fetched.files {
        let status = match status {
            FileStatus::Present => "was there",
            FileStatus::Copied => "copied",
            FileStatus::Downloaded { .. } => "downloaded",
        };
        console::note(&format!("{}: {status}", path.display()));
        files.push(FetchedFile { path, status });
    }
    Ok(Downloaded { files })
}
