//! Fréchet distance between Gaussians fitted to feature vectors.

use nalgebra::{DMatrix, DVector, SymmetricEigen};

use crate::features::{FeatureError, Features};

/// Mean and covariance of feature vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    mean: DVector<f64>,
    covariance: DMatrix<f64>,
}

impl Gaussian {
    /// Fits feature vectors; the covariance has the denominator n − 1.
    ///
    /// # Errors
    /// [`FeatureError::TooFew`] for fewer than two vectors.
    pub fn fit(features: &Features) -> Result<Self, FeatureError> {
        features.check_len(2)?;
        let n = features.len() as f64;
        // Columns are crystals.
        let mut columns = DMatrix::from_column_slice(features.dim(), features.len(), features.as_slice());
        let mean = columns.column_mean();
        for mut column in columns.column_iter_mut() {
            column -= &mean;
        }
        let covariance = (&columns * columns.transpose()) / (n - 1.0);
        Ok(Self { mean, covariance })
    }

    /// Mean of each feature.
    pub fn mean(&self) -> &[f64] {
        self.mean.as_slice()
    }

    /// Squared Fréchet (2-Wasserstein) distance, the "FD" of the literature:
    /// `|m₁ − m₂|² + tr(S₁ + S₂ − 2 (S₁^½ S₂ S₁^½)^½)` (Dowson and Landau, J. Multivar. Anal. 12, 450, 1982).
    ///
    /// Covariances of fingerprints are rank deficient, where a general matrix square root turns complex; here
    /// symmetric eigenvalues are clamped at 0.
    ///
    /// # Errors
    /// [`FeatureError::Dimension`] when the features differ in number, [`FeatureError::TooLarge`] when their squares
    /// overflow.
    pub fn frechet(&self, other: &Self) -> Result<f64, FeatureError> {
        if self.mean.len() != other.mean.len() {
            return Err(FeatureError::Dimension { left: self.mean.len(), right: other.mean.len() });
        }
        let eigen = eigen(self.covariance.clone())?;
        let roots = eigen.eigenvalues.map(|x| x.max(0.0).sqrt());
        let root = &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose();
        let product = &root * &other.covariance * &root;
        let eigen_of_product = self::eigen((&product + product.transpose()) * 0.5)?;
        let overlap: f64 = eigen_of_product.eigenvalues.iter().map(|x| x.max(0.0).sqrt()).sum();
        let means = (&self.mean - &other.mean).norm_squared();
        Ok((means + self.covariance.trace() + other.covariance.trace() - 2.0 * overlap).max(0.0))
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix.
fn eigen(m: DMatrix<f64>) -> Result<SymmetricEigen<f64, nalgebra::Dyn>, FeatureError> {
    if m.iter().any(|x| !x.is_finite()) {
        return Err(FeatureError::TooLarge);
    }
    // A few steps an eigenvalue are usual.
    let steps = 100 * (m.nrows() + 10);
    SymmetricEigen::try_new(m, f64::EPSILON, steps).ok_or(FeatureError::TooLarge)
}

/// [`Gaussian::frechet`] of two sets of feature vectors.
///
/// The estimate is biased upwards unless there are many more vectors than features.
///
/// # Errors
/// [`FeatureError`] for fewer than two vectors in a set and for features that differ in number.
pub fn frechet_distance(a: &Features, b: &Features) -> Result<f64, FeatureError> {
    a.check_same_dim(b)?;
    Gaussian::fit(a)?.frechet(&Gaussian::fit(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_dimension_has_a_closed_form() {
        let a = Features::from_rows([[0.0], [2.0], [4.0]]).unwrap();
        let b = Features::from_rows([[1.0], [2.0], [3.0]]).unwrap();
        // Standard deviations 2 and 1, equal means.
        assert!((frechet_distance(&a, &b).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(frechet_distance(&a, &a.select(&[0])), Err(FeatureError::TooFew { found: 1, needed: 2 }));
        let wide = Features::from_rows([[0.0, 1.0], [2.0, 0.0]]).unwrap();
        assert_eq!(frechet_distance(&a, &wide), Err(FeatureError::Dimension { left: 1, right: 2 }));
    }

    #[test]
    fn features_that_overflow_are_an_error() {
        let large = Features::from_rows([[1e200, 0.0], [-1e200, 1.0]]).unwrap();
        assert_eq!(frechet_distance(&large, &large), Err(FeatureError::TooLarge));
    }

    #[test]
    fn unused_features_do_no_harm() {
        let row = |i: i32, s: f64| [s * f64::from(i % 7), 0.0, f64::from(i % 3), s * f64::from(i % 7)];
        let a = Features::from_rows((0..50).map(|i| row(i, 1.0))).unwrap();
        let b = Features::from_rows((0..50).map(|i| row(i, 1.5))).unwrap();
        assert!(frechet_distance(&a, &a).unwrap() < 1e-6);
        let d = frechet_distance(&a, &b).unwrap();
        assert!(d.is_finite() && d > 0.1);
    }

    proptest! {
        #[test]
        fn diagonal_covariances_add_up_over_features(
            scale in prop::array::uniform3(0.1..3.0f64), shift in prop::array::uniform3(-2.0..2.0f64),
        ) {
            // Corners of a cube: independent features of unit spread.
            let corners = || (0..8).map(|k| [k & 1, k >> 1 & 1, k >> 2 & 1].map(|b| 2.0 * f64::from(b) - 1.0));
            let a = Features::from_rows(corners()).unwrap();
            let b = Features::from_rows(corners().map(|c| std::array::from_fn::<f64, 3, _>(|i| scale[i] * c[i] + shift[i]))).unwrap();
            let variance = 8.0 / 7.0f64;
            let want: f64 = (0..3).map(|i| shift[i] * shift[i] + variance * (scale[i] - 1.0).powi(2)).sum();
            prop_assert!((frechet_distance(&a, &b).unwrap() - want).abs() < 1e-9);
            prop_assert!((frechet_distance(&b, &a).unwrap() - want).abs() < 1e-9);
        }
    }
}
