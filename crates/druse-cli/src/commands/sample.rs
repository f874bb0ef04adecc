//! `druse sample`.

use std::path::PathBuf;

use clap::Args;
use druse_crystal::Composition;
use druse_data::LoadOptions;
use druse_models::{ConditionSet, Conditions};
use druse_run::enumerate::{Limits, Totals, compositions, parse_system};
use druse_run::latent::{LatentRecord, read_latents};
use druse_run::model::LoadedModel;
use druse_run::sample::Target;

use crate::console;
use crate::failure::Failure;
use crate::models::{ComputeArgs, lacking, load, set_threads};
use crate::sampling::{self, SamplingArgs};
use crate::sets;

/// Arguments of `druse sample`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse sample --formula LiFeO2 --count 8 --out lifeo2
  druse sample --model runs/mp20 --formula 'Ca(OH)2' --count 16 --seed 7 --format poscar --out caoh2
  druse sample --system Li-Fe-O --count 128 --max-atoms 12 --out hull
  druse sample --like data/mp_20/test.csv --out test-compositions --resume
  druse sample --model runs/cdvae --count 1000 --out generated    (models that draw compositions themselves)
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
    #[command(flatten)]
    sampling: SamplingArgs,
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

/// What to sample [default, for models that can: whatever the model draws].
#[derive(Args)]
#[group(multiple = false)]
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
    /// Latents that `druse encode` wrote.
    #[arg(long, value_name = "FILE")]
    latents: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &SampleArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let model = sampling::configured(&args.sampling, load(args.model.as_deref(), &args.compute)?)?;
    let (targets, count) = requested(args, &model)?;
    let stop = console::stop_flag()?;
    let summary = sampling::run(&args.sampling, &model, targets, count, &stop)?;
    Ok(sampling::exit_code(&summary))
}

/// What to sample and the number of structures in all.
fn requested(args: &SampleArgs, model: &LoadedModel) -> Result<(Vec<Target>, u64), Failure> {
    let What { formula, system, like, latents } = &args.what;
    let (targets, each): (Vec<Target>, u64) = if let Some(formula) = formula {
        let composition = Composition::parse(formula).map_err(|e| {
            Failure::mistake(e).hint("write the atoms of one cell, such as LiFeO2 or Ca2(OH)4")
        })?;
        (vec![composition.into()], 1)
    } else if let Some(system) = system {
        let all = compositions_of(system, args, model)?;
        let count = args.count.unwrap_or(1).saturating_mul(all.len() as u64);
        return Ok((all.into_iter().map(Target::from).collect(), count));
    } else if let Some(path) = like {
        let options = LoadOptions { niggli: false, ..LoadOptions::default() };
        let rows = sets::load(path, &options)?.entries.into_iter();
        let targets = rows
            .map(|row| Target::from(Composition::from_species(&row.structure.species)).with("like", row.id));
        one_each(targets)
    } else if let Some(path) = latents {
        let width = model.autoencoder().map_err(lacking)?.latent_width();
        one_each(read_latents(path, &model.hash, width)?.into_iter().map(|record| {
            let LatentRecord { id, latent, .. } = record;
            Target::new(Conditions::latent(latent), id.clone()).with("latent_of", id)
        }))
    } else {
        let generator = model.generator().map_err(lacking)?;
        if !generator.capabilities().serves(ConditionSet::NONE) {
            let kind = generator.kind();
            return Err(Failure::mistake(format!("a {kind} model has to be told what to sample"))
                .hint("add --formula, --system or --like"));
        }
        (vec![Target::unconditional()], 1)
    };
    Ok((targets, args.count.unwrap_or(each)))
}

/// The list, and its length as the number of structures.
fn one_each(targets: impl Iterator<Item = Target>) -> (Vec<Target>, u64) {
    let targets: Vec<Target> = targets.collect();
    let count = targets.len() as u64;
    (targets, count)
}

/// The compositions of a chemical system.
fn compositions_of(
    system: &str,
    args: &SampleArgs,
    model: &LoadedModel,
) -> Result<Vec<Composition>, Failure> {
    let totals = if args.grid { Totals::Dividing(args.max_unit) } else { Totals::UpTo(args.max_unit) };
    let mut limits = Limits { totals, multiples: args.max_units, ..Limits::default() };
    let most = model.generator().map_err(lacking)?.capabilities().max_atoms;
    limits.max_atoms = args.max_atoms.or(most).unwrap_or(usize::MAX);
    let all = compositions(&parse_system(system)?, &limits)?;
    console::note(&format!("{} compositions of {system}", all.len()));
    Ok(all)
}
