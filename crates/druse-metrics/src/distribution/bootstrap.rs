//! Confidence intervals by resampling.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::histogram::quantile;

/// How intervals are made: `resamples` draws with replacement, of which the middle `level` is kept (percentile method,
/// Efron 1979).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: usize,
    /// Confidence level in (0, 1).
    pub level: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, level: 0.95, seed: 0 }
    }
}

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence level.
    pub level: f64,
}

impl Bootstrap {
    /// Interval of a statistic of one sample of `n`, which gets the places drawn. `None` for an empty sample or when the
    /// statistic is never finite.
    ///
    /// Each resample has its own generator, so the result depends on the seed alone, not on the number of threads.
    pub fn interval(&self, n: usize, statistic: impl Fn(&[usize]) -> f64 + Sync) -> Option<Interval> {
        self.interval_of_two([n, 0], |[places, _]| statistic(places))
    }

    /// Interval of a statistic of two samples, both of which are drawn anew; a sample of size 0 stays empty.
    pub fn interval_of_two(
        &self,
        n: [usize; 2],
        statistic: impl Fn([&[usize]; 2]) -> f64 + Sync,
    ) -> Option<Interval> {
        self.percentiles(&self.resampled(n, statistic), 0.0)
    }

    /// Interval of a distance between two samples that was found to be `distance`.
    ///
    /// Resampling adds noise of its own to a distance, which a plain percentile interval would hold against it: here the
    /// interval is shifted by what the mean over the resamples exceeds the distance, and ends at 0.
    pub fn interval_of_distance(
        &self,
        distance: f64,
        n: [usize; 2],
        statistic: impl Fn([&[usize]; 2]) -> f64 + Sync,
    ) -> Option<Interval> {
        let values = self.resampled(n, statistic);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let interval = self.percentiles(&values, mean - distance)?;
        Some(Interval { low: interval.low.max(0.0), high: interval.high.max(0.0), ..interval })
    }

    /// The finite values of the statistic over all resamples, rising.
    fn resampled(&self, n: [usize; 2], statistic: impl Fn([&[usize]; 2]) -> f64 + Sync) -> Vec<f64> {
        if n[0] == 0 {
            return Vec::new();
        }
        let mut values: Vec<f64> = (0..self.resamples as u64)
            .into_par_iter()
            .map_init(
                || [Vec::new(), Vec::new()],
                |places, resample| {
                    let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                    rng.set_stream(resample);
                    for (places, &n) in places.iter_mut().zip(&n) {
                        places.clear();
                        places.extend((0..n).map(|_| rng.random_range(0..n)));
                    }
                    statistic([&places[0], &places[1]])
                },
            )
            .filter(|x| x.is_finite())
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    fn percentiles(&self, sorted: &[f64], shift: f64) -> Option<Interval> {
        let tail = (1.0 - self.level) / 2.0;
        Some(Interval {
            low: quantile(sorted, tail)? - shift,
            high: quantile(sorted, 1.0 - tail)? - shift,
            level: self.level,
        })
    }

    /// Interval of the mean of some values.
    pub fn mean(&self, values: &[f64]) -> Option<Interval> {
        self.interval(values.len(), |places| {
            places.iter().map(|&i| values[i]).sum::<f64>() / places.len() as f64
        })
    }
}

/// `count` different places out of `n`, drawn with a seed, in rising order; all of them when `count` is not smaller.
pub fn draw_without_replacement(n: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut places: Vec<usize> = (0..n).collect();
    if count < n {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for i in 0..count {
            let j = rng.random_range(i..n);
            places.swap(i, j);
        }
        places.truncate(count);
        places.sort_unstable();
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_a_mean_is_as_wide_as_theory_says() {
        // Uniform on [0, 1): standard error of the mean of 400 values is sqrt(1/12/400) = 0.0144.
        let values: Vec<f64> = (0..400).map(|i| (f64::from(i) * 0.618_033_988_7).fract()).collect();
        let i = Bootstrap::default().mean(&values).unwrap();
        assert!((i.high - i.low - 2.0 * 1.96 * 0.01443).abs() < 0.006, "{i:?}");
        assert!(i.low < 0.5 && 0.5 < i.high);
        assert_eq!(Bootstrap::default().mean(&[]), None);
        assert_eq!(Bootstrap::default().mean(&[f64::NAN]), None);
    }

    #[test]
    fn result_does_not_depend_on_threads() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i * i)).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Bootstrap { seed: 7, ..Bootstrap::default() }.mean(&values))
        };
        assert_eq!(with(1), with(3));
        assert_ne!(with(1), Bootstrap { seed: 8, ..Bootstrap::default() }.mean(&values));
    }

    #[test]
    fn draws_are_distinct_and_seeded() {
        let d = draw_without_replacement(100, 30, 1);
        assert!(d.len() == 30 && d.windows(2).all(|w| w[0] < w[1]) && d[29] < 100);
        assert_eq!(d, draw_without_replacement(100, 30, 1));
        assert_ne!(d, draw_without_replacement(100, 30, 2));
        assert_eq!(draw_without_replacement(3, 5, 0), [0, 1, 2]);
    }
}
