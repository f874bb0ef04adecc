//! The relaxation driver: sets of structures through a potential, into a folder that can be resumed, or memory.
//!
//! Structures are in flight ([`druse_relax::relax_many`]): one that has ended is written at once, whoever ends first, so that
//! an interrupted run loses at most what was in flight; when a run ends in order its files are brought into the order of the
//! input.

mod folder;
mod plan;
mod row;
mod summary;
mod table;
mod trajectory;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use druse_crystal::Structure;
use druse_data::Listing;
use druse_relax::{Potential, RelaxSink, Relaxed, relax_many};

pub use crate::energies::Energies;
pub use folder::FolderRows;
pub(crate) use folder::merge_trajectories;
pub use plan::{RelaxManifest, RelaxPlan};
pub use row::{POTENTIAL, RelaxRow, RowEnd, properties};
pub use summary::{Disagreement, RelaxSummary};
pub use table::{COLUMNS, TABLE_FILE, write_table};
pub use trajectory::{TRAJECTORIES_FOLDER, frames_text};

use crate::RunError;
use crate::observer::{Event, Observer};

/// Takes the rows of a relaxation, in the order in which they end.
pub trait RowSink: Send {
    /// Called once, before anything is computed. Returns the indices that are there already and are not relaxed again.
    ///
    /// # Errors
    /// [`RunError`] when the run cannot go there.
    fn begin(&mut self, plan: &RelaxPlan, listing: &Listing) -> Result<BTreeSet<u64>, RunError>;

    /// Takes a row. What has been taken stays, whatever happens to the run.
    ///
    /// # Errors
    /// [`RunError`]; the run ends with it.
    fn put(&mut self, row: RelaxRow) -> Result<(), RunError>;

    /// Called once, after the last row or an interruption, unless the sink has failed.
    ///
    /// # Errors
    /// [`RunError`].
    fn finish(&mut self) -> Result<(), RunError>;
}

/// Memory: a list of all rows, in the order of their indices once the run is finished.
#[derive(Debug, Default)]
pub struct MemoryRows {
    /// The rows.
    pub rows: Vec<RelaxRow>,
}

impl RowSink for MemoryRows {
    fn begin(&mut self, _: &RelaxPlan, _: &Listing) -> Result<BTreeSet<u64>, RunError> {
        Ok(self.rows.iter().map(|row| row.index).collect())
    }

    fn put(&mut self, row: RelaxRow) -> Result<(), RunError> {
        self.rows.push(row);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), RunError> {
        self.rows.sort_by_key(|row| row.index);
        Ok(())
    }
}

/// Relaxes the rows of a listing that belong to the plan's shard into a sink. A row without a structure is a row that failed.
///
/// `stop`, looked at before every evaluation, loses the structures in flight.
///
/// # Errors
/// [`RunError`] for impossible settings, and what the sink reports. What becomes of a single structure is in its row.
pub fn relax(
    listing: &Listing,
    potential: &dyn Potential,
    plan: &RelaxPlan,
    sink: &mut dyn RowSink,
    observer: &mut (dyn Observer + Send),
    stop: &AtomicBool,
) -> Result<RelaxSummary, RunError> {
    plan.settings.validate()?;
    let there = sink.begin(plan, listing)?;
    let share = (0..listing.len() as u64).filter(|&i| plan.shard.holds(i));
    let (found, missing): (Vec<u64>, Vec<u64>) = share.partition(|i| there.contains(i));
    let summary = RelaxSummary { found: found.len() as u64, ..RelaxSummary::default() };
    let mut rows = Rows { listing, potential: potential.name(), sink, observer, summary, error: None };
    let mut starts: Vec<(u64, Structure)> = Vec::with_capacity(missing.len());
    for &index in &missing {
        match &listing.items[index as usize].outcome {
            Ok(structure) => starts.push((index, structure.clone())),
            Err(absent) if rows.error.is_none() => rows.take(index, RowEnd::Absent(absent.reason.clone())),
            Err(_) => {}
        }
    }
    // Large cells first: none is left over at the end, when the other threads have nothing to do.
    starts.sort_by_key(|(_, structure)| std::cmp::Reverse(structure.len()));
    let complete =
        rows.error.is_some() || relax_many(potential, starts, &plan.settings, plan.flight, &mut rows, stop);
    rows.summary.interrupted = !complete;
    let Rows { summary, error, sink, .. } = rows;
    match error {
        Some(e) => Err(e),
        None => sink.finish().map(|()| summary),
    }
}

/// Rows on their way into the sink.
struct Rows<'a> {
    listing: &'a Listing,
    potential: &'a str,
    sink: &'a mut dyn RowSink,
    observer: &'a mut (dyn Observer + Send),
    summary: RelaxSummary,
    error: Option<RunError>,
}

impl Rows<'_> {
    fn take(&mut self, index: u64, end: RowEnd) {
        let row = RelaxRow::new(index, &self.listing.items[index as usize], self.potential, end);
        let (id, end, failure, energies) = (row.id.clone(), row.end_name(), row.failure(), row.energies());
        let mut summary = self.summary.clone();
        summary.count(&row);
        match self.sink.put(row) {
            Ok(()) => self.summary = summary,
            Err(e) => return self.error = Some(e),
        }
        self.observer.observe(Event::Relaxed {
            id: &id,
            end,
            failure: failure.as_deref(),
            energies: energies.as_ref(),
        });
    }
}

impl RelaxSink for Rows<'_> {
    fn put(&mut self, index: u64, relaxed: Relaxed) -> ControlFlow<()> {
        // Workers that have not yet seen the end may still come with what they had.
        if self.error.is_none() {
            self.take(index, RowEnd::Relaxed(Box::new(relaxed)));
        }
        if self.error.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn evaluated(&mut self, crystals: usize) {
        self.summary.evaluations += crystals as u64;
        self.observer.observe(Event::Evaluated { evaluations: self.summary.evaluations });
    }
}
