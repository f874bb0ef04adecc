//! `druse sample`.

use std::path::PathBuf;

use clap::Args;
use druse_crystal::Composition;
use druse_data::LoadOptions;
use druse_models::{Condition, LatentCondition, ModelError, SampleRequest};
use druse_run::enumerate::{Limits, Totals, compositions, parse_system};
use druse_run::latent::{LatentRecord, read_latents};
use druse_run::sample::Wanted;

use super::sampling::{self, SamplingArgs};
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
    let mut model = load(args.model.as_deref(), &args.compute)?;
    let (wanted, count) = requested(args, &model)?;
    let stop = console::stop_flag()?;
    let summary = sampling::run(&args.sampling, &mut model, wanted, count, &stop)?;
    Ok(sampling::exit_code(&summary))
}

/// What to sample and the number of structures in all.
fn requested(args: &SampleArgs, model: &LoadedModel) -> Result<(Vec<Wanted>, u64), Failure> {
    let What { formula, system, like, latents } = &args.what;
    let (wanted, each): (Vec<Wanted>, u64) = if let Some(formula) = formula {
        let composition = Composition::parse(formula).map_err(|e| {
            Failure::mistake(e).hint("write the atoms of one cell, such as LiFeO2 or Ca2(OH)4")
        })?;
        (vec![composition.into()], 1)
    } else if let Some(system) = system {
        let all = compositions_of(system, args, model)?;
        let count = args.count.unwrap_or(1).saturating_mul(all.len() as u64);
        return Ok((all.into_iter().map(Wanted::from).collect(), count));
    } else if let Some(path) = like {
        let options = LoadOptions { niggli: false, ..LoadOptions::default() };
        let rows = druse_data::load(path, &options)?.entries.into_iter();
        let wanted = rows
            .map(|row| Wanted::from(Composition::from_species(&row.structure.species)).with("like", row.id));
        one_each(wanted)
    } else if let Some(path) = latents {
        let width = sampling::autoencoder(model)?.latent_width();
        one_each(read_latents(path, &model.hash, width)?.into_iter().map(|record| {
            let LatentRecord { id, latent, .. } = record;
            Wanted::latent(LatentCondition::new(latent), id.clone()).with("latent_of", id)
        }))
    } else if model.generator.capabilities().unconditional {
        (vec![Wanted::anything()], 1)
    } else {
        let kind = model.generator.kind();
        return Err(Failure::mistake(format!("a {kind} model has to be told what to sample"))
            .hint("add --formula, --system or --like"));
    };
    Ok((wanted, args.count.unwrap_or(each)))
}

/// The list, and its length as the number of structures.
fn one_each(wanted: impl Iterator<Item = Wanted>) -> (Vec<Wanted>, u64) {
    let wanted: Vec<Wanted> = wanted.collect();
    let count = wanted.len() as u64;
    (wanted, count)
}

/// The compositions of a chemical system.
fn compositions_of(
    system: &str,
    args: &SampleArgs,
    model: &LoadedModel,
) -> Result<Vec<Composition>, Failure> {
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
    Ok(all)
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
