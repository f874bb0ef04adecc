//! Constants of normalization, and the moments of a sample that they are made of.

use serde::{Deserialize, Serialize};

use super::image::ATTRIBUTES;

/// Constants of one quantity: `v' = ((v − mean) / std + low) / (low + high)`.
///
/// With mean and standard deviation of a data set, and `low` and `high` its smallest and largest value in standard
/// deviations from the mean, the data set fills [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Mean, in the unit of the quantity.
    pub mean: f64,
    /// Standard deviation, in the unit of the quantity.
    pub std: f64,
    /// Standard deviations from the value that becomes 0 up to the mean.
    pub low: f64,
    /// Standard deviations from the mean up to the value that becomes 1.
    pub high: f64,
}

impl Scale {
    /// A normalized value.
    #[inline]
    pub fn normalize(&self, value: f64) -> f64 {
        ((value - self.mean) / self.std + self.low) / (self.low + self.high)
    }

    /// The value of a normalized one.
    #[inline]
    pub fn unnormalize(&self, normalized: f64) -> f64 {
        (normalized * (self.low + self.high) - self.low) * self.std + self.mean
    }

    /// `v' = (v + shift) / divisor`.
    pub(super) const fn shifted(shift: f64, divisor: f64) -> Self {
        Self { mean: 0.0, std: 1.0, low: shift, high: divisor - shift }
    }

    pub(super) fn is_usable(&self) -> bool {
        let all = [self.mean, self.std, self.low, self.high];
        all.iter().all(|x| x.is_finite()) && self.std > 0.0 && self.low + self.high > 0.0
    }

    /// The constants of a data set; a quantity that has one value, or none, becomes 0.5.
    pub(super) fn fitted(values: &Moments, smallest: f64) -> Self {
        let (mean, std) = (values.mean(), values.std());
        let (low, high) = (smallest.min(values.min), values.max);
        let spread = high - low;
        if values.count == 0 || !spread.is_finite() || spread <= 1e-9 * high.abs().max(low.abs()) {
            return Self { mean: if values.count == 0 { 0.0 } else { mean }, std: 1.0, low: 0.5, high: 0.5 };
        }
        let std = if std > 1e-9 * spread { std } else { 1.0 };
        Self { mean, std, low: (mean - low) / std, high: (high - mean) / std }
    }
}

/// The constants of all quantities of an image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scales {
    /// Those of the attributes, in the order of [`ATTRIBUTES`].
    pub attributes: [Scale; ATTRIBUTES.len()],
    /// Those of fractional differences (channels 1–3).
    pub difference: Scale,
    /// Those of lengths of fractional differences (channel 0).
    pub distance: Scale,
}

/// Length of a vector.
pub(super) fn length(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Count, sums and ends of a sample; sums are taken from its first value on, for their digits' sake.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    pub(super) count: usize,
    shift: f64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { count: 0, shift: 0.0, sum: 0.0, squares: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY }
    }
}

impl Moments {
    pub(super) fn push(&mut self, value: f64) {
        if self.count == 0 {
            self.shift = value;
        }
        self.count += 1;
        self.sum += value - self.shift;
        self.squares += (value - self.shift).powi(2);
        (self.min, self.max) = (self.min.min(value), self.max.max(value));
    }

    fn mean(&self) -> f64 {
        self.shift + self.sum / self.count as f64
    }

    fn std(&self) -> f64 {
        let n = self.count as f64;
        (self.squares / n - (self.sum / n).powi(2)).max(0.0).sqrt()
    }
}
