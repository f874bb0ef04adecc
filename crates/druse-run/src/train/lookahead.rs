//! Results that are made on another thread ahead of the one who uses them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::thread;

use druse_nn::memory::panic_message;

use crate::Panicked;

/// Calls `produce` for every item, in order, and hands `consume` an iterator over the results. A thread of its own
/// works at most `ahead` results ahead; with `ahead` = 0 everything happens on the thread of the caller,
/// when the result is asked for. What `consume` sees is the same either way.
///
/// A consumer that leaves early stops the producer after the item at work. A panic of the producer on its thread is
/// the last item.
pub fn with_lookahead<I, T, R>(
    items: I,
    ahead: usize,
    mut produce: impl FnMut(I::Item) -> T + Send,
    consume: impl FnOnce(&mut dyn Iterator<Item = Result<T, Panicked>>) -> R,
) -> R
where
    I: IntoIterator,
    I::IntoIter: Send,
    T: Send,
{
    let mut items = items.into_iter();
    if ahead == 0 {
        return consume(&mut items.map(|item| Ok(produce(item))));
    }
    // One more result waits in the hands of the producer.
    let (sender, receiver) = sync_channel(ahead - 1);
    thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                // The iterator and what `produce` captured are not used again after a panic.
                let made = catch_unwind(AssertUnwindSafe(|| items.next().map(&mut produce)));
                let (result, last) = match made {
                    Ok(None) => return,
                    Ok(Some(result)) => (Ok(result), false),
                    Err(panic) => {
                        let words = panic_message(panic.as_ref()).unwrap_or("no message");
                        (Err(Panicked(words.to_owned())), true)
                    }
                };
                // The consumer has left when nobody receives.
                if sender.send(result).is_err() || last {
                    return;
                }
            }
        });
        // The receiver goes with the iterator, before the scope waits for the producer.
        consume(&mut receiver.into_iter())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_order_whatever_the_lookahead() {
        for ahead in [0, 1, 2, 7] {
            let all = with_lookahead(0..20, ahead, |i| i * i, |results| results.collect::<Vec<_>>());
            assert_eq!(all, (0..20).map(|i| Ok(i * i)).collect::<Vec<_>>());
        }
        assert_eq!(with_lookahead(0..0, 3, |i: i32| i, |results| results.count()), 0);
    }

    #[test]
    fn the_producer_keeps_within_its_bound_and_stops_with_the_consumer() {
        for ahead in [1, 2, 5] {
            let made = AtomicUsize::new(0);
            let produce = |i: usize| {
                made.fetch_add(1, Ordering::SeqCst);
                i
            };
            with_lookahead(0..1_000_000, ahead, produce, |results| {
                for taken in 1..=50 {
                    results.next();
                    assert!(made.load(Ordering::SeqCst) <= taken + ahead);
                }
            });
            assert!(made.load(Ordering::SeqCst) <= 50 + ahead);
        }
    }

    #[test]
    fn a_panic_is_the_last_result() {
        let produce = |i: usize| {
            assert!(i != 3, "item {i} is bad");
            i
        };
        let all = with_lookahead(0..10, 2, produce, |results| results.collect::<Vec<_>>());
        assert_eq!(all[..3], [Ok(0), Ok(1), Ok(2)]);
        assert_eq!(all[3], Err(Panicked("item 3 is bad".into())));
        assert_eq!(all.len(), 4);
    }
}
