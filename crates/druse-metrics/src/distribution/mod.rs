//! Distances between distributions, known by samples of them.

mod bootstrap;
mod frechet;
mod histogram;
mod kolmogorov_smirnov;
mod two_samples;
mod wasserstein;

pub use bootstrap::{Bootstrap, Interval, draw_without_replacement};
pub use frechet::{Gaussian, frechet_distance};
pub use histogram::Histogram;
pub(crate) use histogram::quantile;
pub use kolmogorov_smirnov::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use two_samples::TwoSamples;
pub use wasserstein::{wasserstein, wasserstein_weighted};

/// Why samples cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// A sample has no value.
    #[error("a sample is empty")]
    Empty,
    /// A value is NaN or, where that has no meaning, infinite.
    #[error("value {0} of a sample is not a finite number")]
    NotFinite(usize),
    /// Weights and values differ in number.
    #[error("{values} values have {weights} weights")]
    Weights {
        /// Number of values.
        values: usize,
        /// Number of weights.
        weights: usize,
    },
    /// A weight is negative or not finite, or all are zero.
    #[error("weights must be finite, not negative, and not all zero")]
    NegativeWeight,
}

/// A copy of the sample in rising order.
fn sorted(values: &[f64]) -> Result<Vec<f64>, SampleError> {
    if values.is_empty() {
        return Err(SampleError::Empty);
    }
    if let Some(i) = values.iter().position(|x| !x.is_finite()) {
        return Err(SampleError::NotFinite(i));
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(sorted)
}
