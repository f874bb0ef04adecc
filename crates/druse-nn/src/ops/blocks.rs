//! Blocks of rows: one after the other, or on threads that have nothing else to do.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

thread_local! {
    static SHARES: Cell<bool> = const { Cell::new(false) };
}

/// Calls of [`with_idle_threads`] at work, on all threads.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// Runs `work`, in which operations may put blocks of their rows on other threads of the pool as long as fewer calls of
/// this function are at work than the pool has threads. A block's result depends neither on the thread nor on the other
/// blocks, and results are put together in order, so nothing of this can be seen in the outcome of `work`.
///
/// For one crystal at a time, or the last of many.
pub fn with_idle_threads<T>(work: impl FnOnce() -> T) -> T {
    /// Ends the call, also when `work` panics.
    struct Guard(bool);
    impl Drop for Guard {
        fn drop(&mut self) {
            SHARES.set(self.0);
            AT_WORK.fetch_sub(1, Ordering::Relaxed);
        }
    }
    AT_WORK.fetch_add(1, Ordering::Relaxed);
    let _guard = Guard(SHARES.replace(true));
    work()
}

fn threads_are_idle() -> bool {
    SHARES.get() && AT_WORK.load(Ordering::Relaxed) < rayon::current_num_threads()
}

/// Fewest operations that are spread over threads: 0.3 ms or so of one thread. Waking another one takes a good part of
/// that. Tests share everything.
const WORTH_SHARING: usize = if cfg!(test) { 1 } else { 30_000_000 };

/// Threads that work of so many floating-point operations is shared by in [`for_each`].
pub(crate) fn sharing(operations: usize) -> usize {
    if operations >= WORTH_SHARING && threads_are_idle() { rayon::current_num_threads() } else { 1 }
}

/// Calls `f` once for every item: in order, or in parallel inside [`with_idle_threads`] if all items together need enough
/// floating-point operations.
pub(crate) fn for_each<T: Send>(
    operations: usize,
    items: impl Iterator<Item = T>,
    f: impl Fn(T) + Sync + Send,
) {
    if sharing(operations) > 1 {
        items.collect::<Vec<_>>().into_par_iter().for_each(f);
    } else {
        items.for_each(f);
    }
}
