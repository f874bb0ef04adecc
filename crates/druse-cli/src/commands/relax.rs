//! `druse relax`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::{Args, ValueEnum};
use druse_crystal::formats::Format;
use druse_data::Listing;
use druse_relax::{CellMode, FireSettings, Flight, LbfgsSettings, Optimizer, RelaxSettings};
use druse_run::output::{FAILURES_FILE, RunIdentity, STRUCTURES_FILE, SampleFormat, Shard};
use druse_run::potentials::{self, DEFAULT_POTENTIAL, POTENTIALS};
use druse_run::relax::{
    Disagreement, Energies, FolderRows, RelaxManifest, RelaxPlan, RelaxRow, RelaxSummary, RowSink,
    TABLE_FILE, relax,
};
use druse_run::{Event, RunError, RunFolder};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::formats::sample_format;
use crate::models::set_threads;
use crate::sets::{SourceArgs, is_stdout};
use crate::stream::Stream;

/// Arguments of `druse relax`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse relax generated/ --out relaxed
  druse relax generated.jsonl --out relaxed --fmax 0.1 --optimizer lbfgs
  druse relax 'POSCAR' --out high-pressure --pressure 20 --trajectory
  druse relax data/mp_20/test.csv --out relaxed --filter 'e_above_hull<0.1' --keep-symmetry
  druse relax argon.cif --out relaxed --potential argon.toml    (a pair potential; docs/relax.md shows the file)
  druse relax generated/ --out relaxed --potential sevennet,chgnet    (relaxed with the first; energies of both)
  druse relax generated/ --out part0 --shard 0/2    (and 1/2 elsewhere, then `druse merge`)

The folder holds structures.jsonl (one relaxed structure a line, as they are finished), failures.jsonl (those that came to \
nothing, and why), the files of the chosen format and, at the end, relaxed.csv with the figures of every row of the input: \
energies, forces, stress, steps, change of the volume, displacements. docs/relax.md defines them.
What becomes of a structure depends on it and the settings alone: not on the others, threads or shards.")]
pub struct RelaxArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Folder for the relaxed structures; `-` for standard output, where each is written as it ends, in any order.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[arg(long, value_name = "NAME|FILE,…", default_value = DEFAULT_POTENTIAL, help = potential_help())]
    pub potential: String,
    /// What of the cell is relaxed.
    #[arg(long, value_enum, default_value_t = CellArg::Full)]
    cell: CellArg,
    /// Optimizer.
    #[arg(long, value_enum, default_value_t = OptimizerArg::Fire)]
    optimizer: OptimizerArg,
    /// A constant of the optimizer, such as longest_step=0.1 (docs/relax.md lists them). Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    constants: Vec<String>,
    /// Converged when no generalized force, of an atom or of the cell, is larger (eV/Å).
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    fmax: f64,
    /// Most steps of a structure.
    #[arg(long, value_name = "N", default_value_t = 500)]
    steps: usize,
    /// External pressure.
    #[arg(long, value_name = "GPA", default_value_t = 0.0, allow_negative_numbers = true)]
    pressure: f64,
    /// Keep the space group of each structure; it is made exact first.
    #[arg(long)]
    keep_symmetry: bool,
    /// Distance tolerance (Å) at which the space group to keep is found.
    #[arg(long, value_name = "X", default_value_t = 0.01, requires = "keep_symmetry")]
    symprec: f64,
    /// Give a structure up when its volume has grown by this factor.
    #[arg(long, value_name = "X", default_value_t = RelaxSettings::default().largest_volume)]
    max_expansion: f64,
    /// Give a structure up when two atoms are closer (Å); 0 for never.
    #[arg(long, value_name = "X", default_value_t = RelaxSettings::default().min_distance)]
    min_distance: f64,
    /// Write the path of each structure, with forces, to trajectories/.
    #[arg(long)]
    trajectory: bool,
    /// Files to write besides structures.jsonl [default: cif]; with --out -, what is written [default: jsonl].
    #[arg(long, value_parser = sample_format())]
    format: Option<SampleFormat>,
    /// Continue in a folder that holds part of the structures.
    #[arg(long)]
    resume: bool,
    /// Relax only the rows of the input whose number, from 0, leaves the remainder i when divided by n.
    #[arg(long, value_name = "i/n", default_value_t)]
    shard: Shard,
    /// Structures that a thread evaluates together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Worker threads [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What of the cell is relaxed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CellArg {
    /// Nothing: positions alone.
    Fixed,
    /// Its shape, at constant volume.
    Shape,
    /// Its volume, at constant shape.
    Volume,
    /// Shape and volume.
    Full,
}

