//! `druse screen`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use druse_evaluate::hull::OPTIMISTIC;
use druse_metrics::matcher::StructureMatcher;
use druse_metrics::novelty::{Comparison, Sameness};
use druse_relax::{Flight, RelaxSettings};
use druse_run::RunFolder;
use druse_run::potentials::{self, DEFAULT_POTENTIAL};
use druse_run::screen::{
    BEST_FOLDER, FORMATION_ENERGY, Funnel, ReferenceSummary, ScreenInputs, ScreenRow, ScreenSettings,
    Screening, TABLE_FILE, screen,
};

use super::relax::{OptimizerArg, potential_help};
use crate::console;
use crate::failure::Failure;
use crate::models::set_threads;
use crate::sets::{SourceArgs, read_energies};

/// A fit of elements that leaves more (eV/atom) is warned of.
const DOUBTFUL_FIT: f64 = 0.1;
/// Ranked candidates that are printed.
const PRINTED: usize = 10;

/// Arguments of `druse screen`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse sample --system Li-Fe-O --count 100 --out generated
  druse screen generated --reference data/mp_20 --out screened
  druse screen generated --reference data/mp_20 --out screened --resume
  druse screen generated --reference data/mp_20 --train data/mp_20/train.csv --out screened --relax-references

Validity, duplicates, relaxation, duplicates of the relaxed structures, energy above hull, novelty, ranking: screen.csv and \
screen.jsonl have a row for every row of the input, with its rank and figures or the gate where it fell and why; best/ has CIFs of \
the first in the ranking. The hull is made of energies by the same potential. docs/screen.md defines everything.")]
pub struct ScreenArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Structures that the hull is made of: a set, or a folder of its splits. Where it lacks elements, a column of formation
    /// energies is needed.
    #[arg(long, value_name = "DATA")]
    reference: PathBuf,
    /// Known structures, for novelty [default: the reference].
    #[arg(long, value_name = "DATA")]
    train: Option<PathBuf>,
    /// Folder for the results.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_POTENTIAL, help = potential_help())]
    pub potential: String,
    /// Let compositions fall that cannot be neutral, mixed valence allowed [default: only say so].
    #[arg(long)]
    charge_neutral: bool,
    /// Optimizer.
    #[arg(long, value_enum, default_value_t = OptimizerArg::Fire)]
    optimizer: OptimizerArg,
    /// Converged when no generalized force, of an atom or of the cell, is larger (eV/Å).
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    fmax: f64,
    /// Most steps of a structure; one that has not converged then goes on as it is.
    #[arg(long, value_name = "N", default_value_t = 500)]
    steps: usize,
    /// Keep the space group of each structure; it is made exact first.
    #[arg(long)]
    keep_symmetry: bool,
    /// Relax the reference, too, in place of evaluating its structures as they are.
    #[arg(long)]
    relax_references: bool,
    /// Column of the reference with formation energies (eV/atom), for elements that it has no structure of.
    #[arg(long, value_name = "COLUMN", default_value = FORMATION_ENERGY)]
    formation_energy: String,
    /// Energy above hull (eV/atom) up to which a candidate is marked as `within`.
    #[arg(long, value_name = "X", default_value_t = 0.1, allow_negative_numbers = true)]
    max_e_above_hull: f64,
    /// Write CIFs of so many, the best first.
    #[arg(long, value_name = "N", default_value_t = 20)]
    keep: usize,
    /// Continue in a folder that holds part of the same screening.
    #[arg(long)]
    pub resume: bool,
    /// Structures that a thread evaluates together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Worker threads [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl ScreenArgs {
    /// Structures in flight.
    pub fn flight(&self) -> Flight {
        Flight { per_worker: self.batch_size as usize, ..Flight::default() }
    }

    /// What the options say of how candidates are screened.
    pub fn settings(&self) -> Result<ScreenSettings, Failure> {
        if !self.max_e_above_hull.is_finite() {
            let text = format!("--max-e-above-hull {}: expected a number", self.max_e_above_hull);
            return Err(Failure::mistake(text));
        }
        let relax = RelaxSettings {
            optimizer: self.optimizer.optimizer(),
            fmax: self.fmax,
            steps: self.steps,
            symprec: self.keep_symmetry.then_some(0.01),
            ..RelaxSettings::default()
        };
        relax.validate().map_err(Failure::mistake)?;
        Ok(ScreenSettings {
            relax,
            relax_references: self.relax_references,
            charge_neutral: self.charge_neutral,
            max_e_above_hull: self.max_e_above_hull,
            keep: self.keep,
            sameness: Sameness {
                matcher: StructureMatcher::default(),
                comparison: Comparison::EitherWay,
                substitution: None,
            },
            formation_energy: self.formation_energy.clone(),
        })
    }
}

