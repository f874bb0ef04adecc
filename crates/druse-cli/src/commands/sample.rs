//! `druse sample`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use druse_crystal::{Composition, SpaceGroup, Template};
use druse_data::{Entry, LoadOptions};
use druse_models::{Condition, ConditionSet, Conditions};
use druse_run::RunError;
use druse_run::enumerate::{
    Limits, TemplateLimits, Totals, compositions, conditions_of, parse_sites, parse_system, templates,
};
use druse_run::latent::{LatentRecord, read_latents};
use druse_run::model::LoadedModel;
use druse_run::sample::Target;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
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
  druse sample --model runs/cells --space-group 225 --sites Na:1,Cl:1 --count 8 --out salt
  druse sample --model runs/cells --space-group 225 --wyckoff Na:4a,Cl:4b --count 8 --out rock-salt
  druse sample --model runs/cells --formula Na4Cl4 --max-templates 20 --out salts
  druse sample --model runs/cdvae --count 1000 --out generated    (models that draw compositions themselves)
  druse sample --formula LiFeO2 --count 8 --out - | druse relax - --out relaxed
  druse sample --system Li-Fe-O --count 128 --out part0 --shard 0/2    (and 1/2 elsewhere, then `druse merge`)

The folder holds structures.jsonl (one structure a line, as they are finished) and the files of the chosen format.
A structure depends on model, composition, seed and its index alone: not on batch size, threads, device type or shards.")]
pub struct SampleArgs {
    /// Checkpoint or folder of a training run [default: the shipped model].
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    what: What,
    /// Number of the space group, 1 to 230, with --formula, --sites or --wyckoff.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=230))]
    space_group: Option<u16>,
    /// Structures to sample; with --system, of each composition; with --like, in all [default there: one a row]; with
    /// --formula and a model that has to be told sites, in all [default there: one for each way to place the atoms].
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
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
    /// With --formula and a model that has to be told sites: most ways to place the atoms on Wyckoff positions, those first
    /// that the training data have most often.
    #[arg(long, value_name = "N", default_value_t = 100)]
    max_templates: usize,
    /// With --formula and a model that has to be told sites: most symmetrically distinct sites.
    #[arg(long, value_name = "N", default_value_t = 20)]
    max_sites: usize,
    /// With --like and a model that has to be told sites: leave open which Wyckoff positions they are on.
    #[arg(long, requires = "like", conflicts_with = "with_sites")]
    free_positions: bool,
    /// With --like and a model that can be told sites: the space groups and Wyckoff positions of the data set, beside its
    /// compositions.
    #[arg(long, requires = "like")]
    with_sites: bool,
    #[command(flatten)]
    pub compute: ComputeArgs,
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
    /// Symmetrically distinct sites in the space group, such as Na:1,Cl:1.
    #[arg(long, value_name = "SITES", requires = "space_group")]
    sites: Option<String>,
    /// Wyckoff positions in the space group, such as Na:4a,Cl:4b or Ti:2a,O:4f.
    #[arg(long, value_name = "POSITIONS", requires = "space_group")]
    wyckoff: Option<String>,
    /// The compositions of the cells of a data set; for a model that has to be told sites, their space groups and sites.
    #[arg(long, value_name = "DATASET", value_parser = input::path())]
    like: Option<PathBuf>,
    /// Latents that `druse encode` wrote.
    #[arg(long, value_name = "FILE", value_parser = input::path())]
    latents: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &SampleArgs) -> crate::Outcome {
    set_threads(args.compute.threads.unwrap_or(0))?;
    let model = sampling::configured(&args.sampling, load(args.model.as_deref(), &args.compute)?)?;
    let (targets, count) = requested(args, &model)?;
    let stop = console::stop_flag()?;
    let result = sampling::run(&args.sampling, &model, targets, count, &stop)?;
    let code = result.code();
    Ok(Done::with(result).code(code))
}

/// What models that are told sites have to know.
const SITES: ConditionSet = ConditionSet::of(&[Condition::SpaceGroup, Condition::Sites]);

const COMPOSITION: ConditionSet = ConditionSet::of(&[Condition::Composition]);

/// Reasons that are told for rows that are left out.
const MOST_REASONS: usize = 8;

