//! What sizes of networks may be.

use std::ops::RangeInclusive;

/// A size that makes no network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} = {value}, expected {expected}")]
pub struct SizeError {
    /// Name of the field.
    pub key: &'static str,
    /// What it holds.
    pub value: f64,
    /// What it may hold.
    pub expected: String,
}

/// Kinds of sizes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Allowed {
    /// Columns.
    Width,
    /// Layers of one kind.
    Layers,
    /// Angular degrees, so many at most.
    Degrees(usize),
    /// Radial functions.
    Functions,
}

impl Allowed {
    fn range(self) -> RangeInclusive<usize> {
        match self {
            Self::Width => 1..=4096,
            Self::Layers => 0..=64,
            Self::Degrees(most) => 1..=most,
            Self::Functions => 1..=64,
        }
    }
}

/// The first of the named sizes that is not allowed.
pub(crate) fn check<const N: usize>(sizes: [(&'static str, usize, Allowed); N]) -> Result<(), SizeError> {
    for (key, value, allowed) in sizes {
        let range = allowed.range();
        if !range.contains(&value) {
            let expected = format!("{} to {}", range.start(), range.end());
            return Err(SizeError { key, value: value as f64, expected });
        }
    }
    Ok(())
}

/// Refuses what is no length.
pub(crate) fn check_cutoff(cutoff: f64) -> Result<(), SizeError> {
    if cutoff.is_finite() && cutoff > 0.0 {
        return Ok(());
    }
    Err(SizeError { key: "cutoff", value: cutoff, expected: "a positive number".into() })
}
