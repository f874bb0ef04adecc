//! Success rates of property optimization.
//!
//! From each of several starting points an optimizer leaves a series of snapshots. A start succeeds at SR5, SR10, SR15
//! when the best predicted property among its valid snapshots reaches the 5th, 10th, 15th percentile of a data set
//! (Xie et al., ICLR 2022).

use std::collections::HashMap;

use druse_data::Benchmark;
use serde::{Deserialize, Serialize};

use crate::{
    distribution::{Bootstrap, quantile},
    metric::Metric,
};

/// Which way a property is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// As low as possible.
    #[default]
    Minimize,
    /// As high as possible.
    Maximize,
}

/// What counts as success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Which way the property is to go.
    pub goal: Goal,
    /// Names of the rates (the percentage) with the value to reach; a value equal to it has reached it.
    pub thresholds: Vec<(f64, f64)>,
}

/// Why success rates cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptimizationError {
    /// The snapshots do not divide evenly among the starts.
    #[error("{snapshots} snapshots cannot be divided among {starts} starts")]
    Uneven {
        /// Number of snapshots.
        snapshots: usize,
        /// Number of starts.
        starts: usize,
    },
    /// There is no finite property to take percentiles of.
    #[error("there is no property value to take percentiles of")]
    NoValues,
    /// Constants were published for minimization alone.
    #[error("the reference has no property `{0}`, whose percentiles maximization needs")]
    NoConstants(String),
}

impl Targets {
    /// Percentiles 5, 10 and 15 that CDVAE compares with: formation energy per atom of MP-20 (eV), energy per atom of
    /// Carbon-24 (eV), heat of formation of Perov-5 (eV), as its own property models predict them.
    pub fn cdvae(benchmark: Benchmark) -> Self {
        let thresholds = match benchmark {
            Benchmark::Mp20 => [-3.175_622_08, -2.821_968_82, -2.528_147_61],
            Benchmark::Carbon24 => [-154.527_093, -154.458_657_33, -154.442_068_25],
            Benchmark::Perov5 => [0.439_248_42, 0.612_024_43, 0.736_460_7],
        };
        Self { goal: Goal::Minimize, thresholds: [5.0, 10.0, 15.0].into_iter().zip(thresholds).collect() }
    }

    /// The best 5, 10 and 15 per cent of the reference's values, or [`Targets::cdvae`] where it has none; with the source
    /// in words.
    ///
    /// # Errors
    /// [`OptimizationError`] when there are neither values nor constants.
    pub fn of_reference(
        property: &str,
        reference: &[f64],
        goal: Goal,
        benchmark: Benchmark,
    ) -> Result<(Self, String), OptimizationError> {
        match (reference, goal) {
            ([], Goal::Maximize) => Err(OptimizationError::NoConstants(property.to_owned())),
            ([], Goal::Minimize) => {
                Ok((Self::cdvae(benchmark), format!("CDVAE's constants for {benchmark}")))
            }
            _ => {
                let source = format!("percentiles of `{property}` over {} reference rows", reference.len());
                Ok((Self::of_values(reference, goal, &[5.0, 10.0, 15.0])?, source))
            }
        }
    }

    /// The best `percents` per cent of given property values (linear between values). Values that are not finite are
    /// left out.
    ///
    /// # Errors
    /// [`OptimizationError::NoValues`] when no value is finite.
    pub fn of_values(values: &[f64], goal: Goal, percents: &[f64]) -> Result<Self, OptimizationError> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let threshold = |&percent: &f64| {
            let fraction = match goal {
                Goal::Minimize => percent / 100.0,
                Goal::Maximize => 1.0 - percent / 100.0,
            };
            Some((percent, quantile(&sorted, fraction)?))
        };
        let thresholds =
            percents.iter().map(threshold).collect::<Option<_>>().ok_or(OptimizationError::NoValues)?;
        Ok(Self { goal, thresholds })
    }

    fn better(&self, a: f64, b: f64) -> f64 {
        match self.goal {
            Goal::Minimize => a.min(b),
            Goal::Maximize => a.max(b),
        }
    }

    fn reached(&self, value: f64, threshold: f64) -> bool {
        match self.goal {
            Goal::Minimize => value <= threshold,
            Goal::Maximize => value >= threshold,
        }
    }
}

/// Success at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SuccessRate {
    /// The percentage that names the rate.
    pub percent: f64,
    /// Value to reach.
    pub threshold: f64,
    /// Starts that reached it.
    pub successes: usize,
    /// Fraction of all starts.
    pub rate: f64,
}

/// Outcome of an optimization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SuccessRates {
    /// Best property among the valid snapshots of each start; `None` where none is valid.
    pub best: Vec<Option<f64>>,
    /// The rates, in the order of the targets.
    pub rates: Vec<SuccessRate>,
}

/// Success rates of predicted properties, which come snapshot by snapshot: first that of every start, then the next of
/// every start, as CDVAE saves them. `None` stands for an invalid crystal; a property that is not finite counts as one. A
/// start without a valid snapshot fails.
///
/// # Errors
/// [`OptimizationError::Uneven`] unless every start has the same number of snapshots, at least one.
pub fn success_rates(
    properties: &[Option<f64>],
    starts: usize,
    targets: &Targets,
) -> Result<SuccessRates, OptimizationError> {
    if starts == 0 || properties.is_empty() || !properties.len().is_multiple_of(starts) {
        return Err(OptimizationError::Uneven { snapshots: properties.len(), starts });
    }
    let mut best = vec![None; starts];
    for snapshot in properties.chunks_exact(starts) {
        for (best, &property) in best.iter_mut().zip(snapshot) {
            if let Some(x) = property.filter(|x| x.is_finite()) {
                *best = Some(best.map_or(x, |b| targets.better(b, x)));
            }
        }
    }
    let rates = targets
        .thresholds
        .iter()
        .map(|&(percent, threshold)| {
            let successes = best.iter().flatten().filter(|&&x| targets.reached(x, threshold)).count();
            SuccessRate { percent, threshold, successes, rate: successes as f64 / starts as f64 }
        })
        .collect();
    Ok(SuccessRates { best, rates })
}

