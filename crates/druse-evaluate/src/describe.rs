//! Descriptors of all rows of a set: from the cache, or computed on all threads.

use std::sync::atomic::AtomicBool;

use druse_data::{Cache, Item, Listing};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};

use crate::parallel::in_chunks;
use crate::{EvaluateError, Observer, cache};

/// Descriptors of a set in the order of its rows.
#[derive(Debug, Clone)]
pub struct Described {
    /// One a row; a row without a structure has the reason in place of each.
    pub descriptors: Vec<Descriptors>,
    /// Whether they come from the cache.
    pub cached: bool,
}

/// Describes every row of a set. `stage` names it in [`Progress`](crate::Progress).
///
/// # Errors
/// [`EvaluateError::Interrupted`] when `stop` was set.
pub fn describe(
    listing: &Listing,
    settings: &DescriptorSettings,
    cache: &Cache,
    stage: &str,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Described, EvaluateError> {
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
