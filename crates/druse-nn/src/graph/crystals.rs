//! Crystals of a batch, side by side where that is worth it.

use rayon::prelude::*;

/// Crystals of which a thread searches the neighbors at least.
const SEARCHED_TOGETHER: usize = 16;

/// `search` of each crystal, in order: on several threads where there are many. Fewer are not worth the threads, which then
/// have other batches to work on, nor the way to the thread pool and back.
pub fn of_crystals<C: Sync, R: Send>(crystals: &[C], search: impl Fn(&C) -> R + Sync + Send) -> Vec<R> {
    if crystals.len() < 2 * SEARCHED_TOGETHER {
        return crystals.iter().map(search).collect();
    }
    crystals.par_iter().with_min_len(SEARCHED_TOGETHER).map(search).collect()
}
