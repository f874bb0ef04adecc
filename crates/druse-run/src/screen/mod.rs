//! The screening driver: from generated structures to a ranked list of candidates.
//!
//! Gates in order: read, validity, duplicates, relaxation, duplicates of the relaxed, hull; then novelty and the ranking. The two
//! stages that take time, relaxing candidates and evaluating the reference, write folders of their own and continue there; all
//! others are computed anew from these, so that an interrupted screening comes to the same files.

mod fit;
mod funnel;
mod gates;
mod references;
mod row;
mod settings;
mod table;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use druse_crystal::Structure;
use druse_data::{Absent, JsonlRecord, Listing};
use druse_relax::{Flight, RelaxSettings};

pub use fit::ElementFit;
pub use funnel::{Funnel, GateCount};
pub use references::ReferenceSummary;
pub use row::{Fall, Gate, ScreenRow};
pub use settings::{FORMATION_ENERGY, SCREEN_FILE, ScreenManifest, ScreenSettings};
pub use table::{BEST_FOLDER, COLUMNS, LINES_FILE, SUMMARY_FILE, TABLE_FILE};

use crate::RunError;
use crate::folder::RunFolder;
use crate::observer::{Event, Observer};
use crate::output::{
    FAILURES_FILE, Failure, RunIdentity, STRUCTURES_FILE, SampleFormat, Shard, index_of, parse_lines,
};
use crate::potentials::LoadedPotential;
use crate::relax::{FolderRows, RelaxPlan, relax};

/// Folder of the relaxed candidates.
pub const RELAXED_FOLDER: &str = "relaxed";
/// Folder of the evaluated reference.
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
}

/// Screens candidates into a folder; with `resume` it may hold part of the same screening. `None` when `stop` was set: what is
/// finished stays.
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
) -> Result<Option<Screening>, RunError> {
    settings.relax.validate()?;
    let ScreenInputs { candidates, reference, train, potential, .. } = inputs;
    ScreenManifest::new(&potential.identity, settings, candidates, reference, train).claim(folder, resume)?;
    let stopped = || stop.load(Ordering::Relaxed);
    let mut tell = |stage| observer.observe(Event::Progress { stage, done: 0, total: 0 });
    let mut rows: Vec<ScreenRow> =
        candidates.items.iter().enumerate().map(|(i, item)| ScreenRow::new(i, item)).collect();

    tell("validity");
    gates::validity(&mut rows, candidates, settings.charge_neutral);
    tell("duplicates");
    let standing: Vec<(usize, &Structure)> = (0..rows.len())
        .filter(|&i| rows[i].stands())
        .filter_map(|i| Some((i, candidates.items[i].structure()?)))
        .collect();
    gates::duplicates(&mut rows, &standing, Gate::Duplicate, &settings.sameness);
    if stopped() {
        return Ok(None);
    }

    let relaxed = folder.join(RELAXED_FOLDER);
    let listing = without_fallen(candidates, &rows);
    if !relax_into(inputs, &listing, &settings.relax, relaxed.clone(), "relaxing candidates", observer, stop)?
    {
        return Ok(None);
    }
    take_relaxed(&mut rows, &relaxed)?;
    observer.observe(Event::Progress { stage: "duplicates", done: 0, total: 0 });
    let structures: Vec<Option<Structure>> = rows.iter().map(|row| row.structure.clone()).collect();
    let standing: Vec<(usize, &Structure)> = (0..rows.len())
        .filter(|&i| rows[i].stands())
        .filter_map(|i| Some((i, structures[i].as_ref()?)))
        .collect();
    gates::duplicates(&mut rows, &standing, Gate::DuplicateRelaxed, &settings.sameness);
    if stopped() {
        return Ok(None);
    }

    let of_reference = match settings.relax_references {
        true => settings.relax.clone(),
        false => RelaxSettings { steps: 0, symprec: None, trajectory: false, ..settings.relax.clone() },
    };
    let needed = references::relevant(reference, &rows);
    let path = folder.join(REFERENCES_FOLDER);
    if !relax_into(inputs, &needed, &of_reference, path.clone(), "evaluating the reference", observer, stop)?
    {
        return Ok(None);
    }
    let column = &settings.formation_energy;
    let (hull, references) = references::hull(&path, &rows, &reference.name, &potential.identity, column)?;
    references::place(&mut rows, &hull, &references.fit, settings.max_e_above_hull, column)?;

    observer.observe(Event::Progress { stage: "novelty", done: 0, total: 0 });
    gates::novelty(&mut rows, train.unwrap_or(reference), &settings.sameness);
    rank(&mut rows);
    let funnel = Funnel::of(&rows);
    let screening = Screening { rows, funnel, references };
    table::write(folder, &screening, settings.keep)?;
    Ok(Some(screening))
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

/// Relaxes a listing into a folder, or what of it is missing there. Whether it came to its end.
fn relax_into(
    inputs: ScreenInputs<'_>,
    listing: &Listing,
    settings: &RelaxSettings,
    path: PathBuf,
    stage: &str,
    observer: &mut (dyn Observer + Send),
    stop: &AtomicBool,
) -> Result<bool, RunError> {
    let folder = RunFolder::open(&path)?;
    let plan = RelaxPlan {
        settings: settings.clone(),
        potential: inputs.potential.identity.clone(),
        shard: Shard::default(),
        flight: inputs.flight,
    };
    let mut sink = FolderRows::new(&folder, SampleFormat::Jsonl, true);
    let (mut done, total) = (0, listing.len());
    let mut watch = |event: Event<'_>| {
        if let Event::Relaxed { .. } = event {
            done += 1;
            observer.observe(Event::Progress { stage, done, total });
        }
    };
    let summary = relax(listing, &*inputs.potential.potential, &plan, &mut sink, &mut watch, stop)?;
    Ok(!summary.interrupted)
}

/// Takes the relaxed structures of a folder; candidates without one fall.
fn take_relaxed(rows: &mut [ScreenRow], folder: &std::path::Path) -> Result<(), RunError> {
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

/// Orders the rows: by energy above hull, of equal ones the novel first; behind them those whose hull rests on fitted elements, as
/// an extrapolation that is off by eV/atom would otherwise lead the list; then what fell.
fn rank(rows: &mut [ScreenRow]) {
    let above = |row: &ScreenRow| row.e_above_hull.filter(|_| row.stands()).unwrap_or(f64::INFINITY);
    rows.sort_by(|a, b| {
        let known = |row: &ScreenRow| row.novel != Some(true);
        let fell = a.stands().cmp(&b.stands()).reverse();
        let fitted = a.rests_on_fit().cmp(&b.rests_on_fit());
        let order = fell
            .then(fitted)
            .then_with(|| above(a).total_cmp(&above(b)))
            .then_with(|| known(a).cmp(&known(b)));
        order.then_with(|| a.index.cmp(&b.index))
    });
    for (rank, row) in (1..).zip(rows.iter_mut().take_while(|row| row.stands())) {
        row.rank = Some(rank);
    }
}
