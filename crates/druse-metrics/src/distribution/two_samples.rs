//! Two samples prepared so that resampled distances cost no sorting.

use super::{Bootstrap, Interval, SampleError, sorted};

/// Two one-dimensional samples by the ranks of their values among all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoSamples {
    /// The distinct values of both, rising.
    values: Vec<f64>,
    /// Index of each value of each sample among them.
    ranks: [Vec<u32>; 2],
}

impl TwoSamples {
    /// Ranks two samples.
    ///
    /// # Errors
    /// [`SampleError`] for an empty sample or values that are not finite.
    pub fn new(a: &[f64], b: &[f64]) -> Result<Self, SampleError> {
        let mut values = sorted(a)?;
        values.append(&mut sorted(b)?);
        values.sort_unstable_by(f64::total_cmp);
        values.dedup();
        let ranks =
            [a, b].map(|sample| sample.iter().map(|x| values.partition_point(|v| v < x) as u32).collect());
        Ok(Self { values, ranks })
    }

    /// [`wasserstein`](super::wasserstein) of the samples.
    pub fn wasserstein(&self) -> f64 {
        area(&self.values, &self.gaps(|s| self.ranks[s].iter().copied()))
    }

    /// The statistic of [`kolmogorov_smirnov`](super::kolmogorov_smirnov()) of the samples.
    pub fn kolmogorov_smirnov(&self) -> f64 {
        largest_gap(&self.gaps(|s| self.ranks[s].iter().copied()))
    }

    /// Bootstrap interval of the Wasserstein distance, both samples drawn anew ([`Bootstrap::interval_of_distance`]).
    pub fn wasserstein_interval(&self, bootstrap: &Bootstrap) -> Option<Interval> {
        bootstrap.interval_of_distance(self.wasserstein(), self.ranks.each_ref().map(Vec::len), |places| {
            area(&self.values, &self.gaps(|s| places[s].iter().map(move |&i| self.ranks[s][i])))
        })
    }

    /// Difference of the distribution functions above each value.
    fn gaps<I: ExactSizeIterator<Item = u32>>(&self, ranks: impl Fn(usize) -> I) -> Vec<f64> {
        let mut counts = vec![[0u32; 2]; self.values.len()];
        let mut lengths = [0.0; 2];
        for s in 0..2 {
            let ranks = ranks(s);
            lengths[s] = ranks.len() as f64;
            ranks.for_each(|r| counts[r as usize][s] += 1);
        }
        let mut sum = [0u32; 2];
        counts
            .into_iter()
            .map(|[a, b]| {
                sum = [sum[0] + a, sum[1] + b];
                f64::from(sum[0]) / lengths[0] - f64::from(sum[1]) / lengths[1]
            })
            .collect()
    }
}

/// Area between two distribution functions that differ by `gaps[i]` between `values[i]` and the next.
fn area(values: &[f64], gaps: &[f64]) -> f64 {
    // From 0, as the sum of nothing is -0.
    values.windows(2).zip(gaps).fold(0.0, |sum, (v, gap)| sum + gap.abs() * (v[1] - v[0]))
}

/// The Kolmogorov–Smirnov statistic from the differences of two distribution functions.
fn largest_gap(gaps: &[f64]) -> f64 {
    gaps.iter().fold(0.0, |m: f64, gap| m.max(gap.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_the_definition(
            a in prop::collection::vec((-9i32..9).prop_map(|x| f64::from(x) / 4.0), 1..30),
            b in prop::collection::vec(-3.0..3.0f64, 1..30),
        ) {
            for (a, b) in [(&a, &b), (&a, &a), (&b, &a)] {
                let two = TwoSamples::new(a, b).unwrap();
                let below = |x: &[f64], v: f64| x.iter().filter(|&&y| y <= v).count() as f64 / x.len() as f64;
                let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
                all.sort_by(f64::total_cmp);
                let gap = |v: f64| (below(a, v) - below(b, v)).abs();
                let area: f64 = all.windows(2).map(|w| gap(w[0]) * (w[1] - w[0])).sum();
                prop_assert!((two.wasserstein() - area).abs() < 1e-12);
                let largest = all.iter().map(|&v| gap(v)).fold(0.0, f64::max);
                prop_assert!((two.kolmogorov_smirnov() - largest).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn interval_holds_a_distance_that_is_large() {
        let a: Vec<f64> = (0..200).map(|i| f64::from(i) / 200.0).collect();
        let b: Vec<f64> = a.iter().map(|x| x + 3.0).collect();
        let i = TwoSamples::new(&a, &b).unwrap().wasserstein_interval(&Bootstrap::default()).unwrap();
        assert!(i.low < 3.0 && 3.0 < i.high && i.high - i.low < 0.2, "{i:?}");
        let same = TwoSamples::new(&a, &a).unwrap().wasserstein_interval(&Bootstrap::default()).unwrap();
        assert!(same.low == 0.0 && same.high < 0.05, "{same:?}");
    }
}
