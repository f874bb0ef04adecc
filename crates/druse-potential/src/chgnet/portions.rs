//! Work on the portions of a graph.

use std::ops::Range;

use rayon::prelude::*;

use super::graph::{Graph, Portion};
use super::memory::{Memory, Rows};
use crate::real::Real;

/// Rows of edges or angles that go through a layer while they are in the first caches: a multiple of the rows that matrix
/// products work on.
const TILE: usize = 48;

/// A range in tiles.
pub(super) fn tiles(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(TILE).map(move |begin| begin..(begin + TILE).min(range.end))
}

/// A range of all rows as one of the rows from `first` on.
pub(super) fn within(range: &Range<usize>, first: usize) -> Range<usize> {
    range.start - first..range.end - first
}

/// A crystal on its way through the network.
#[derive(Debug)]
pub(super) struct Run<'a, R> {
    pub graph: &'a Graph,
    pub memory: &'a Memory<R>,
    /// Whether what gates read is kept for the backward pass, or computed again.
    pub keep: bool,
}

impl<R> Clone for Run<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Run<'_, R> {}

impl<'a, R: Real> Run<'a, R> {
    /// Rows of a tile, whose content is of no meaning.
    pub fn tile<const N: usize>(&self) -> Rows<'a, R, N> {
        self.memory.unset(TILE)
    }

    /// Rows that are kept, if anything is; their content is of no meaning.
    pub fn kept<const N: usize>(&self, rows: usize) -> Rows<'a, R, N> {
        self.memory.unset(if self.keep { rows } else { 0 })
    }
}

/// The rows of each portion.
pub(super) fn split<'a, T>(
    mut all: &'a mut [T],
    portions: &[Portion],
    range: impl Fn(&Portion) -> &Range<usize>,
) -> Vec<&'a mut [T]> {
    let mut cut = |portion| {
        let (own, rest) = std::mem::take(&mut all).split_at_mut(range(portion).len());
        all = rest;
        own
    };
    portions.iter().map(&mut cut).collect()
}

/// The rows of each portion where they are kept, none else.
pub(super) fn split_kept<'a, T>(
    all: &'a mut [T],
    portions: &[Portion],
    range: impl Fn(&Portion) -> &Range<usize>,
) -> Vec<&'a mut [T]> {
    match all.is_empty() {
        true => portions.iter().map(|_| <&mut [T]>::default()).collect(),
        false => split(all, portions, range),
    }
}

/// Runs `work` for each portion with its part of some arrays: on this thread where there is one portion.
pub(super) fn each<T: Send>(
    portions: &[Portion],
    parts: impl IntoIterator<Item = T>,
    work: impl Fn(&Portion, T) + Send + Sync,
) {
    if portions.len() == 1 {
        portions.iter().zip(parts).for_each(|(portion, part)| work(portion, part));
    } else {
        let parts: Vec<T> = parts.into_iter().collect();
        portions.par_iter().zip(parts).for_each(|(portion, part)| work(portion, part));
    }
}
