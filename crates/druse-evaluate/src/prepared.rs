//! Structures ready for the matcher.

use std::sync::atomic::AtomicBool;

use druse_crystal::Structure;
use druse_data::{Item, Listing};
use druse_metrics::matcher::{PreparedStructure, StructureMatcher};
use druse_metrics::validity::MIN_VOLUME;

use crate::parallel::in_chunks;
use crate::{EvaluateError, Observer};

/// Rows whose structure is a crystal.
pub(crate) fn built(listing: &Listing) -> Vec<usize> {
    let crystal = |item: &Item| item.structure().is_some_and(|s| s.lattice.volume() >= MIN_VOLUME);
    (0..listing.len()).filter(|&i| crystal(&listing.items[i])).collect()
}

/// Rows whose structure is a crystal, and these structures ready for the matcher.
pub(crate) fn prepare(
    matcher: &StructureMatcher,
    listing: &Listing,
    stage: &str,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<(Vec<usize>, Vec<PreparedStructure>), EvaluateError> {
    let built = built(listing);
    let structures: Vec<&Structure> = built.iter().filter_map(|&i| listing.items[i].structure()).collect();
    let prepared = in_chunks(&structures, stage, watch, stop, |s| matcher.prepare(s))?;
    Ok((built, prepared))
}
