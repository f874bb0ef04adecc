//! `druse sample`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Args, ValueEnum};
use druse_crystal::{Composition, Element, SpaceGroup, Template};
use druse_data::{Entry, LoadOptions};
use druse_models::{Capabilities, Condition, ConditionSet, Conditions};
use druse_run::RunError;
use druse_run::enumerate::{
    Limits, TemplateLimits, Totals, compositions, conditions_of, parse_sites, parse_space_group,
    parse_system, templates,
};
use druse_run::latent::{LatentRecord, read_latents};
use druse_run::model::LoadedModel;
use druse_run::output::STRUCTURES_FILE;
use druse_run::sample::Target;

use super::{rank, relax};
use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::{ComputeArgs, lacking, load, registry, set_threads};
use crate::options::parse;
use crate::sampling::{self, SamplingArgs};
use crate::sets;

/// Arguments of `druse sample`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse sample --formula LiFeO2 --count 8 --out lifeo2
  druse sample --model runs/mp20 --formula 'Ca(OH)2' --count 16 --seed 7 --format poscar --out caoh2
  druse sample --count 1000 --out new                                 (crystals with any elements)
  druse sample --system Li-Fe-O --atoms 8 --count 20 --out lithium-ferrates
  druse sample --system Li-Fe-O --count 8 --max-atoms 12 --out hull    (8 for each composition)
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
    /// Elements, such as Li-Fe-O: crystals of all of them, drawn by a model that can. Where each composition of the system
    /// and its parts is asked for (--each-composition, or a limit of theirs), and for models of compositions, so many of each.
    #[arg(long, value_name = "A-B-C", conflicts_with_all = ["sites", "wyckoff", "like", "latents"])]
    system: Option<String>,
    /// Atoms of the primitive cell, for a model that draws compositions.
    #[arg(long, value_name = "N", conflicts_with_all = ["sites", "wyckoff", "like", "latents"],
        value_parser = clap::value_parser!(u32).range(1..))]
    atoms: Option<u32>,
    /// Space group: its number, 1 to 230, or its Hermann–Mauguin symbol, such as Fm-3m or P2_1/c.
    #[arg(long, value_name = "GROUP", value_parser = parse_space_group)]
    space_group: Option<u16>,
    /// Structures to sample; with compositions of a system, of each; with --like, in all [default there: one a row]; with
    /// --formula and a model that has to be told sites, in all [default there: one for each way to place the atoms].
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// With --system: every composition over the elements and their subsets, within the limits below.
    #[arg(long, requires = "system", conflicts_with = "formula")]
    each_composition: bool,
    /// Compositions of a system: largest number of atoms of a formula unit [default: 16].
    #[arg(long, value_name = "N", requires = "system")]
    max_unit: Option<u32>,
    /// Compositions of a system: only formula units whose number of atoms divides --max-unit (the published composition grid).
    #[arg(long, requires = "system")]
    grid: bool,
    /// Compositions of a system: largest number of formula units in a cell [default: 4].
    #[arg(long, value_name = "N", requires = "system")]
    max_units: Option<u32>,
    /// Compositions of a system: largest number of atoms in a cell [default: what the model was trained for].
    #[arg(long, value_name = "N", requires = "system")]
    max_atoms: Option<usize>,
    /// Refuse compositions that the model knows no template for, in place of drawing each atom by itself: the setting
    /// templates_only.
    #[arg(long)]
    templates_only: bool,
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
    /// Order of the candidates of a composition: as they come, or by ln p - w E in OUT/ranked.jsonl (`druse relax`, then `druse
    /// rank`, with the default potential).
    #[arg(long, value_enum, value_name = "BY", default_value_t = RankBy::Likelihood)]
    pub rank: RankBy,
    #[command(flatten)]
    pub compute: ComputeArgs,
}

/// What candidates are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RankBy {
    /// How likely the model finds them.
    Likelihood,
    /// That, and their energies as they come: some milliseconds a candidate (`druse relax --steps 0 --cell fixed`).
    Energy,
    /// The five best of a composition by these, once they are relaxed (`druse relax --optimizer lbfgs --fmax 0.1 --steps 100`, then
    /// `druse rank --weight 40`).
    Potential,
}

/// What to sample [default, for models that can: whatever the model draws].
#[derive(Args)]
#[group(multiple = false)]
struct What {
    /// The atoms of one cell, such as LiFeO2 or Ca2(OH)4.
    #[arg(long)]
    formula: Option<String>,
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
    let model = configured(args, load(args.model.as_deref(), &args.compute)?)?;
    let (targets, count) = requested(args, &model)?;
    let stop = console::stop_flag()?;
    let by_energy = args.rank != RankBy::Likelihood;
    if by_energy && args.sampling.shard.count > 1 {
        return Err(Failure::mistake("a shard holds a part of the candidates of a composition")
            .hint("merge the shards first; then `druse relax` and `druse rank`"));
    }
    if by_energy && args.sampling.to_stdout() {
        let text = "candidates are ordered in the folder of --out, which is standard output";
        return Err(Failure::mistake(text).hint("name a folder"));
    }
    let result = sampling::run(&args.sampling, &model, targets, count, &stop)?;
    let code = match by_energy && !result.interrupted() {
        true => order(&args.sampling, args.rank, &stop)?.exit_code(),
        false => result.code(),
    };
    Ok(Done::with(result).code(code))
}

