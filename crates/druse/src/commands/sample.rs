//! `druse sample`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};
use druse_crystal::Composition;
use druse_data::LoadOptions;
use druse_models::{Condition, ModelError, SampleRequest};
use druse_run::enumerate::{Limits, Totals, compositions, parse_system};
use druse_run::output::{FAILURES_FILE, OutputFormat, STRUCTURES_FILE};
use druse_run::sample::{Crew, SamplePlan, Shard, sample};
use druse_run::{Event, RunFolder};

use crate::console;
use crate::failure::Failure;
use crate::model_source::{ComputeArgs, LoadedModel, load, set_threads};

/// Arguments of `druse sample`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse sample --formula LiFeO2 --count 8 --out lifeo2
  druse sample --model runs/mp20 --formula 'Ca(OH)2' --count 16 --seed 7 --format poscar --out caoh2
  druse sample --system Li-Fe-O --count 128 --max-atoms 12 --out hull
  druse sample --like data/mp_20/test.csv --out test-compositions --resume
  druse sample --system Li-Fe-O --count 128 --out part0 --shard 0/2    (and 1/2 elsewhere, then `druse merge`)

The folder holds structures.jsonl (one structure a line, as they are finished) and the files of the chosen format.
A structure depends on model, composition, seed and its index alone: not on batch size, threads, device type or shards.")]
pub struct SampleArgs {
    /// Checkpoint or folder of a training run [default: the shipped model].
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    #[command(flatten)]
    what: What,
    /// Structures to sample; with --system, of each composition; with --like, in all [default there: one a row].
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Another seed, other structures.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Folder for the structures.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Files to write besides structures.jsonl.
    #[arg(long, value_enum, default_value_t = FormatArg::Cif)]
    format: FormatArg,
    /// Structures in flight at a time on an accelerator; the CPU works on one a thread.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Continue in a folder that holds part of the structures.
    #[arg(long)]
    resume: bool,
    /// Sample only the structures whose index leaves the remainder i when divided by n.
    #[arg(long, value_name = "i/n", default_value_t)]
    shard: Shard,
    /// With --system: largest number of atoms of a formula unit.
    #[arg(long, value_name = "N", default_value_t = 16)]
    max_unit: u32,
    /// With --system: only formula units whose number of atoms divides --max-unit (the published composition grid).
    #[arg(long)]
    grid: bool,
    /// With --system: largest number of formula units in a cell.
    #[arg(long, value_name = "N", default_value_t = 4)]
    max_units: u32,
    /// With --system: largest number of atoms in a cell [default: what the model was trained for].
    #[arg(long, value_name = "N")]
    max_atoms: Option<usize>,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// What to sample.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The atoms of one cell, such as LiFeO2 or Ca2(OH)4.
    #[arg(long)]
    formula: Option<String>,
    /// All compositions of a chemical system and its parts, such as Li-Fe-O.
    #[arg(long, value_name = "A-B-C")]
    system: Option<String>,
    /// The compositions of the cells of a data set.
    #[arg(long, value_name = "DATASET")]
    like: Option<PathBuf>,
}

/// Names of the output formats.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// A CIF file a structure.
    Cif,
    /// A POSCAR file a structure.
    Poscar,
    /// One extended XYZ file.
    Extxyz,
    /// Only structures.jsonl.
    Jsonl,
}

impl From<FormatArg> for OutputFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Cif => Self::Cif,
            FormatArg::Poscar => Self::Poscar,
            FormatArg::Extxyz => Self::Extxyz,
            FormatArg::Jsonl => Self::Jsonl,
        }
    }
}