/// `sr5`, `sr10`, `sr15` of snapshots that name their start: one pair of start and value a snapshot, `None` for an invalid
/// one. Starts may have different numbers of snapshots. `source` says in words where the targets come from.
///
/// # Errors
/// [`OptimizationError::Uneven`] without any snapshot.
pub fn success_metrics(
    property: &str,
    snapshots: &[(String, Option<f64>)],
    targets: &Targets,
    source: &str,
    bootstrap: Option<&Bootstrap>,
) -> Result<Vec<Metric>, OptimizationError> {
    let mut starts: Vec<Vec<Option<f64>>> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for (start, value) in snapshots {
        let k = *index.entry(start).or_insert_with(|| {
            starts.push(Vec::new());
            starts.len() - 1
        });
        starts[k].push(*value);
    }
    // Snapshot by snapshot; a start with fewer snapshots has invalid ones at the end.
    let longest = starts.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn: Vec<Option<f64>> =
        (0..longest).flat_map(|k| starts.iter().map(move |s| s.get(k).copied().flatten())).collect();
    let found = success_rates(&in_turn, starts.len(), targets)?;
    let metric = |rate: &SuccessRate| {
        let reached = found.best.iter().map(|b| b.is_some_and(|x| targets.reached(x, rate.threshold)));
        let protocol = format!("starts whose best valid {property} reaches {:.6}; {source}", rate.threshold);
        Metric::fraction(format!("sr{}", rate.percent), reached, None, bootstrap, protocol)
    };
    Ok(found.rates.iter().map(metric).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_valid_snapshot_counts() {
        let targets = Targets { goal: Goal::Minimize, thresholds: vec![(5.0, -3.0), (10.0, -2.0)] };
        // Four starts, two snapshots.
        let properties =
            [[Some(-1.0), None, Some(-2.0), Some(f64::NAN)], [Some(-3.0), None, Some(-1.0), Some(-2.5)]];
        let got = success_rates(properties.as_flattened(), 4, &targets).unwrap();
        assert_eq!(got.best, [Some(-3.0), None, Some(-2.0), Some(-2.5)]);
        let rates: Vec<_> = got.rates.iter().map(|r| (r.percent, r.successes, r.rate)).collect();
        assert_eq!(rates, [(5.0, 1, 0.25), (10.0, 3, 0.75)]);

        let up = Targets { goal: Goal::Maximize, ..targets };
        let got = success_rates(properties.as_flattened(), 4, &up).unwrap();
        assert_eq!(got.best[0], Some(-1.0));
        assert_eq!(got.rates[0].successes, 3);
    }

    #[test]
    fn thresholds_come_from_tables_or_values() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).chain([f64::NAN]).collect();
        let low = Targets::of_values(&values, Goal::Minimize, &[5.0, 10.0]).unwrap();
        assert_eq!(low.thresholds, [(5.0, 5.0), (10.0, 10.0)]);
        let high = Targets::of_values(&values, Goal::Maximize, &[5.0]).unwrap();
        assert!((high.thresholds[0].1 - 95.0).abs() < 1e-9);
        assert_eq!(Targets::of_values(&[], Goal::Minimize, &[5.0]), Err(OptimizationError::NoValues));
        for benchmark in [Benchmark::Mp20, Benchmark::Carbon24, Benchmark::Perov5] {
            assert!(Targets::cdvae(benchmark).thresholds.windows(2).all(|w| w[0].1 < w[1].1));
        }
    }

    #[test]
    fn starts_are_told_by_name() {
        let (targets, source) =
            Targets::of_reference("gap", &[1.0, 2.0, 3.0], Goal::Maximize, Benchmark::Mp20).unwrap();
        let snapshots =
            [("a", Some(1.0)), ("b", Some(0.0)), ("a", Some(3.0)), ("b", None), ("a", None), ("c", None)];
        let snapshots = snapshots.map(|(start, x)| (start.to_owned(), x));
        let got = success_metrics("gap", &snapshots, &targets, &source, None).unwrap();
        let keys: Vec<_> = got.iter().map(|m| (m.key.as_str(), m.value, m.of)).collect();
        let third = Some(1.0 / 3.0);
        assert_eq!(keys, [("sr5", third, 3), ("sr10", third, 3), ("sr15", third, 3)]);
        assert!(
            got[0].protocol.contains("percentiles of `gap` over 3 reference rows"),
            "{}",
            got[0].protocol
        );
        let none = |goal| Targets::of_reference("gap", &[], goal, Benchmark::Perov5);
        assert_eq!(none(Goal::Minimize).unwrap().1, "CDVAE's constants for perov-5");
        assert!(none(Goal::Maximize).is_err());
    }

    #[test]
    fn uneven_snapshots_are_errors() {
        let targets = Targets::cdvae(Benchmark::Mp20);
        for (n, starts) in [(7, 2), (0, 2), (4, 0)] {
            let got = success_rates(&vec![None; n], starts, &targets);
            assert_eq!(got, Err(OptimizationError::Uneven { snapshots: n, starts }));
        }
    }
}
