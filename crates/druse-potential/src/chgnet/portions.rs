//! Work on the portions of a graph.

use std::ops::Range;

use rayon::prelude::*;

use super::graph::Portion;
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

/// Rows of zeros.
pub(super) fn zeros<R: Real, const N: usize>(rows: usize) -> Vec<[R; N]> {
    vec![[R::default(); N]; rows]
}

/// Rows whose content is of no meaning: those of a tile.
pub(super) fn tile<R: Real, const N: usize>() -> Vec<[R; N]> {
    zeros(TILE)
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