/// What to sample and the number of structures in all.
pub fn requested(args: &SampleArgs, model: &LoadedModel) -> Result<(Vec<Target>, u64), Failure> {
    let What { formula, system, sites, wyckoff, like, latents } = &args.what;
    if args.space_group.is_some() && formula.is_none() && sites.is_none() && wyckoff.is_none() {
        return Err(Failure::mistake("a space group alone does not say what to sample")
            .hint("add --sites, --wyckoff or --formula"));
    }
    let (targets, each): (Vec<Target>, u64) = if let Some(formula) = formula {
        let composition = Composition::parse(formula).map_err(|e| {
            Failure::mistake(e).hint("write the atoms of one cell, such as LiFeO2 or Ca2(OH)4")
        })?;
        let mut target = Target::from(composition.clone());
        target.conditions.space_group = args.space_group;
        let capabilities = model.generator().map_err(lacking)?.capabilities();
        if !capabilities.serves(target.conditions.kinds()) && capabilities.serves(SITES) {
            templates_of(&composition, args, model)?
        } else {
            (vec![target], 1)
        }
    } else if let Some(system) = system {
        let all = compositions_of(system, args, model)?;
        let count = args.count.unwrap_or(1).saturating_mul(all.len() as u64);
        return Ok((all.into_iter().map(Target::from).collect(), count));
    } else if let (Some(text), Some(number)) = (sites, args.space_group) {
        let sites = parse_sites(text).map_err(Failure::mistake)?;
        let conditions = Conditions::default().and_space_group(number).and_sites(sites);
        (vec![Target::new(conditions, format!("{text} in space group {number}"))], 1)
    } else if let (Some(text), Some(number)) = (wyckoff, args.space_group) {
        let group = SpaceGroup::new(number).map_err(Failure::mistake)?;
        (vec![placed(&Template::parse(group, text).map_err(Failure::mistake)?)], 1)
    } else if let Some(path) = like {
        let options = LoadOptions { niggli: false, ..LoadOptions::default() };
        let rows = sets::load(path, &options)?.entries;
        one_each(like_rows(&rows, args, model)?.into_iter())
    } else if let Some(path) = latents {
        let width = model.autoencoder().map_err(lacking)?.latent_width();
        one_each(read_latents(path, &model.hash, width)?.into_iter().map(|record| {
            let LatentRecord { id, latent, .. } = record;
            Target::new(Conditions::latent(latent), id.clone()).with("latent_of", id)
        }))
    } else {
        let generator = model.generator().map_err(lacking)?;
        let capabilities = generator.capabilities();
        if !capabilities.serves(ConditionSet::NONE) {
            let kind = generator.kind();
            let hint = match capabilities.serves(SITES) {
                true => "add --space-group with --sites or --wyckoff, or --formula, or --like",
                false => "add --formula, --system or --like",
            };
            return Err(Failure::mistake(format!(
                "a model of the kind `{kind}` has to be told what to sample"
            ))
            .hint(hint));
        }
        (vec![Target::unconditional()], 1)
    };
    Ok((targets, args.count.unwrap_or(each)))
}

/// A template as a target.
fn placed(template: &Template) -> Target {
    let text = template.to_string();
    let positions = text.split_once(": ").map_or(text.as_str(), |(_, positions)| positions).to_owned();
    Target::new(conditions_of(template), text).with("wyckoff", positions)
}

/// The ways to place the atoms of a composition, and their number.
fn templates_of(
    composition: &Composition,
    args: &SampleArgs,
    model: &LoadedModel,
) -> Result<(Vec<Target>, u64), Failure> {
    let frequencies = model.generator().map_err(lacking)?.wyckoff_frequencies();
    let limits = TemplateLimits { max_sites: args.max_sites, count: args.max_templates.max(1) };
    let found = templates(composition, args.space_group, &frequencies, limits).map_err(RunError::from)?;
    let (listed, total) = (found.templates.len(), found.total);
    let left_out = match total > listed {
        true => format!("; {} more are left out (--max-templates)", total - listed),
        false => String::new(),
    };
    console::note(&format!(
        "{listed} ways to place {} on Wyckoff positions, {} of them as in the training data{left_out}",
        composition.formula(),
        found.known
    ));
    let formula = composition.formula();
    Ok(one_each(
        found.templates.iter().map(|template| placed(template).with("formula_asked", formula.clone())),
    ))
}

/// What the model can be asked for to make structures like those of a data set.
fn like_rows(rows: &[Entry], args: &SampleArgs, model: &LoadedModel) -> Result<Vec<Target>, Failure> {
    let generator = model.generator().map_err(lacking)?;
    let (mut targets, mut left_out) = (Vec::new(), BTreeMap::new());
    for row in rows {
        let composition = Composition::from_species(&row.structure.species);
        let conditions = match args.with_sites {
            true => generator.sites_like(&row.structure),
            false => generator.conditions_like(&row.structure),
        };
        if conditions.as_ref().is_ok_and(|conditions| conditions.kinds() == COMPOSITION) {
            targets.push(Target::from(composition).with("like", row.id.clone()));
            continue;
        }
        match conditions.and_then(|conditions| generator.check(&conditions).map(|()| conditions)) {
            Ok(mut conditions) => {
                if args.free_positions {
                    conditions.sites.iter_mut().flatten().for_each(|site| site.wyckoff = None);
                }
                targets.push(Target::new(conditions, composition.formula()).with("like", row.id.clone()));
            }
            Err(e) => left_out.entry(e.to_string()).or_insert_with(Vec::new).push(&row.id),
        }
    }
    for (reason, rows) in left_out.iter().take(MOST_REASONS) {
        let more = if rows.len() > 1 { format!(" and {} more", rows.len() - 1) } else { String::new() };
        console::warn(&format!("{}{more} left out: {reason}", rows[0]));
    }
    if left_out.len() > MOST_REASONS {
        let rows: usize = left_out.values().skip(MOST_REASONS).map(Vec::len).sum();
        console::warn(&format!("{rows} more structures are left out"));
    }
    if targets.is_empty() {
        return Err(Failure::mistake("the set has no structure that the model can make another like"));
    }
    Ok(targets)
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
