//! Two-sample Kolmogorov–Smirnov statistic.

use serde::{Deserialize, Serialize};

use super::{SampleError, TwoSamples};

/// Result of the two-sample test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KolmogorovSmirnov {
    /// Largest difference of the two empirical distribution functions, in [0, 1].
    pub statistic: f64,
    /// Asymptotic probability of a statistic at least as large if both samples came from one continuous distribution
    /// (Stephens, J. R. Stat. Soc. B 32, 115, 1970). For values with ties, such as counts, it errs on the large side.
    pub p_value: f64,
}

/// Compares two samples. Values that repeat (numbers of elements, space-group numbers) are handled exactly: both
/// distribution functions step before they are compared.
///
/// # Errors
/// [`SampleError`] for an empty sample or values that are not finite.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> Result<KolmogorovSmirnov, SampleError> {
    let statistic = TwoSamples::new(a, b)?.kolmogorov_smirnov();
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let root = (na * nb / (na + nb)).sqrt();
    Ok(KolmogorovSmirnov { statistic, p_value: tail((root + 0.12 + 0.11 / root) * statistic) })
}

/// Kolmogorov's tail `2 Σ (−1)^(k−1) exp(−2 k² x²)`.
fn tail(x: f64) -> f64 {
    if x < 0.2 {
        // The series converges slowly, to 1 within 1e-12.
        return 1.0;
    }
    let term = |k: f64| (-2.0 * k * k * x * x).exp();
    let sum: f64 = (1..=100).map(f64::from).map(|k| if k % 2.0 == 1.0 { term(k) } else { -term(k) }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_statistics() {
        let d = |a: &[f64], b: &[f64]| kolmogorov_smirnov(a, b).unwrap().statistic;
        assert_eq!(d(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0]), 0.0);
        assert_eq!(d(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(d(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]), 0.5);
        // Ties: 225 makes up three quarters of one sample, a quarter of the other.
        assert_eq!(d(&[225.0, 225.0, 225.0, 1.0], &[1.0, 1.0, 225.0, 1.0]), 0.5);
        assert_eq!(kolmogorov_smirnov(&[], &[1.0]), Err(SampleError::Empty));
    }

    #[test]
    fn tail_has_its_tabulated_quantiles() {
        // Critical values of Kolmogorov's distribution.
        for (x, p) in [(1.2238, 0.10), (1.3581, 0.05), (1.6276, 0.01), (1.9495, 0.001)] {
            assert!((tail(x) - p).abs() < 2e-4, "{x}: {}", tail(x));
        }
        assert_eq!(tail(0.0), 1.0);
        let same: Vec<f64> = (0..1000).map(f64::from).collect();
        let moved: Vec<f64> = same.iter().map(|x| x + 100.0).collect();
        assert_eq!(kolmogorov_smirnov(&same, &same).unwrap().p_value, 1.0);
        assert!(kolmogorov_smirnov(&same, &moved).unwrap().p_value < 1e-3);
    }
}