/// Optimizers.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OptimizerArg {
    /// Damped dynamics, as most published relaxations use: robust far from a minimum.
    Fire,
    /// Quasi-Newton with a line search: fewer evaluations near a minimum.
    Lbfgs,
}

impl OptimizerArg {
    /// The optimizer with its usual constants.
    pub(super) fn optimizer(self) -> Optimizer {
        match self {
            Self::Fire => Optimizer::Fire(FireSettings::default()),
            Self::Lbfgs => Optimizer::Lbfgs(LbfgsSettings::default()),
        }
    }
}

pub(super) fn potential_help() -> String {
    let all: Vec<String> = POTENTIALS.iter().map(|p| format!("{} ({})", p.name, p.about)).collect();
    format!(
        "Potential: {}; or a weight file of a network, or a TOML file with a pair potential. Of several, separated by commas, \
         the first relaxes, and all are asked for the energy of the relaxed structure",
        all.join("; ")
    )
}

impl RelaxArgs {
    /// What the options say of how structures are relaxed.
    pub fn settings(&self) -> Result<RelaxSettings, Failure> {
        let settings = RelaxSettings {
            cell: match self.cell {
                CellArg::Fixed => CellMode::Fixed,
                CellArg::Shape => CellMode::Shape,
                CellArg::Volume => CellMode::Volume,
                CellArg::Full => CellMode::Full,
            },
            optimizer: with_constants(&self.optimizer.optimizer(), &self.constants)?,
            fmax: self.fmax,
            steps: self.steps,
            pressure: self.pressure,
            symprec: self.keep_symmetry.then_some(self.symprec),
            largest_volume: self.max_expansion,
            min_distance: self.min_distance,
            trajectory: self.trajectory,
            ..RelaxSettings::default()
        };
        settings.validate().map_err(Failure::mistake)?;
        Ok(settings)
    }
}

impl RelaxArgs {
    /// What is relaxed, and how it is worked off.
    pub fn plan(&self, settings: RelaxSettings, potential: String) -> RelaxPlan {
        RelaxPlan {
            settings,
            potential,
            shard: self.shard,
            flight: Flight { per_worker: self.batch_size as usize, ..Flight::default() },
        }
    }

    /// The sink of a folder.
    pub fn rows<'a>(&self, folder: &'a RunFolder) -> FolderRows<'a> {
        FolderRows::new(folder, self.format.unwrap_or(SampleFormat::Structures(Format::Cif)), self.resume)
    }
}

/// The optimizer with some of its constants changed.
fn with_constants(optimizer: &Optimizer, changes: &[String]) -> Result<Optimizer, Failure> {
    let mut value = serde_json::to_value(optimizer).expect("constants are numbers");
    for change in changes {
        let (key, text) = change
            .split_once('=')
            .ok_or_else(|| Failure::mistake(format!("--set {change}: expected KEY=VALUE")))?;
        let (key, text) = (key.trim(), text.trim());
        let number: serde_json::Number =
            text.parse().map_err(|_| Failure::mistake(format!("--set {change}: `{text}` is no number")))?;
        let constants = value.as_object_mut().and_then(|kinds| kinds.values_mut().next()?.as_object_mut());
        let constants = constants.expect("an optimizer has a table of constants");
        let known = constants.keys().cloned().collect::<Vec<_>>().join(", ");
        match constants.get_mut(key) {
            Some(constant) => *constant = number.into(),
            None => {
                return Err(Failure::mistake(format!("--set {change}: the optimizer has no `{key}`"))
                    .hint(format!("its constants: {known}")));
            }
        }
    }
    serde_json::from_value(value)
        .map_err(|e| Failure::mistake(format!("--set {}: {e}", changes.join(" --set "))))
}

impl RelaxArgs {
    /// The sink that writes to stdout.
    fn stream(&self, structures: u64) -> Result<ToStdout, Failure> {
        for (given, option) in [(self.resume, "--resume"), (self.trajectory, "--trajectory")] {
            if given {
                return Err(Failure::mistake(format!(
                    "{option} needs a folder, and --out is standard output"
                )));
            }
        }
        Ok(ToStdout(Stream::open("--out", self.format.unwrap_or(SampleFormat::Jsonl), structures)?))
    }