/// Finds the energies of what was sampled and puts it in order: commands after this one.
fn order(args: &SamplingArgs, by: RankBy, stop: &Arc<AtomicBool>) -> crate::Outcome {
    let path = |name: &str| args.out.join(name).to_string_lossy().into_owned();
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let relaxed = |from: &str, to: &str, options: &[&str]| {
        let mut all = vec![format!("--out={}", path(to))];
        all.extend(words(&["--format=jsonl"]));
        all.extend(words(options));
        all.extend(args.resume.then(|| "--resume".to_owned()));
        all.extend(["--".to_owned(), path(from)]);
        relax::run_until(&parse("relax", &all)?, || Ok(stop.clone()))
    };
    let ranked = |from: &str, to: &str, options: &[&str]| {
        let mut all = vec![format!("--out={}", path(to)), "--overwrite".to_owned()];
        all.extend(words(options));
        all.extend(["--".to_owned(), path(from)]);
        rank::run(&parse("rank", &all)?)
    };
    let energies = relaxed(STRUCTURES_FILE, "energies", &["--steps=0", "--cell=fixed"])?;
    if stop.load(Ordering::Relaxed) {
        return Ok(energies);
    }
    if by == RankBy::Energy {
        return ranked("energies", RANKED, &[]);
    }
    ranked("energies", "best.jsonl", &["--keep=5"])?;
    let ended = relaxed("best.jsonl", "relaxed", &["--optimizer=lbfgs", "--fmax=0.1", "--steps=100"])?;
    match stop.load(Ordering::Relaxed) {
        true => Ok(ended),
        false => ranked("relaxed", RANKED, &["--weight=40"]),
    }
}

/// Candidates in their order.
const RANKED: &str = "ranked.jsonl";

/// The model with the sampling settings of the command line.
pub fn configured(args: &SampleArgs, model: LoadedModel) -> Result<LoadedModel, Failure> {
    let mut settings = Vec::new();
    if args.templates_only {
        let kind = registry().kind(&model.config.model.kind).map_err(RunError::from)?;
        if !kind.sampling_defaults().contains_key(TEMPLATES_ONLY) {
            return Err(Failure::mistake(format!(
                "models of the kind `{}` do without templates: --templates-only says nothing to them",
                kind.name()
            ))
            .hint("leave it out, or take a model of the kind `orbit`"));
        }
        settings.push(format!("{TEMPLATES_ONLY}=true"));
    }
    sampling::configured(&args.sampling, model, &settings)
}

/// The setting of models that can do without templates.
const TEMPLATES_ONLY: &str = "templates_only";

/// What models that are told sites have to know.
const SITES: ConditionSet = ConditionSet::of(&[Condition::SpaceGroup, Condition::Sites]);

const COMPOSITION: ConditionSet = ConditionSet::of(&[Condition::Composition]);

/// Atoms of the largest formula unit of a system's compositions.
const MOST_IN_UNIT: u32 = 16;

/// Reasons that are told for rows that are left out.
const MOST_REASONS: usize = 8;

/// What to sample and the number of structures in all.
pub fn requested(args: &SampleArgs, model: &LoadedModel) -> Result<(Vec<Target>, u64), Failure> {
    let What { formula, sites, wyckoff, like, latents } = &args.what;
    let system = args.system.as_deref().map(parse_system).transpose()?;
    let capabilities = model.generator().map_err(lacking)?.capabilities();
    let (targets, each): (Vec<Target>, u64) = if let Some(formula) = formula {
        let composition = Composition::parse(formula).map_err(|e| {
            Failure::mistake(e).hint("write the atoms of one cell, such as LiFeO2 or Ca2(OH)4")
        })?;
        agrees(&composition, system.as_deref(), args)?;
        let mut target = Target::from(composition.clone());
        target.conditions.space_group = args.space_group;
        if !capabilities.serves(target.conditions.kinds()) && capabilities.serves(SITES) {
            templates_of(&composition, args, model)?
        } else {
            (vec![target], 1)
        }
    } else if let Some(elements) = system.as_deref().filter(|_| lists_compositions(args, &capabilities)) {
        let all = compositions_of(elements, args, &capabilities)?;
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
        (vec![drawn(system.as_deref(), args, model)?], 1)
    };
    Ok((targets, args.count.unwrap_or(each)))
}

