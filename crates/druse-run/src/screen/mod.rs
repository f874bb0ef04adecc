//! The screening driver: from generated structures to a ranked list of candidates.
//!
//! Gates in order: read, validity, duplicates, relaxation, duplicates of the relaxed, hull; then novelty and the ranking. Of the two
//! stages that take time, relaxing candidates writes a folder of its own and continues there, and energies of the reference are
//! kept by content; all others are computed anew from these, so that an interrupted screening comes to the same files.

mod agreement;
mod energies;
mod funnel;
mod gates;
mod references;
mod report;
mod row;
mod settings;
mod table;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use druse_crystal::Structure;
use druse_data::{Absent, JsonlRecord, Listing};
use druse_metrics::corrections::Mp2020;
use druse_relax::{Flight, RelaxSettings};

pub use agreement::{Agreement, Differences};
pub use funnel::{Funnel, GateCount};
pub use references::{ReferenceSummary, Terminal};
pub use row::{Fall, Gate, ScreenRow};
pub use settings::{Corrections, FORMATION_ENERGY, References, SCREEN_FILE, ScreenManifest, ScreenSettings};
pub use table::{
    BEST_FOLDER, COLUMNS, ENTRIES_FILE, LINES_FILE, RANKED_FILE, REPORT_FILE, SUMMARY_FILE, TABLE_FILE,
};

use energies::KnownEnergies;

use crate::RunError;
use crate::folder::RunFolder;
use crate::observer::{Event, Observer};
use crate::output::{
    FAILURES_FILE, Failure, RunIdentity, STRUCTURES_FILE, SampleFormat, Shard, index_of, parse_lines,
};
use crate::potentials::LoadedPotential;
use crate::relax::{FolderRows, RelaxPlan, RowSink, relax};

/// Folder of the relaxed candidates.
pub const RELAXED_FOLDER: &str = "relaxed";
/// Folder of energies of the reference and the elements, where there is no common one.
pub const REFERENCES_FOLDER: &str = "references";

/// What is screened, and against what.
#[derive(Clone, Copy)]
pub struct ScreenInputs<'a> {
    /// The candidates.
    pub candidates: &'a Listing,
    /// The structures that the hull is made of.
    pub reference: &'a Listing,
    /// Known structures; `None` for the reference.
    pub train: Option<&'a Listing>,
    /// The potential.
    pub potential: &'a LoadedPotential,
    /// Structures in flight; the output does not depend on it.
    pub flight: Flight,
    /// The share of the candidates that is relaxed.
    pub shard: Shard,
    /// Folder of energies that were computed before; `None` for one in the output.
    pub energies: Option<&'a Path>,
}

/// A finished screening.
#[derive(Debug, Clone, PartialEq)]
pub struct Screening {
    /// A row for every candidate: the ranked ones by rank, then what fell, in the order of the input.
    pub rows: Vec<ScreenRow>,
    /// How many fell where.
    pub funnel: Funnel,
    /// What the hull is made of.
    pub references: ReferenceSummary,
    /// Seconds that each stage took in this call.
    pub seconds: Vec<(&'static str, f64)>,
}

/// What a call of [`screen`] came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Screened {
    /// All candidates are ranked or fell.
    Whole(Box<Screening>),
    /// A share of the candidates is relaxed; [`merge`](crate::merge) puts shares together.
    Share,
    /// It was stopped; what is finished stays.
    Interrupted,
}

