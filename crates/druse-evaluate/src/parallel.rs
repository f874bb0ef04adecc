//! Work on many items: on all threads, in order, stopped when asked to.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::{EvaluateError, Observer, Progress};

/// Items worked on between two looks at the clock and the stop flag.
const CHUNK: usize = 128;

/// Refuses to go on once `stop` is set.
///
/// # Errors
/// [`EvaluateError::Interrupted`].
pub fn check(stop: &AtomicBool) -> Result<(), EvaluateError> {
    if stop.load(Ordering::Relaxed) { Err(EvaluateError::Interrupted) } else { Ok(()) }
}

/// Applies `work` to all items on all threads, in order, telling the progress and stopping when asked to.
///
/// # Errors
/// [`EvaluateError::Interrupted`].
pub fn in_chunks<T: Sync, U: Send>(
    items: &[T],
    stage: &str,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
    work: impl Fn(&T) -> U + Sync,
) -> Result<Vec<U>, EvaluateError> {
    let mut results = Vec::with_capacity(items.len());
    for chunk in items.chunks(CHUNK) {
        check(stop)?;
        results.par_extend(chunk.par_iter().map(&work));
        watch.observe(Progress { stage, done: results.len(), total: items.len() });
    }
    Ok(results)
}
