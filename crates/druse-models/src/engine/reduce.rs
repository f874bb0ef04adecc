//! A batch that several processes work off.

use std::ops::Range;

use druse_nn::{ParamGroup, Params};
use serde::{Deserialize, Serialize};

use super::part::Part;
use crate::{ModelError, NoiseKey, Trainable};

/// The micro-batches of a batch that one process works off, in numbers that other processes understand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Place of the phase.
    pub phase: usize,
    /// Number of items of each part of the objective in the whole batch; absent in evaluation, which has no gradient.
    pub counts: Option<Vec<f64>>,
    /// Place of the first of the micro-batches in the batch.
    pub first: usize,
    /// Number of micro-batches of the whole batch.
    pub of: usize,
    /// The micro-batches: one key for each structure, which also tells its index.
    pub micro_batches: Vec<Vec<NoiseKey>>,
}

impl Share {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.micro_batches.is_empty()
    }
}

/// Where the micro-batches of a batch are worked off: all in this process, or some of them in others. This process has rank 0,
/// owns the weights and adds up.
pub trait Reduce {
    /// Number of processes, this one included.
    fn world(&self) -> usize {
        1
    }

    /// Tells the other processes of a model whose statistics are fitted or restored, before its first batch, and how many
    /// structures it can use, for training and for validation.
    ///
    /// # Errors
    /// [`ModelError::Rank`].
    fn begin(&self, _model: &dyn Trainable, _structures: [usize; 2]) -> Result<(), ModelError> {
        Ok(())
    }

    /// Has the shares of the other processes, in the order of their ranks, worked off with these weights, and `own` in this one
    /// meanwhile. Gives all parts in the order of the micro-batches; gradients are by the tensors of `group`.
    ///
    /// When it fails, no process is at work any more.
    ///
    /// # Errors
    /// That of `own`, the first one of the others, or [`ModelError::Rank`] when one of these does not answer.
    fn work_off(
        &self,
        params: &Params,
        group: &ParamGroup,
        others: Vec<Share>,
        own: &mut dyn FnMut() -> Result<Part, ModelError>,
    ) -> Result<Vec<Part>, ModelError>;
}

/// Everything in this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Reduce for Alone {
    fn work_off(
        &self,
        _: &Params,
        _: &ParamGroup,
        _: Vec<Share>,
        own: &mut dyn FnMut() -> Result<Part, ModelError>,
    ) -> Result<Vec<Part>, ModelError> {
        Ok(vec![own()?])
    }
}

/// Cuts micro-batches of these costs into consecutive shares, one a process: the largest is as small as it can be, the first
/// process, which has other work, is not given more than it has to be, and has one micro-batch at least.
pub(super) fn shares(costs: &[usize], world: usize) -> Vec<Range<usize>> {
    let world = world.max(1);
    // Smallest bound that so many shares can keep.
    let (mut low, mut high) = (costs.iter().copied().max().unwrap_or(0), costs.iter().sum::<usize>());
    while low < high {
        let bound = low + (high - low) / 2;
        match fill(costs, world, bound) {
            Some(_) => high = bound,
            None => low = bound + 1,
        }
    }
    fill(costs, world, low).unwrap_or_else(|| std::iter::once(0..costs.len()).collect())
}

/// Shares below a bound, filled from the last: every process before has one micro-batch at least, as long as there are some.
fn fill(costs: &[usize], world: usize, bound: usize) -> Option<Vec<Range<usize>>> {
    let mut end = costs.len();
    let mut shares: Vec<Range<usize>> = Vec::with_capacity(world);
    for rank in (0..world).rev() {
        let (mut first, mut filled) = (end, 0);
        while first > rank && filled + costs[first - 1] <= bound {
            first -= 1;
            filled += costs[first];
        }
        shares.push(first..end);
        end = first;
    }
    shares.reverse();
    (end == 0).then_some(shares)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_even() {
        assert_eq!(shares(&[1; 8], 2), [0..4, 4..8]);
        assert_eq!(shares(&[1; 8], 4), [0..2, 2..4, 4..6, 6..8]);
        assert_eq!(shares(&[1; 9], 2), [0..4, 4..9]);
        assert_eq!(shares(&[5, 1, 1, 1, 1, 1], 2), [0..1, 1..6]);
        assert_eq!(shares(&[7], 3), [0..1, 1..1, 1..1]);
        assert_eq!(shares(&[7, 1], 3), [0..1, 1..2, 2..2]);
        assert_eq!(shares(&[], 2), [0..0, 0..0]);
        assert_eq!(shares(&[0, 0, 0], 2), [0..1, 1..3]);
    }

    proptest! {
        #[test]
        fn shares_cover_the_batch_and_none_is_larger_than_it_has_to_be(
            costs in prop::collection::vec(0usize..60, 1..30), world in 1usize..8,
        ) {
            let all = shares(&costs, world);
            prop_assert_eq!(all.len(), world);
            prop_assert!(!all[0].is_empty());
            prop_assert_eq!(all.iter().cloned().flatten().collect::<Vec<_>>(), (0..costs.len()).collect::<Vec<_>>());
            let total: usize = costs.iter().sum();
            let largest = all.iter().map(|s| costs[s.clone()].iter().sum::<usize>()).max().unwrap();
            let most = *costs.iter().max().unwrap();
            prop_assert!(largest <= total.div_ceil(world) + most, "{all:?}");
        }
    }
}
