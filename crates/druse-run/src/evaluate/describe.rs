//! Descriptors of all rows of a set: from the cache, or computed on all threads.

use std::sync::atomic::{AtomicBool, Ordering};

use druse_data::{Cache, Item, Listing};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use rayon::prelude::*;

use super::cache;
use crate::{Event, Observer, RunError};

/// Rows worked on between two looks at the clock and the stop flag.
const CHUNK: usize = 128;

/// Descriptors of a set in the order of its rows.
#[derive(Debug, Clone)]
pub struct Described {
    /// One a row; a row without a structure has the reason in place of each.
    pub descriptors: Vec<Descriptors>,
    /// Whether they come from the cache.
    pub cached: bool,
}

/// Describes every row of a set. `stage` names it in [`Event::Progress`].
///
/// # Errors
/// [`RunError::Interrupted`] when `stop` was set.
pub fn describe(
    listing: &Listing,
    settings: &DescriptorSettings,
    cache: &Cache,
    stage: &str,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Described, RunError> {
    let file = cache::file(cache, listing, settings);
    if let Some(descriptors) = file.as_deref().and_then(|file| cache::read(file, listing)) {
        return Ok(Described { descriptors, cached: true });
    }
    let of = |item: &Item| match &item.outcome {
        Ok(structure) => Descriptors::of(structure, settings),
        Err(absent) => Descriptors::unbuilt(item.composition().unwrap_or_default(), absent.reason.as_str()),
    };
    let descriptors = in_chunks(&listing.items, stage, watch, stop, of)?;
    if let Some(file) = &file {
        cache::write(file, &descriptors);
    }
    Ok(Described { descriptors, cached: false })
}

/// Applies `work` to all items on all threads, in order, telling the progress and stopping when asked to.
///
/// # Errors
/// [`RunError::Interrupted`].
pub(crate) fn in_chunks<T: Sync, U: Send>(
    items: &[T],
    stage: &str,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
    work: impl Fn(&T) -> U + Sync,
) -> Result<Vec<U>, RunError> {
    let mut results = Vec::with_capacity(items.len());
    for chunk in items.chunks(CHUNK) {
        if stop.load(Ordering::Relaxed) {
            return Err(RunError::Interrupted);
        }
        results.par_extend(chunk.par_iter().map(&work));
        watch.observe(Event::Progress { stage, done: results.len(), total: items.len() });
    }
    Ok(results)
}