    fn result(
        &self,
        listing: &Listing,
        potential: &str,
        summary: &RelaxSummary,
        seconds: f64,
    ) -> RelaxResult {
        let file = |name: &str| (!is_stdout(&self.out)).then(|| self.out.join(name));
        let disagreement = |(name, d): (&String, &Disagreement)| PotentialDifference {
            potential: name.clone(),
            structures: d.count,
            missing: d.missing,
            mean: d.mean_difference(),
            mean_size: d.mean_size(),
            largest: d.largest.as_ref().map(|(largest, _)| *largest),
            largest_of: d.largest.as_ref().map(|(_, id)| id.clone()),
        };
        RelaxResult {
            set: listing.name.clone(),
            potential: potential.to_owned(),
            out: self.out.clone(),
            structures_file: file(STRUCTURES_FILE),
            failures_file: file(FAILURES_FILE).filter(|_| summary.failed > 0),
            table: file(TABLE_FILE).filter(|_| !summary.interrupted),
            rows: summary.rows(),
            found: summary.found,
            converged: summary.converged(),
            failed: summary.failed,
            ends: summary.ends.iter().map(|(end, count)| ((*end).to_owned(), *count)).collect(),
            mean_steps: summary.mean_steps(),
            evaluations: summary.evaluations,
            differences: summary.disagreements.iter().map(disagreement).collect(),
            interrupted: summary.interrupted,
            seconds,
        }
    }
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct RelaxResult {
    /// Name of the set.
    set: String,
    /// The potential that relaxes.
    potential: String,
    /// Folder of the results; `-` for standard output.
    out: PathBuf,
    /// File of the relaxed structures, one a line.
    structures_file: Option<PathBuf>,
    /// File of the rows that came to nothing, with the reasons; `null` where there is none in this call.
    failures_file: Option<PathBuf>,
    /// Table with the figures of every row.
    table: Option<PathBuf>,
    /// Rows finished by this call.
    rows: u64,
    /// Rows that were there already.
    found: u64,
    /// Rows finished by this call whose relaxation converged.
    converged: u64,
    /// Rows finished by this call that give no structure.
    failed: u64,
    /// Rows finished by this call, by how they ended.
    ends: BTreeMap<String, u64>,
    /// Mean number of steps of the rows that were relaxed.
    mean_steps: f64,
    /// Evaluations of crystals by the potential.
    evaluations: u64,
    /// How other potentials differ from the one that relaxes.
    differences: Vec<PotentialDifference>,
    /// Whether it was stopped before the end; `--resume` continues.
    interrupted: bool,
    /// Seconds that the call took.
    seconds: f64,
}

/// Energies by another potential less those by the one that relaxes (eV/atom).
#[derive(Serialize, JsonSchema)]
struct PotentialDifference {
    /// The other potential.
    potential: String,
    /// Structures that both have an energy of.
    structures: u64,
    /// Structures that the other has no energy of.
    missing: u64,
    /// Mean of the differences.
    mean: f64,
    /// Mean of their sizes.
    mean_size: f64,
    /// The largest in size.
    largest: Option<f64>,
    /// Identifier of its structure.
    largest_of: Option<String>,
}

/// Standard output: relaxed structures as they end. What comes to nothing is said on stderr.
struct ToStdout(Stream);

impl RowSink for ToStdout {
    fn begin(&mut self, _: &RelaxPlan, _: &Listing) -> Result<BTreeSet<u64>, RunError> {
        Ok(BTreeSet::new())
    }

    fn put(&mut self, row: RelaxRow) -> Result<(), RunError> {
        row.line().map_or(Ok(()), |record| self.0.write(&record, RelaxManifest::SYMMETRIC))
    }