/// Screens candidates into a folder; with `resume` it may hold part of the same screening. Of a share of the candidates only what
/// takes time is done, their relaxation.
///
/// # Errors
/// [`RunError`] for impossible settings, a folder that holds something else, files that cannot be written. What becomes of a
/// single candidate is in its row.
pub fn screen(
    inputs: ScreenInputs<'_>,
    settings: &ScreenSettings,
    folder: &RunFolder,
    resume: bool,
    observer: &mut (dyn Observer + Send),
    stop: &AtomicBool,
) -> Result<Screened, RunError> {
    settings.relax.validate()?;
    let ScreenInputs { candidates, reference, train, potential, shard, .. } = inputs;
    if settings.references == References::Given {
        references::see_given(reference, &settings.formation_energy)?;
    }
    let manifest = ScreenManifest::new(&potential.identity, settings, candidates, reference, train, shard);
    manifest.claim(folder, resume)?;
    let stopped = || stop.load(Ordering::Relaxed);
    let mut clock = Clock { since: Instant::now(), seconds: Vec::new() };
    let mut tell = |stage| observer.observe(Event::Progress { stage, done: 0, total: 0 });
    let mut rows: Vec<ScreenRow> =
        candidates.items.iter().enumerate().map(|(i, item)| ScreenRow::new(i, item)).collect();

    tell("validity");
    gates::validity(&mut rows, candidates, settings.charge_neutral);
    clock.lap("validity");
    tell("duplicates");
    duplicates(&mut rows, Gate::Duplicate, settings, |row| candidates.items[row.index as usize].structure());
    clock.lap("duplicates");
    let mut listing = without_fallen(candidates, &rows);
    if let Some(symprec) = settings.symmetrize {
        tell("symmetry");
        gates::symmetrize(&mut rows, &mut listing, symprec);
        clock.lap("symmetry");
    }
    if stopped() {
        return Ok(Screened::Interrupted);
    }

    let path = folder.join(RELAXED_FOLDER);
    let relaxed = RunFolder::open(&path)?;
    let mut sink = FolderRows::new(&relaxed, SampleFormat::Jsonl, true);
    let stage = Stage { name: "relaxing candidates", settings: &settings.relax, shard };
    if !relax_into(inputs, &listing, stage, &mut sink, observer, stop)? {
        return Ok(Screened::Interrupted);
    }
    clock.lap("relaxation");
    if shard != Shard::default() {
        return Ok(Screened::Share);
    }
    take_relaxed(&mut rows, &path, settings.corrections)?;
    observer.observe(Event::Progress { stage: "duplicates", done: 0, total: 0 });
    let structures: Vec<Option<Structure>> = rows.iter().map(|row| row.structure.clone()).collect();
    duplicates(&mut rows, Gate::DuplicateRelaxed, settings, |row| structures[row.index as usize].as_ref());
    clock.lap("duplicates of the relaxed");
    if stopped() {
        return Ok(Screened::Interrupted);
    }

    let own = folder.join(REFERENCES_FOLDER);
    let energies = inputs.energies.unwrap_or(&own);
    let of = |settings: &RelaxSettings| KnownEnergies::new(energies, &potential.identity, settings);
    let elements = references::elemental(&rows);
    // Molecules may condense in a potential without chemistry, to a small part of their volume.
    let freely = RelaxSettings { smallest_volume: 1e-3, ..settings.relax_references.clone() };
    let mut of_elements = of(&freely);
    let whole = Shard::default();
    let stage = Stage { name: "relaxing elements", settings: &freely, shard: whole };
    if !relax_into(inputs, &elements, stage, &mut of_elements, observer, stop)? {
        return Ok(Screened::Interrupted);
    }
    let needed = references::relevant(reference, &rows);
    let as_they_are = RelaxSettings { steps: 0, ..settings.relax_references.clone() };
    let way = match settings.references {
        References::Relaxed => Some((&settings.relax_references, "relaxing the reference")),
        References::AsTheyAre => Some((&as_they_are, "evaluating the reference")),
        References::Given => None,
    };
    let of_reference = match way {
        None => None,
        Some((settings, name)) => {
            let mut known = of(settings);
            let stage = Stage { name, settings, shard: whole };
            if !relax_into(inputs, &needed, stage, &mut known, observer, stop)? {
                return Ok(Screened::Interrupted);
            }
            Some(known)
        }
    };
    clock.lap("energies of the reference");
    let evaluated = references::Evaluated {
        elements: (&elements, &of_elements),
        reference: (&needed, of_reference.as_ref()),
    };
    let (hull, references) = references::hull(&evaluated, &rows, settings, &potential.identity)?;
    references::place(&mut rows, &hull, &references, settings)?;
    clock.lap("hull");

    observer.observe(Event::Progress { stage: "novelty", done: 0, total: 0 });
    gates::novelty(&mut rows, train.unwrap_or(reference), &settings.sameness);
    clock.lap("novelty");
    rank(&mut rows);
    let funnel = Funnel::of(&rows);
    let screening = Screening { rows, funnel, references, seconds: clock.seconds };
    let page = report::page(&screening, &manifest, candidates, &hull);
    table::write(folder, &screening, settings.keep, &page, &hull)?;
    Ok(Screened::Whole(Box::new(screening)))
}

/// What each stage took.
struct Clock {
    since: Instant,
    seconds: Vec<(&'static str, f64)>,
}

impl Clock {
    fn lap(&mut self, stage: &'static str) {
        self.seconds.push((stage, self.since.elapsed().as_secs_f64()));
        self.since = Instant::now();
    }
}

/// Lets standing rows fall whose structure is that of an earlier one.
fn duplicates<'a>(
    rows: &mut [ScreenRow],
    gate: Gate,
    settings: &ScreenSettings,
    structure: impl Fn(&ScreenRow) -> Option<&'a Structure>,
) {
    let standing: Vec<(usize, &Structure)> = (0..rows.len())
        .filter(|&i| rows[i].stands())
        .filter_map(|i| Some((i, structure(&rows[i])?)))
        .collect();
    gates::duplicates(rows, &standing, gate, &settings.sameness);
}

