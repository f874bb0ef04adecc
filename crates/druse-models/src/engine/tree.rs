//! A sum in the order of a fixed tree.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// A node of the binary tree over the micro-batches of a batch: it covers the micro-batches from `index · 2^level` up to the next
/// node of its level, as far as the batch has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Height above the micro-batches, which have 0.
    pub level: u32,
    /// Place in its level.
    pub index: usize,
}

impl Place {
    /// A micro-batch.
    pub fn leaf(index: usize) -> Self {
        Self { level: 0, index }
    }

    fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / 2 }
    }

    fn sibling(self) -> Self {
        Self { index: self.index ^ 1, ..self }
    }

    /// The micro-batches that it covers, of `of`.
    pub fn span(self, of: usize) -> Range<usize> {
        let at = |index: usize| {
            // Beyond the last bit lies beyond the batch.
            let first = u128::try_from(index).unwrap_or(u128::MAX).checked_shl(self.level.min(64));
            first.and_then(|first| usize::try_from(first).ok()).unwrap_or(usize::MAX).min(of)
        };
        at(self.index)..at(self.index.saturating_add(1))
    }
}

/// Adds what belongs to the micro-batches of a batch, or to consecutive ones of them, in any order and from any thread. The value
/// of a node is that of its left child plus that of its right child, or that of the left alone where the batch has no right
/// one. So the sum of a batch depends on the number of its micro-batches alone: not on which was ready first, and not on how many
/// processes have added up nodes of their own before.
pub(super) struct TreeSum<T, A> {
    own: Range<usize>,
    of: usize,
    add: A,
    waiting: Mutex<BTreeMap<Place, T>>,
}

impl<T, A: Fn(T, T) -> T> TreeSum<T, A> {
    /// The sum over the micro-batches `own` of a batch that has `of`.
    pub(super) fn new(own: Range<usize>, of: usize, add: A) -> Self {
        Self { own, of, add, waiting: Mutex::default() }
    }

    /// Adds the value of a node, each of them once.
    pub(super) fn add(&self, mut place: Place, mut value: T) {
        loop {
            let above = place.parent().span(self.of);
            let top = place.span(self.of) == (0..self.of);
            let within = self.own.start <= above.start && above.end <= self.own.end;
            if top || !within {
                self.lock().insert(place, value);
                return;
            }
            let sibling = place.sibling();
            if !sibling.span(self.of).is_empty() {
                let mut waiting = self.lock();
                let Some(other) = waiting.remove(&sibling) else {
                    waiting.insert(place, value);
                    return;
                };
                drop(waiting);
                value = if sibling.index < place.index {
                    (self.add)(other, value)
                } else {
                    (self.add)(value, other)
                };
            }
            place = place.parent();
        }
    }

    /// The values of the largest nodes that lie within the micro-batches, from left to right; one for a whole batch.
    pub(super) fn finish(self) -> Vec<(Place, T)> {
        let waiting = self.waiting.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut nodes: Vec<_> = waiting.into_iter().collect();
        nodes.sort_by_key(|(place, _)| place.span(self.of).start);
        nodes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Place, T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Words = TreeSum<String, fn(String, String) -> String>;

    fn words(own: Range<usize>, of: usize) -> Words {
        TreeSum::new(own, of, |a, b| format!("({a}+{b})"))
    }

    fn leaves(own: Range<usize>, of: usize, order: impl Fn(&mut Vec<usize>)) -> Vec<(Place, String)> {
        let mut indices: Vec<usize> = own.clone().collect();
        order(&mut indices);
        let sum = words(own, of);
        indices.into_iter().for_each(|i| sum.add(Place::leaf(i), i.to_string()));
        sum.finish()
    }

    fn whole(of: usize) -> String {
        let mut nodes = leaves(0..of, of, |_| ());
        assert_eq!(nodes.len(), 1);
        nodes.remove(0).1
    }

    #[test]
    fn the_order_is_that_of_the_tree() {
        assert_eq!(whole(1), "0");
        assert_eq!(whole(2), "(0+1)");
        assert_eq!(whole(3), "((0+1)+2)");
        assert_eq!(whole(5), "(((0+1)+(2+3))+4)");
        assert_eq!(whole(7), "(((0+1)+(2+3))+((4+5)+6))");
        assert_eq!(whole(8), "(((0+1)+(2+3))+((4+5)+(6+7)))");
        assert!(leaves(0..0, 0, |_| ()).is_empty());
        assert_eq!(leaves(3..5, 7, |_| ()).iter().map(|(_, w)| w.as_str()).collect::<Vec<_>>(), ["3", "4"]);
        assert_eq!(leaves(4..7, 7, |_| ())[0].1, "((4+5)+6)");
        assert_eq!(Place { level: u32::MAX, index: usize::MAX }.span(9), 9..9);
    }

    proptest! {
        #[test]
        fn neither_the_order_of_arrival_nor_the_cut_into_processes_changes_it(
            of in 1usize..40, mut cuts in prop::collection::vec(0usize..40, 0..5), seed in any::<u64>(),
        ) {
            cuts.iter_mut().for_each(|c| *c %= of + 1);
            cuts.extend([0, of]);
            cuts.sort_unstable();
            let shuffle = |v: &mut Vec<usize>| {
                v.sort_by_key(|&i| (i as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
            };
            let sum = words(0..of, of);
            let mut parts: Vec<_> = cuts.windows(2).map(|w| leaves(w[0]..w[1], of, shuffle)).collect();
            for part in &parts {
                prop_assert!(part.len() <= 2 * of.ilog2() as usize + 1, "{part:?}");
            }
            parts.reverse();
            parts.into_iter().flatten().for_each(|(place, word)| sum.add(place, word));
            let nodes = sum.finish();
            prop_assert_eq!(nodes.len(), 1);
            prop_assert_eq!(&nodes[0].1, &whole(of));
        }
    }
}