/// Whether a formula is of the system and the number of atoms that are asked for, too.
fn agrees(composition: &Composition, system: Option<&[Element]>, args: &SampleArgs) -> Result<(), Failure> {
    let formula = composition.formula();
    if let Some(system) = system
        && system.iter().copied().collect::<BTreeSet<_>>() != composition.elements().collect()
    {
        let mut of: Vec<Element> = composition.elements().collect();
        of.sort_by(|a, b| a.cmp_electronegativity(*b));
        let of: Vec<&str> = of.into_iter().map(Element::symbol).collect();
        let text = args.system.as_deref().unwrap_or_default();
        return Err(Failure::mistake(format!("{formula} is of the system {}, not of {text}", of.join("-")))
            .hint("leave out --system or --formula"));
    }
    let atoms = composition.num_atoms();
    if let Some(asked) = args.atoms.filter(|&n| n as usize != atoms) {
        return Err(Failure::mistake(format!("{formula} has {atoms} atoms, not {asked}"))
            .hint("write the atoms of one cell, and leave out --atoms"));
    }
    Ok(())
}

/// Whether a system stands for the list of its compositions.
fn lists_compositions(args: &SampleArgs, capabilities: &Capabilities) -> bool {
    let SampleArgs { each_composition, max_unit, grid, max_units, max_atoms, .. } = args;
    let limited = max_unit.is_some() || *grid || max_units.is_some() || max_atoms.is_some();
    let draws = capabilities.serves(ConditionSet::of(&[Condition::ChemicalSystem]));
    *each_composition || limited || (!draws && capabilities.serves(COMPOSITION))
}

/// A target without composition and sites: any crystal, or one with atoms, elements and a space group as asked for.
fn drawn(system: Option<&[Element]>, args: &SampleArgs, model: &LoadedModel) -> Result<Target, Failure> {
    let mut conditions = Conditions::default();
    let mut words = Vec::new();
    if let Some(system) = system {
        words.extend(args.system.clone());
        conditions = conditions.and_chemical_system(system.iter().copied().collect());
    }
    if let Some(atoms) = args.atoms {
        words.push(if atoms == 1 { "1 atom".to_owned() } else { format!("{atoms} atoms") });
        conditions = conditions.and_num_atoms(atoms as usize);
    }
    if let Some(number) = args.space_group {
        words.push(format!("space group {number}"));
        conditions = conditions.and_space_group(number);
    }
    let generator = model.generator().map_err(lacking)?;
    let capabilities = generator.capabilities();
    if !capabilities.serves(conditions.kinds()) && !capabilities.serves(ConditionSet::NONE) {
        let kind = generator.kind();
        let what = match words.is_empty() {
            true => format!("a model of the kind `{kind}` has to be told what to sample"),
            false => format!("{} does not say enough to a model of the kind `{kind}`", words.join(", ")),
        };
        let hint = match capabilities.serves(SITES) {
            true => "add --space-group with --sites or --wyckoff, or --formula, or --like",
            false => "add --formula, --system or --like",
        };
        return Err(Failure::mistake(what).hint(hint));
    }
    match words.is_empty() {
        true => Ok(Target::unconditional()),
        false => Ok(Target::new(conditions, words.join(", "))),
    }
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
    // The reasons that hold for most come first.
    let mut left_out: Vec<(String, Vec<_>)> = left_out.into_iter().collect();
    left_out.sort_by_key(|(_, rows)| Reverse(rows.len()));
    for (reason, rows) in left_out.iter().take(MOST_REASONS) {
        let more = if rows.len() > 1 { format!(" and {} more", rows.len() - 1) } else { String::new() };
        console::warn(&format!("{}{more} left out: {reason}", rows[0]));
    }
    if left_out.len() > MOST_REASONS {
        let rows: usize = left_out.iter().skip(MOST_REASONS).map(|(_, rows)| rows.len()).sum();
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
    elements: &[Element],
    args: &SampleArgs,
    capabilities: &Capabilities,
) -> Result<Vec<Composition>, Failure> {
    if args.space_group.is_some() {
        return Err(Failure::mistake("the compositions of a system are not asked for in a space group")
            .hint("leave out --space-group, or --each-composition and the limits of compositions"));
    }
    let default = Limits::default();
    let unit = args.max_unit.unwrap_or(MOST_IN_UNIT);
    let totals = if args.grid { Totals::Dividing(unit) } else { Totals::UpTo(unit) };
    let mut limits = Limits { totals, multiples: args.max_units.unwrap_or(default.multiples), ..default };
    limits.max_atoms = args.max_atoms.or(capabilities.max_atoms).unwrap_or(usize::MAX);
    let mut all = compositions(elements, &limits)?;
    let system = args.system.as_deref().unwrap_or_default();
    if let Some(atoms) = args.atoms {
        all.retain(|c| c.num_atoms() == atoms as usize);
        if all.is_empty() {
            return Err(Failure::mistake(format!(
                "no composition of {system} within the limits has {atoms} atoms"
            )));
        }
    }
    console::note(&format!("{} compositions of {system}", all.len()));
    Ok(all)
}