/// Runs the command.
pub fn run(args: &SampleArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let model = load(args.model.as_deref(), &args.compute)?;
    let (compositions, count) = requested(args, &model)?;
    let plan = SamplePlan {
        compositions,
        count,
        seed: args.seed,
        model: model.hash.clone(),
        shard: args.shard,
        precision: model.params.precision(),
        format: args.format.into(),
        crew: Crew::for_device(model.params.device(), args.batch_size as usize),
        resume: args.resume,
    };
    let folder = RunFolder::open(&args.out)?;
    let stop = console::stop_flag()?;
    let begun = Instant::now();
    let share = (0..count).filter(|i| i % args.shard.count == args.shard.index).count();
    let bar = console::bar(share as u64, "{bar:24} {pos}/{len} structures {msg} {eta_precise} left");
    console::note(&format!("sampling {share} structures with the {}", model.name));
    let mut watch = |event: Event<'_>| match event {
        Event::SamplingStep { done, in_flight } => {
            bar.set_position(done as u64);
            bar.set_message(format!("{in_flight} in flight"));
        }
        Event::MemoryLimit { atoms } => bar.suspend(|| console::memory_limit(atoms)),
        Event::Sampled { index, failure: Some(reason) } => {
            bar.suspend(|| console::warn(&format!("structure {index}: {reason}")));
        }
        _ => {}
    };
    let summary = sample(model.generator.as_ref(), &model.params, &plan, &folder, &mut watch, &stop);
    bar.finish_and_clear();
    let summary = summary?;
    let (out, seconds) = (args.out.display(), begun.elapsed().as_secs_f64());
    let found = if summary.found > 0 { format!(" ({} were there)", summary.found) } else { String::new() };
    console::note(&format!(
        "{} structures in {seconds:.1} s{found}: {out}/{STRUCTURES_FILE}",
        summary.sampled
    ));
    if summary.failed > 0 {
        console::warn(&format!("{} structures failed: {out}/{FAILURES_FILE}", summary.failed));
    }
    if summary.interrupted {
        console::note("interrupted; continue with --resume");
        return Ok(ExitCode::from(130));
    }
    if summary.sampled == 0 && summary.found == 0 && summary.failed > 0 {
        return Err(Failure::environment("every structure failed"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The compositions to sample and the number of structures over all of them.
fn requested(args: &SampleArgs, model: &LoadedModel) -> Result<(Vec<Composition>, u64), Failure> {
    if let Some(formula) = &args.what.formula {
        let composition = Composition::parse(formula).map_err(|e| {
            Failure::mistake(e).hint("write the atoms of one cell, such as LiFeO2 or Ca2(OH)4")
        })?;
        return Ok((vec![composition], args.count.unwrap_or(1)));
    }
    if let Some(system) = &args.what.system {
        let totals = if args.grid { Totals::Dividing(args.max_unit) } else { Totals::UpTo(args.max_unit) };
        let mut limits = Limits { totals, multiples: args.max_units, ..Limits::default() };
        limits.max_atoms = args.max_atoms.unwrap_or(usize::MAX);
        let elements = parse_system(system)?;
        let mut all = compositions(&elements, &limits)?;
        if args.max_atoms.is_none() {
            // The list is sorted by size: the model's answer to the last one tells its limit.
            while let Some(limit) = all.last().and_then(|c| too_large(model, c)) {
                all.retain(|c| c.num_atoms() <= limit);
            }
        }
        console::note(&format!("{} compositions of {system}", all.len()));
        let count = args.count.unwrap_or(1).saturating_mul(all.len() as u64);
        return Ok((all, count));
    }
    let path = args.what.like.as_ref().expect("clap requires one of the three");
    let options = LoadOptions { niggli: false, ..LoadOptions::default() };
    let dataset = druse_data::load(path, &options)?;
    let all: Vec<Composition> = dataset.structures().map(|s| Composition::from_species(&s.species)).collect();
    let count = args.count.unwrap_or(all.len() as u64);
    Ok((all, count))
}

/// The model's largest number of atoms, when this composition exceeds it.
fn too_large(model: &LoadedModel, composition: &Composition) -> Option<usize> {
    let condition = Condition::Composition(composition.clone());
    let request = SampleRequest { condition, seed: 0, index: 0 };
    match model.generator.check(&request) {
        Err(ModelError::TooManyAtoms { limit, atoms, .. }) if limit < atoms => Some(limit),
        _ => None,
    }
}