    fn finish(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// Runs the command.
pub fn run(args: &RelaxArgs) -> crate::Outcome {
    set_threads(args.threads.unwrap_or(0))?;
    run_until(args, || {
        console::stop_flag_saying("stopping; what is finished stays, what is in flight is lost")
    })
}

/// Runs the command in a program that may watch for interrupts already.
pub fn run_until(
    args: &RelaxArgs,
    stop: impl FnOnce() -> Result<Arc<AtomicBool>, Failure>,
) -> crate::Outcome {
    // Before anything is read or written.
    let settings = args.settings()?;
    let loaded = potentials::load(&args.potential).map_err(Failure::mistake)?;
    let listing = args.source.list()?;
    let plan = args.plan(settings, loaded.identity.clone());
    let share = (0..listing.len() as u64).filter(|&i| args.shard.holds(i)).count() as u64;
    let folder = match is_stdout(&args.out) {
        true => None,
        false => Some(RunFolder::open(&args.out)?),
    };
    let mut sink: Box<dyn RowSink> = match &folder {
        Some(folder) => Box::new(args.rows(folder)),
        None => Box::new(args.stream(share)?),
    };
    let stop = stop()?;
    let begun = Instant::now();
    let bar = console::bar(share, "structures");
    let potential = &*loaded.potential;
    let noun = if share == 1 { "structure" } else { "structures" };
    console::note(&format!("relaxing {share} {noun} with {}", potential.name()));
    let mut ended = 0;
    let lines = share <= MOST_LINES;
    let mut watch = |event: Event<'_>| match event {
        Event::Evaluated { evaluations } => bar.set_message(format!("{evaluations} evaluations")),
        Event::Relaxed { id, failure, energies, .. } => {
            ended += 1;
            bar.set_position(ended);
            if let Some(reason) = failure {
                bar.suspend(|| console::warn(&format!("{id}: {reason}")));
            }
            if let Some(energies) = energies.filter(|_| lines) {
                bar.suspend(|| console::note(&format!("{id}: {}", energies_text(energies))));
            }
        }
        _ => {}
    };
    let summary = relax(&listing, potential, &plan, &mut *sink, &mut watch, &stop);
    bar.finish();
    let summary = match summary {
        // Whoever read the structures has had enough: there is nobody to be told.
        Err(RunError::ReceiverGone) => {
            let seconds = begun.elapsed().as_secs_f64();
            return Ok(Done::with(args.result(
                &listing,
                potential.name(),
                &RelaxSummary::default(),
                seconds,
            )));
        }
        summary => summary?,
    };
    let seconds = begun.elapsed().as_secs_f64();
    tell(args, potential.name(), &summary, seconds);
    let result = args.result(&listing, potential.name(), &summary, seconds);
    if summary.interrupted {
        let how = if folder.is_some() { "interrupted; continue with --resume" } else { "interrupted" };
        console::note(how);
        return Ok(Done::with(result).code(130));
    }
    if summary.rows() > 0 && summary.failed == summary.rows() && summary.found == 0 {
        let failure = Failure::environment("no structure could be relaxed");
        return Err(match &folder {
            Some(_) => failure.hint(format!("{}/{FAILURES_FILE} says why", args.out.display())),
            None => failure,
        });
    }
    Ok(Done::with(result))
}

/// Most structures whose energies by several potentials are printed one by one.
const MOST_LINES: u64 = 20;

/// The energies of one structure.
fn energies_text(energies: &Energies) -> String {
    let (name, first) = &energies.first;
    let mut text = format!("{name} {first:.4}");
    for (name, energy) in &energies.others {
        match energy {
            Ok(energy) => text += &format!(", {name} {energy:.4}"),
            Err(reason) => text += &format!(", {name}: {reason}"),
        }
    }
    if let (Some(mean), Some(difference)) = (energies.mean(), energies.difference()) {
        text += &format!("; mean {mean:.4}, difference {difference:+.4}");
    }
    text + " eV/atom"
}

/// How another potential differs from the one that relaxes.
fn disagreement_text(first: &str, other: &str, disagreement: &Disagreement) -> String {
    let d = disagreement;
    let missing =
        if d.missing > 0 { format!("; {other} has no energy of {}", d.missing) } else { String::new() };
    let Some((largest, id)) = &d.largest else {
        return format!("{other} has no energy of any of {} structures", d.missing);
    };
    format!(
        "energies of {} structures: mean of {first} and {other} {:.4}; {other} minus {first} {:+.4} on average, size {:.4}, \
         largest {largest:+.4} ({id}) eV/atom{missing}",
        d.count,
        d.mean_energy(),
        d.mean_difference(),
        d.mean_size()
    )
}

/// Says what came of it.
fn tell(args: &RelaxArgs, potential: &str, summary: &RelaxSummary, seconds: f64) {
    let place = |file: &str| match is_stdout(&args.out) {
        true => String::new(),
        false => format!(": {}/{file}", args.out.display()),
    };
    let (rows, converged) = (summary.rows(), summary.converged());
    let found = if summary.found > 0 { format!(" ({} were there)", summary.found) } else { String::new() };
    console::note(&format!(
        "{converged} of {rows} structures converged{found}, {:.1} steps a structure, {} evaluations in {seconds:.1} s{}",
        summary.mean_steps(),
        summary.evaluations,
        place(TABLE_FILE)
    ));
    let others: Vec<String> = summary
        .ends
        .iter()
        .filter(|(end, _)| **end != "converged")
        .map(|(end, count)| format!("{count} {end}"))
        .collect();
    if !others.is_empty() {
        console::note(&format!("not converged: {}", others.join(", ")));
    }
    for (name, disagreement) in &summary.disagreements {
        console::note(&disagreement_text(potential, name, disagreement));
    }
    if summary.failed > 0 {
        console::warn(&format!("{} rows give no relaxed structure{}", summary.failed, place(FAILURES_FILE)));
    }
}
