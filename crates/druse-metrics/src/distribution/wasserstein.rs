//! Earth mover's distance of one-dimensional samples.

use super::{SampleError, TwoSamples};

/// Wasserstein-1 distance between the empirical distributions of two samples: `∫ |F(x) − G(x)| dx`, in the unit of the
/// values. Equals scipy's `wasserstein_distance`.
///
/// # Errors
/// [`SampleError`] for an empty sample or values that are not finite.
pub fn wasserstein(a: &[f64], b: &[f64]) -> Result<f64, SampleError> {
    Ok(TwoSamples::new(a, b)?.wasserstein())
}

/// [`wasserstein`] of weighted samples; weights are normalized to sum to 1.
///
/// # Errors
/// [`SampleError`] as there, and for weights that are negative, all zero, or of another number than the values.
pub fn wasserstein_weighted(a: (&[f64], &[f64]), b: (&[f64], &[f64])) -> Result<f64, SampleError> {
    let (a, b) = (steps(a)?, steps(b)?);
    let mut jumps: Vec<(f64, f64)> = a.into_iter().chain(b.into_iter().map(|(x, w)| (x, -w))).collect();
    jumps.sort_by(|p, q| p.0.total_cmp(&q.0));
    let (mut difference, mut sum) = (0.0f64, 0.0);
    for pair in jumps.windows(2) {
        difference += pair[0].1;
        sum += difference.abs() * (pair[1].0 - pair[0].0);
    }
    Ok(sum)
}

/// Values with normalized weights.
fn steps((values, weights): (&[f64], &[f64])) -> Result<Vec<(f64, f64)>, SampleError> {
    if values.is_empty() {
        return Err(SampleError::Empty);
    }
    if values.len() != weights.len() {
        return Err(SampleError::Weights { values: values.len(), weights: weights.len() });
    }
    if let Some(i) = values.iter().position(|x| !x.is_finite()) {
        return Err(SampleError::NotFinite(i));
    }
    let total: f64 = weights.iter().sum();
    if !(total.is_finite() && total > 0.0) || weights.iter().any(|&w| w < 0.0) {
        return Err(SampleError::NegativeWeight);
    }
    Ok(values.iter().zip(weights).map(|(&x, &w)| (x, w / total)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_distances() {
        assert_eq!(wasserstein(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0]), Ok(5.0));
        assert_eq!(wasserstein(&[1.0, 2.0], &[2.0, 1.0]), Ok(0.0));
        assert!((wasserstein(&[0.0, 1.0], &[0.0]).unwrap() - 0.5).abs() < 1e-15);
        let weighted = wasserstein_weighted((&[0.0, 1.0], &[3.0, 1.0]), (&[5.0, 0.0], &[0.0, 2.0])).unwrap();
        assert!((weighted - 0.25).abs() < 1e-15);
        assert_eq!(wasserstein(&[], &[1.0]), Err(SampleError::Empty));
        assert_eq!(wasserstein(&[1.0], &[1.0, f64::NAN]), Err(SampleError::NotFinite(1)));
        assert_eq!(
            wasserstein_weighted((&[1.0], &[1.0]), (&[1.0], &[-1.0])),
            Err(SampleError::NegativeWeight)
        );
    }

    proptest! {
        #[test]
        fn equals_the_weighted_form_and_the_mean_of_sorted_differences(
            a in prop::collection::vec(-5.0..5.0f64, 1..20), b in prop::collection::vec(-5.0..5.0f64, 1..20),
            shift in -3.0..3.0f64,
        ) {
            let plain = wasserstein(&a, &b).unwrap();
            let ones = |x: &[f64]| vec![1.0; x.len()];
            let weighted = wasserstein_weighted((&a, &ones(&a)), (&b, &ones(&b))).unwrap();
            prop_assert!((plain - weighted).abs() < 1e-12);
            prop_assert!((plain - wasserstein(&b, &a).unwrap()).abs() < 1e-12);
            // Every value as often as the other sample is long: then it is the mean distance of partners.
            let repeat = |x: &[f64], n: usize| {
                let mut all: Vec<f64> = x.iter().flat_map(|&v| std::iter::repeat_n(v, n)).collect();
                all.sort_by(f64::total_cmp);
                all
            };
            let (ra, rb) = (repeat(&a, b.len()), repeat(&b, a.len()));
            let mean = ra.iter().zip(&rb).map(|(x, y)| (x - y).abs()).sum::<f64>() / ra.len() as f64;
            prop_assert!((plain - mean).abs() < 1e-12);
            let moved: Vec<f64> = a.iter().map(|x| x + shift).collect();
            prop_assert!((wasserstein(&a, &moved).unwrap() - shift.abs()).abs() < 1e-12);
        }
    }
}
