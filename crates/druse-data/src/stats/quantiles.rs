//! Order statistics.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Order statistics of a list of numbers; quantiles interpolate linearly between neighbors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    /// Smallest value.
    pub min: f64,
    /// 5 % quantile.
    pub q05: f64,
    /// 25 % quantile.
    pub q25: f64,
    /// Median.
    pub median: f64,
    /// Arithmetic mean.
    pub mean: f64,
    /// 75 % quantile.
    pub q75: f64,
    /// 95 % quantile.
    pub q95: f64,
    /// Largest value.
    pub max: f64,
}

impl Quantiles {
    /// The statistics of whole numbers, given by how often each occurs.
    pub(super) fn of_counts(counts: &BTreeMap<usize, usize>) -> Option<Self> {
        Self::of(counts.iter().flat_map(|(&x, &n)| std::iter::repeat_n(x as f64, n)).collect())
    }

    /// The statistics of `values`; `None` for an empty list.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let at = |q: f64| {
            let x = q * (values.len() - 1) as f64;
            let (low, high) = (values[x.floor() as usize], values[x.ceil() as usize]);
            low + (high - low) * x.fract()
        };
        Some(Self {
            min: first,
            q05: at(0.05),
            q25: at(0.25),
            median: at(0.5),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            q75: at(0.75),
            q95: at(0.95),
            max: last,
        })
    }
}