/// The candidates in their places; what fell is a row without a structure, for the reason that it fell for.
fn without_fallen(candidates: &Listing, rows: &[ScreenRow]) -> Listing {
    let mut listing = candidates.clone();
    for (item, row) in listing.items.iter_mut().zip(rows) {
        let (Some(fall), Ok(structure)) = (&row.fell, &item.outcome) else { continue };
        item.outcome = Err(Absent {
            reason: format!("{}: {}", fall.gate, fall.reason),
            properties: structure.properties.clone(),
            composition: item.composition(),
        });
    }
    listing
}

/// A stage that relaxes.
#[derive(Clone, Copy)]
struct Stage<'a> {
    name: &'a str,
    settings: &'a RelaxSettings,
    shard: Shard,
}

/// Relaxes a listing, or what of it the sink does not have. Whether it came to its end.
fn relax_into(
    inputs: ScreenInputs<'_>,
    listing: &Listing,
    stage: Stage<'_>,
    sink: &mut dyn RowSink,
    observer: &mut (dyn Observer + Send),
    stop: &AtomicBool,
) -> Result<bool, RunError> {
    let plan = RelaxPlan {
        settings: stage.settings.clone(),
        potential: inputs.potential.identity.clone(),
        shard: stage.shard,
        flight: inputs.flight,
    };
    let total = (0..listing.len() as u64).filter(|i| stage.shard.holds(*i)).count();
    let mut done = 0;
    let mut watch = |event: Event<'_>| {
        if let Event::Relaxed { .. } = event {
            done += 1;
            observer.observe(Event::Progress { stage: stage.name, done, total });
        }
    };
    let summary = relax(listing, &*inputs.potential.potential, &plan, sink, &mut watch, stop)?;
    Ok(!summary.interrupted)
}

/// Takes the relaxed structures of a folder; candidates without one fall.
fn take_relaxed(rows: &mut [ScreenRow], folder: &Path, corrections: Corrections) -> Result<(), RunError> {
    let path = folder.join(STRUCTURES_FILE);
    let mut found: HashMap<u64, JsonlRecord> = HashMap::new();
    for record in parse_lines::<JsonlRecord>(&path)? {
        found.insert(index_of(&path, &record)?, record);
    }
    let failures: Vec<Failure> = parse_lines(&folder.join(FAILURES_FILE))?;
    let failures: HashMap<u64, Failure> = failures.into_iter().map(|f| (f.index, f)).collect();
    for row in rows.iter_mut().filter(|row| row.stands()) {
        match (found.remove(&row.index), failures.get(&row.index)) {
            (Some(record), _) => {
                let JsonlRecord { mut structure, properties, .. } = record;
                row.converged = properties.get("relax_converged").and_then(serde_json::Value::as_bool);
                row.energy_per_atom = properties.get(references::ENERGY).and_then(serde_json::Value::as_f64);
                row.correction_per_atom = match corrections {
                    Corrections::None => None,
                    // Of a crystal that came to rest neighbors can be listed.
                    Corrections::Mp2020 => {
                        Mp2020::correction(&structure).ok().map(|sum| sum / structure.len() as f64)
                    }
                };
                structure.properties = properties;
                row.structure = Some(structure);
            }
            (None, failure) => {
                let end = failure.and_then(|f| f.properties.get("relax_end")?.as_str());
                let reason = failure.map_or("there is no relaxed structure", |f| f.reason.as_str());
                row.fall(Gate::Relaxation, end.unwrap_or("no relaxed structure"), reason);
            }
        }
    }
    Ok(())
}

/// Orders the rows: by energy above hull, of equal ones the novel first; then what fell.
fn rank(rows: &mut [ScreenRow]) {
    let above = |row: &ScreenRow| row.e_above_hull.filter(|_| row.stands()).unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| {
        let known = |row: &ScreenRow| row.novel != Some(true);
        let fell = a.stands().cmp(&b.stands()).reverse();
        let order = fell.then_with(|| above(a).total_cmp(&above(b))).then_with(|| known(a).cmp(&known(b)));
        order.then_with(|| a.index.cmp(&b.index))
    });
    for (rank, row) in (1..).zip(rows.iter_mut().take_while(|row| row.stands())) {
        row.rank = Some(rank);
    }
}
