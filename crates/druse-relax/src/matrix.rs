//! The exponential of a 3×3 matrix and its derivative.

use nalgebra::Matrix3;

/// Terms of the series, enough for the norm that [`SMALL`] allows in double precision: 0.5¹⁹/19! is below 1e-22.
const TERMS: u32 = 18;

/// Norm up to which the series is summed; larger matrices are halved until they are below, and the result is squared.
const SMALL: f64 = 0.5;

/// exp(A), and the Fréchet derivative of exp at A in a direction E: the E-linear part of exp(A + E).
///
/// Scaling and squaring of the Taylor series, differentiated term by term: with X = exp(A/2) and its derivative D,
/// exp(A) = X² has the derivative D X + X D (Al-Mohy and Higham 2009, SIAM J. Matrix Anal. Appl. 30, 1639, section 2).
/// The adjoint of the derivative at A, for the inner product Σᵢⱼ MᵢⱼNᵢⱼ, is the derivative at Aᵀ.
pub(crate) fn exp_derivative(a: &Matrix3<f64>, direction: &Matrix3<f64>) -> (Matrix3<f64>, Matrix3<f64>) {
    let norm = a.norm();
    // A matrix that is not finite needs no scaling: the result is not finite.
    let halvings = if norm.is_finite() { (norm / SMALL).max(1.0).log2().ceil() as i32 } else { 0 };
    let scale = 0.5f64.powi(halvings);
    let (a, direction) = (a * scale, direction * scale);
    let (mut value, mut derivative) = (Matrix3::identity(), Matrix3::zeros());
    let (mut term, mut term_derivative) = (Matrix3::identity(), Matrix3::zeros());
    for k in 1..=TERMS {
        let by = 1.0 / f64::from(k);
        term_derivative = (term_derivative * a + term * direction) * by;
        term = term * a * by;
        value += term;
        derivative += term_derivative;
    }
    for _ in 0..halvings {
        derivative = derivative * value + value * derivative;
        value *= value;
    }
    (value, derivative)
}

/// exp(A).
pub(crate) fn exp(a: &Matrix3<f64>) -> Matrix3<f64> {
    exp_derivative(a, &Matrix3::zeros()).0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrices(size: f64) -> impl Strategy<Value = Matrix3<f64>> {
        prop::array::uniform9(-size..size).prop_map(|x| Matrix3::from_row_slice(&x))
    }

    proptest! {
        #[test]
        fn the_exponential_has_its_known_properties(a in matrices(2.0)) {
            let e = exp(&a);
            // exp(A) exp(-A) = 1, det exp(A) = exp(tr A).
            prop_assert!((e * exp(&-a) - Matrix3::identity()).norm() < 1e-10 * e.norm() * exp(&-a).norm());
            prop_assert!((e.determinant() / a.trace().exp() - 1.0).abs() < 1e-8);
        }

        #[test]
        fn the_derivative_is_that_of_differences(a in matrices(1.5), e in matrices(1.0), w in matrices(1.0)) {
            let (value, derivative) = exp_derivative(&a, &e);
            let h = 1e-5;
            let difference = (exp(&(a + e * h)) - exp(&(a - e * h))) / (2.0 * h);
            prop_assert!((derivative - difference).norm() < 1e-7 * value.norm().max(1.0));
            let adjoint = exp_derivative(&a.transpose(), &w).1;
            let (left, right) = (derivative.dot(&w), e.dot(&adjoint));
            prop_assert!((left - right).abs() < 1e-10 * left.abs().max(value.norm()));
        }
    }

    #[test]
    fn rotations_and_dilations_are_known() {
        let (s, c) = 0.3f64.sin_cos();
        let turn = Matrix3::new(0.0, -0.3, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0);
        let rotation = Matrix3::new(c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0);
        assert!((exp(&turn) - rotation).norm() < 1e-15);
        assert!(
            (exp(&Matrix3::from_diagonal_element(3.0)) / 3f64.exp() - Matrix3::identity()).norm() < 1e-14
        );
        assert_eq!(exp(&Matrix3::zeros()), Matrix3::identity());
        assert!(exp(&Matrix3::from_diagonal_element(f64::NAN)).iter().any(|x| x.is_nan()));
    }
}
