//! `druse screen`.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use druse_crystal::files;
use druse_data::Cache;
use druse_evaluate::hull::OPTIMISTIC;
use druse_metrics::matcher::StructureMatcher;
use druse_metrics::novelty::{Comparison, Sameness};
use druse_relax::{Flight, LbfgsSettings, Optimizer, RelaxSettings};
use druse_run::RunFolder;
use druse_run::output::Shard;
use druse_run::potentials::{self, DEFAULT_POTENTIAL};
use druse_run::screen::{
    BEST_FOLDER, Corrections, FORMATION_ENERGY, Funnel, LINES_FILE, REPORT_FILE, ReferenceSummary,
    References, ScreenInputs, ScreenRow, ScreenSettings, Screened, Screening, TABLE_FILE, screen,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::relax::{OptimizerArg, potential_help};
use crate::answer::Done;
use crate::console;
use crate::failure::Failure;
use crate::input;
use crate::models::set_threads;
use crate::output;
use crate::sets::{SourceArgs, read_energies};

/// Formation energies that differ from the reference's by more on average (eV/atom) are warned of.
const DOUBTFUL: f64 = 0.15;
/// Anions whose differences are printed.
const ANIONS: usize = 6;
/// Ranked candidates that are printed.
const PRINTED: usize = 10;

/// Arguments of `druse screen`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse sample --system Li-Fe-O --count 100 --out generated
  druse screen generated --reference data/mp_20 --out screened
  druse screen generated --reference data/mp_20 --out screened --resume
  druse screen generated --reference data/mp_20 --train data/mp_20/train.csv --out screened --symmetrize
  druse screen generated --reference data/mp_20 --out part0 --shard 0/2    (and 1/2 elsewhere, then `druse merge`)

Validity, duplicates, relaxation, duplicates of the relaxed structures, energy above hull, novelty, ranking: screen.csv and \
screen.jsonl have a row for every row of the input, with its rank and figures or the gate where it fell and why; best/ has CIFs of \
the first in the ranking; report.html shows it all. The hull is made of energies by the same potential, of the reference and of \
crystals of the elements, which are computed once and kept in the cache. docs/screen.md defines everything.")]
pub struct ScreenArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Structures that the hull is made of: a set, or a folder of its splits. It need not hold the elements.
    #[arg(long, value_name = "DATA", value_parser = input::path())]
    reference: PathBuf,
    /// Known structures, for novelty [default: the reference].
    #[arg(long, value_name = "DATA", value_parser = input::path())]
    train: Option<PathBuf>,
    /// Folder for the results.
    #[arg(long, value_name = "DIR", value_parser = output::path())]
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
    /// Make the symmetry exact that structures have within so many Å (0.1 without a number), before they are relaxed.
    #[arg(long, value_name = "X", num_args = 0..=1, default_missing_value = "0.1")]
    symmetrize: Option<f64>,
    /// Energies of the reference.
    #[arg(long, value_enum, default_value_t = ReferencesArg::Relaxed)]
    references: ReferencesArg,
    /// Corrections of the potential's energies [default: mp2020 for SevenNet, which learned uncorrected energies].
    #[arg(long, value_enum)]
    corrections: Option<CorrectionsArg>,
    /// Column of the reference with formation energies (eV/atom): what `--references given` takes, and what the potential's are
    /// compared with.
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
    /// Relax only the candidates whose row, from 0, leaves the remainder i when divided by n; `druse merge` puts the parts
    /// together.
    #[arg(long, value_name = "i/n", default_value_t)]
    pub shard: Shard,
    /// Keep energies of the reference in the folder of results, not in the cache.
    #[arg(long)]
    no_cache: bool,
    /// Structures that a thread evaluates together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: u32,
    /// Worker threads [default: all].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Where energies of the reference are from.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ReferencesArg {
    /// The potential, after relaxation.
    Relaxed,
    /// The potential, for the structures as they are.
    AsTheyAre,
    /// The column of formation energies: another energy scale than the candidates'.
    Given,
}