/// Runs the command.
pub fn run(args: &ScreenArgs) -> crate::Outcome {
    set_threads(args.threads.unwrap_or(0))?;
    // Before anything is read or written.
    let settings = args.settings()?;
    let potential = potentials::load(&args.potential).map_err(Failure::mistake)?;
    let candidates = args.source.list()?;
    let reference = read_energies(&args.reference, args.source.strict())?;
    let train = args.train.as_deref().map(|path| read_energies(path, args.source.strict())).transpose()?;
    let folder = RunFolder::open(&args.out)?;
    let stop = console::stop_flag_saying("stopping; what is finished stays, what is in flight is lost")?;
    let begun = Instant::now();
    console::note(&format!(
        "screening {} rows of {} with {} against {}",
        candidates.len(),
        candidates.name,
        potential.potential.name(),
        reference.name
    ));
    let inputs = ScreenInputs {
        candidates: &candidates,
        reference: &reference,
        train: train.as_ref(),
        potential: &potential,
        flight: args.flight(),
    };
    let found = console::Progress::of(|watch| screen(inputs, &settings, &folder, args.resume, watch, &stop))?;
    let Some(Screening { rows, funnel, references }) = found else {
        console::note("interrupted; continue with --resume");
        return Ok(ExitCode::from(130));
    };
    console::data(&tell(&rows, &funnel, &settings))?;
    tell_references(&references, &settings);
    console::note(&format!("note: {OPTIMISTIC}"));
    let out = args.out.display();
    console::note(&format!(
        "{:.1} s: {out}/{TABLE_FILE}, {out}/{BEST_FOLDER}",
        begun.elapsed().as_secs_f64()
    ));
    if funnel.ranked == 0 {
        return Err(Failure::environment("no candidate reached the ranking")
            .hint(format!("{out}/{TABLE_FILE} says where each fell and why")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The funnel and the first of the ranking.
fn tell(rows: &[ScreenRow], funnel: &Funnel, settings: &ScreenSettings) -> String {
    let mut text = format!("{:<18} {:>8} {:>6}  reasons\n", "gate", "entered", "fell");
    for gate in &funnel.gates {
        let reasons: Vec<String> =
            gate.reasons.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let line = format!("{:<18} {:>8} {:>6}  {}", gate.gate, gate.entered, gate.fell, reasons.join(", "));
        text += &format!("{}\n", line.trim_end());
    }
    text += &format!("{:<18} {:>8}\n", "ranked", funnel.ranked);
    text += &format!(
        "of these: {} within {} eV/atom of the hull, {} novel, {} both; {} not converged\n",
        funnel.within, settings.max_e_above_hull, funnel.novel, funnel.within_and_novel, funnel.not_converged
    );
    if funnel.rest_on_fit > 0 {
        text += &format!(
            "{} of the ranked have a hull that rests on fitted energies of elements (*): they come last, and whether they are \
             within is left open\n",
            funnel.rest_on_fit
        );
    }
    if funnel.ranked == 0 {
        return text;
    }
    text += &format!("\n{:>4} {:>12} {:<6} {:<16} {}\n", "rank", "e_above_hull", "novel", "formula", "id");
    for row in rows.iter().take(PRINTED.min(funnel.ranked)) {
        let novel = if row.novel == Some(true) { "yes" } else { "no" };
        let above = row.e_above_hull.unwrap_or(f64::NAN);
        let rank = row.rank.unwrap_or(0);
        let mark = if row.rests_on_fit() { "*" } else { "" };
        let above = format!("{above:.4}{mark}");
        text += &format!("{rank:>4} {above:>12} {novel:<6} {:<16} {}\n", row.formula, row.id);
    }
    text
}

/// What the hull is made of, and how far it can be trusted.
fn tell_references(references: &ReferenceSummary, settings: &ScreenSettings) {
    let names = |elements: &[druse_crystal::Element]| {
        elements.iter().map(|e| e.symbol()).collect::<Vec<_>>().join(", ")
    };
    console::note(&format!("{}, {} rows gave no energy", references.hull, references.failed));
    let fit = &references.fit;
    if let (false, Some(rms)) = (fit.energies.is_empty(), fit.rms) {
        let fitted: Vec<druse_crystal::Element> = fit.energies.keys().copied().collect();
        let text = format!(
            "the reference has no structure of {}: energies of these elements are fitted to `{}` of {} compounds, RMS error {rms:.4} eV/atom",
            names(&fitted),
            settings.formation_energy,
            fit.compounds
        );
        if rms > DOUBTFUL_FIT {
            console::warn(&format!("{text}; formation energies are no better than that"));
        } else {
            console::note(&text);
        }
        console::warn(
            "this error is that of the compounds fitted; away from them, as for alloys where all compounds are oxides, a fitted \
             element can be off by eV/atom. Add structures of the elements to the reference where the potential treats them and \
             their compounds alike (docs/screen.md)",
        );
        if fit.compounds <= fit.energies.len() {
            console::warn("the fit has no more compounds than elements: its error cannot be told");
        }
    }
    if !fit.undetermined.is_empty() {
        console::warn(&format!(
            "no reference energy of {}: the reference has no structure of it, and `{}` of its compounds does not tell it; \
             candidates with it have no hull",
            names(&fit.undetermined),
            settings.formation_energy
        ));
    }
}
