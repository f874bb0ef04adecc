//! Counts in bins, for reports.

use serde::{Deserialize, Serialize};

/// Most bins [`Histogram::shared`] makes.
const MAX_BINS: usize = 60;
/// Fewest bins it makes of values that are not all the same.
const MIN_BINS: usize = 8;

/// Counts of several samples in the same equal bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Bin borders, one more than there are bins; a bin holds its lower border, the last one both.
    pub edges: Vec<f64>,
    /// For each sample the number of values in each bin.
    pub counts: Vec<Vec<usize>>,
    /// For each sample the number of values below the first and above the last border.
    pub outside: Vec<[usize; 2]>,
}

impl Histogram {
    /// Counts samples in `bins` equal bins between `low` and `high`. Values that are not finite are left out; fewer than
    /// one bin counts as one.
    pub fn new(samples: &[&[f64]], low: f64, high: f64, bins: usize) -> Self {
        let bins = bins.max(1);
        let width = (high - low) / bins as f64;
        let edges = (0..=bins).map(|i| if i == bins { high } else { low + width * i as f64 }).collect();
        let mut counts = vec![vec![0; bins]; samples.len()];
        let mut outside = vec![[0; 2]; samples.len()];
        for ((sample, counts), outside) in samples.iter().zip(&mut counts).zip(&mut outside) {
            for &x in sample.iter().filter(|x| x.is_finite()) {
                if x < low {
                    outside[0] += 1;
                } else if x > high {
                    outside[1] += 1;
                } else {
                    let bin = if width > 0.0 { ((x - low) / width) as usize } else { 0 };
                    counts[bin.min(bins - 1)] += 1;
                }
            }
        }
        Self { edges, counts, outside }
    }

    /// Counts samples in bins that suit them all: from the smallest 0.5th to the largest 99.5th percentile of a sample, so
    /// that a few outliers do not squeeze the rest, each bin as wide as Freedman and Diaconis advise for the pooled
    /// values (8 to 60 bins). `None` when no value is finite.
    pub fn shared(samples: &[&[f64]]) -> Option<Self> {
        let mut pooled = Vec::new();
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for sample in samples {
            let mut values: Vec<f64> = sample.iter().copied().filter(|x| x.is_finite()).collect();
            values.sort_unstable_by(f64::total_cmp);
            if let (Some(first), Some(last)) = (quantile(&values, 0.005), quantile(&values, 0.995)) {
                low = low.min(first);
                high = high.max(last);
            }
            pooled.append(&mut values);
        }
        pooled.sort_unstable_by(f64::total_cmp);
        let spread = quantile(&pooled, 0.75)? - quantile(&pooled, 0.25)?;
        if high <= low {
            return Some(Self::new(samples, low - 0.5, low + 0.5, 1));
        }
        let width = 2.0 * spread / (pooled.len() as f64).cbrt();
        let bins = if width > 0.0 { ((high - low) / width).ceil() } else { MAX_BINS as f64 };
        Some(Self::new(samples, low, high, (bins as usize).clamp(MIN_BINS, MAX_BINS)))
    }

    /// Counts whole numbers, one bin centered on each from the smallest to the largest; `None` without values.
    pub fn of_integers(samples: &[&[f64]]) -> Option<Self> {
        let all = || samples.iter().flat_map(|s| s.iter()).copied().filter(|x| x.is_finite());
        let (low, high) = (all().min_by(f64::total_cmp)?.round(), all().max_by(f64::total_cmp)?.round());
        // More bins than this are no picture.
        let bins = (high - low + 1.0).min(1000.0) as usize;
        Some(Self::new(samples, low - 0.5, high + 0.5, bins))
    }
}

/// Quantile `q` of sorted values, linear between them.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_once() {
        let h = Histogram::new(&[&[0.0, 0.5, 1.0, 2.0, -1.0, f64::NAN], &[]], 0.0, 1.0, 2);
        assert_eq!(h.edges, [0.0, 0.5, 1.0]);
        assert_eq!((h.counts, h.outside), (vec![vec![1, 2], vec![0, 0]], vec![[1, 1], [0, 0]]));
    }

    #[test]
    fn bins_suit_the_values() {
        let many: Vec<f64> = (0..1000).map(|i| f64::from(i % 100)).collect();
        let h = Histogram::shared(&[&many, &[50.0]]).unwrap();
        assert!((MIN_BINS..=MAX_BINS).contains(&h.counts[0].len()));
        let counted = h.counts[0].iter().sum::<usize>() + h.outside[0].iter().sum::<usize>();
        assert_eq!((counted, h.counts[1].iter().sum()), (1000, 1usize));
        let same = Histogram::shared(&[&[2.0, 2.0]]).unwrap();
        assert_eq!(same.counts, [[2]]);
        assert_eq!(Histogram::shared(&[&[]]), None);
        let whole = Histogram::of_integers(&[&[1.0, 3.0, 3.0], &[2.0]]).unwrap();
        assert_eq!(whole.counts, [[1, 0, 2], [0, 1, 0]]);
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
    }
}