/// Corrections of the potential's energies.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CorrectionsArg {
    /// None.
    None,
    /// MP2020: energies with GGA and with GGA+U on one scale, anions as measured.
    Mp2020,
}

impl ScreenArgs {
    /// Structures in flight.
    pub fn flight(&self) -> Flight {
        Flight { per_worker: self.batch_size as usize, ..Flight::default() }
    }

    /// Where energies of references are kept; `None` for the folder of results.
    pub fn energies(&self) -> Option<PathBuf> {
        energies_folder(self.no_cache)
    }

    /// What the options say of how candidates are screened with a potential.
    pub fn settings(&self, potential: &str) -> Result<ScreenSettings, Failure> {
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
        if let Some(x) = self.symmetrize.filter(|x| !(x.is_finite() && *x > 0.0)) {
            return Err(Failure::mistake(format!("--symmetrize {x}: expected a positive number")));
        }
        // Near their minima, where this takes the fewest steps; whatever relaxes the candidates, so that they are kept for all.
        let optimizer = Optimizer::Lbfgs(LbfgsSettings::default());
        let relax_references = RelaxSettings { optimizer, fmax: self.fmax, ..RelaxSettings::default() };
        Ok(ScreenSettings {
            relax,
            references: match self.references {
                ReferencesArg::Relaxed => References::Relaxed,
                ReferencesArg::AsTheyAre => References::AsTheyAre,
                ReferencesArg::Given => References::Given,
            },
            relax_references,
            corrections: match self.corrections {
                None => Corrections::of(potential),
                Some(CorrectionsArg::None) => Corrections::None,
                Some(CorrectionsArg::Mp2020) => Corrections::Mp2020,
            },
            symmetrize: self.symmetrize,
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

/// What the command leaves. Of a share of the candidates, or where it was stopped, all but `ending` and `out` is `null`.
#[derive(Serialize, JsonSchema)]
pub struct ScreenResult {
    /// `ranked`; `share` where a share of the candidates is relaxed, for `druse merge`; `interrupted`.
    ending: &'static str,
    /// Folder of the results.
    out: PathBuf,
    /// Table with a row for every candidate.
    table: Option<PathBuf>,
    /// The same as JSON Lines.
    rows_file: Option<PathBuf>,
    /// Page for a browser.
    report: Option<PathBuf>,
    /// Folder with CIFs of the best.
    best_folder: Option<PathBuf>,
    /// Where candidates fell, and how many are ranked.
    funnel: Option<Funnel>,
    /// What the hull is made of.
    references: Option<ReferenceSummary>,
    /// The first in the ranking, as many as `--keep` says.
    best: Option<Vec<ScreenRow>>,
    /// Seconds of the call.
    seconds: f64,
}

/// Runs the command.
pub fn run(args: &ScreenArgs) -> crate::Outcome {
    set_threads(args.threads.unwrap_or(0))?;
    // Before anything is read or written.
    let potential = potentials::load(&args.potential).map_err(Failure::mistake)?;
    let settings = args.settings(&potential.identity)?;
    let candidates = args.source.list()?;
    let reference = read_energies(&args.reference, args.source.strict())?;
    let train = args.train.as_deref().map(|path| read_energies(path, args.source.strict())).transpose()?;
    let folder = RunFolder::open(&args.out)?;
    let energies = args.energies();
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
        shard: args.shard,
        energies: energies.as_deref(),
    };
    let found = console::Progress::of(|watch| screen(inputs, &settings, &folder, args.resume, watch, &stop))?;
    let out = args.out.display();
    let unfinished = |ending| ScreenResult {
        ending,
        out: args.out.clone(),
        table: None,
        rows_file: None,
        report: None,
        best_folder: None,
        funnel: None,
        references: None,
        best: None,
        seconds: begun.elapsed().as_secs_f64(),
    };
    let Screening { rows, funnel, references, seconds } = match found {
        Screened::Whole(screening) => *screening,
        Screened::Share => {
            console::note(&format!(
                "share {} of the candidates is relaxed: {out}; when all are, `druse merge` puts them together",
                args.shard
            ));
            return Ok(Done::with(unfinished("share")));
        }
        Screened::Interrupted => {
            console::note("interrupted; continue with --resume");
            return Ok(Done::with(unfinished("interrupted")).code(130));
        }
    };
    console::data(&tell(&rows, &funnel, &settings))?;
    tell_references(&references, &settings);
    console::note(&format!("note: {OPTIMISTIC}"));
    let stages: Vec<String> = seconds.iter().map(|(stage, s)| format!("{stage} {s:.1}")).collect();
    console::note(&format!(
        "{:.1} s ({}): {out}/{TABLE_FILE}, {out}/{BEST_FOLDER}, {out}/{REPORT_FILE}",
        begun.elapsed().as_secs_f64(),
        stages.join(", ")
    ));
    if funnel.ranked == 0 {
        return Err(Failure::environment("no candidate reached the ranking")
            .hint(format!("{out}/{TABLE_FILE} says where each fell and why")));
    }
    let file = |name: &str| Some(args.out.join(name));
    let best = rows.into_iter().take(args.keep.min(funnel.ranked)).collect();
    Ok(Done::with(ScreenResult {
        table: file(TABLE_FILE),
        rows_file: file(LINES_FILE),
        report: file(REPORT_FILE),
        best_folder: file(BEST_FOLDER),
        funnel: Some(funnel),
        references: Some(references),
        best: Some(best),
        ..unfinished("ranked")
    }))
}

/// Where energies of the reference are kept; `None` for the folder of results.
fn energies_folder(no_cache: bool) -> Option<PathBuf> {
    let folder = Cache::Default.folder().filter(|_| !no_cache)?.join("energies");
    match files::create_dir_all(&folder) {
        Ok(()) => Some(folder),
        Err(e) => {
            console::warn(&format!("{e}; energies of the reference are kept in the folder of results"));
            None
        }
    }
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
    if funnel.ranked == 0 {
        return text;
    }
    text += &format!("\n{:>4} {:>12} {:<6} {:<16} {}\n", "rank", "e_above_hull", "novel", "formula", "id");
    for row in rows.iter().take(PRINTED.min(funnel.ranked)) {
        let novel = if row.novel == Some(true) { "yes" } else { "no" };
        let above = row.e_above_hull.unwrap_or(f64::NAN);
        let rank = row.rank.unwrap_or(0);
        let above = format!("{above:.4}");
        text += &format!("{rank:>4} {above:>12} {novel:<6} {:<16} {}\n", row.formula, row.id);
    }
    text
}

/// What the hull is made of, and how far it can be trusted.
fn tell_references(references: &ReferenceSummary, settings: &ScreenSettings) {
    let corrections = match references.corrections {
        Corrections::None => "no corrections".to_owned(),
        other => format!("corrections {}", other.name()),
    };
    console::note(&format!("{}, {corrections}; {} rows gave no energy", references.hull, references.failed));
    if let Some(found) = &references.agreement {
        let of = |d: &druse_run::screen::Differences| {
            format!("{:.3} on average (mean {:+.3}) over {}", d.mean_absolute, d.mean, d.compounds)
        };
        let groups: Vec<String> =
            found.by_anion.iter().take(ANIONS).map(|(e, d)| format!("{e}: {}", of(d))).collect();
        let text = format!(
            "formation energies by the potential differ from the reference's `{}` by {} compounds, in eV/atom; {}",
            settings.formation_energy,
            of(&found.all),
            groups.join("; ")
        );
        if found.all.mean_absolute > DOUBTFUL { console::warn(&text) } else { console::note(&text) }
    }
    if references.energies == References::Given {
        console::warn(
            "energies of the reference are given, those of the candidates are the potential's: two energy scales, and its errors \
             of formation energies are errors of the energies above hull",
        );
    }
    if !references.missing.is_empty() {
        let names: Vec<&str> = references.missing.iter().map(|e| e.symbol()).collect();
        console::warn(&format!(
            "no crystal of {} has an energy by the potential: candidates with it have no hull",
            names.join(", ")
        ));
    }
}
