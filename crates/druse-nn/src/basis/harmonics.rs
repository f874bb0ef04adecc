//! Real spherical harmonics.

use std::f64::consts::{PI, SQRT_2};

use crate::arch::vectorized;

/// Places that are evaluated side by side.
pub(crate) const LANES: usize = 8;

/// Some values, one for each of the places that are evaluated side by side.
pub(crate) type Lanes = [f64; LANES];

/// All real spherical harmonics `Y_l^m` of degrees l = 0, 1, … in SphereNet's order: m = 0, 1, …, l, -l, …, -1 within a
/// degree, so that `Y_l^0` is number l².
///
/// With the associated Legendre polynomials `P_l^m` including the phase (-1)^m and
/// `N_lm = sqrt((2l+1)/4π · (l-m)!/(l+m)!)`: `Y_l^0 = N_l0 P_l`, `Y_l^m = √2 N_lm P_l^m(cos θ) cos mτ` and
/// `Y_l^{-m} = √2 N_lm P_l^m(cos θ) sin mτ` for m > 0.
#[derive(Debug, Clone)]
pub(crate) struct RealHarmonics {
    degrees: usize,
    /// For each order m and each degree l >= m: the factors of `P_{l-1}` and `P_{l-2}` in the recurrence of the degrees,
    /// and the norm.
    steps: Vec<[f64; 3]>,
}

impl RealHarmonics {
    /// The harmonics of degrees below `degrees`.
    pub fn new(degrees: usize) -> Self {
        let mut steps = Vec::new();
        for m in 0..degrees {
            for l in m..degrees {
                // (l-m)! / (l+m)!
                let ratio: f64 = (l - m + 1..=l + m).map(|k| 1.0 / k as f64).product();
                let norm =
                    ((2 * l + 1) as f64 / (4.0 * PI) * ratio).sqrt() * if m > 0 { SQRT_2 } else { 1.0 };
                let step = (l - m).max(1) as f64;
                steps.push([(2 * l) as f64 / step - 1.0 / step, (l + m) as f64 / step - 1.0 / step, norm]);
            }
        }
        Self { degrees, steps }
    }

    /// Number of functions: the square of the number of degrees.
    pub fn count(&self) -> usize {
        self.degrees * self.degrees
    }

    /// Values at [`LANES`] places `[cos θ, sin θ, cos τ, sin τ]`; writes all functions to `out`.
    pub fn evaluate(&self, place: &[Lanes; 4], out: &mut [Lanes]) {
        vectorized!(self.run(place, out));
    }

    #[inline(always)]
    fn run(&self, [z, s, c, d]: &[Lanes; 4], out: &mut [Lanes]) {
        // (sin θ e^{iτ})^m, and P_m^m / sin^m θ.
        let (mut real, mut imaginary) = ([1.0; LANES], [0.0; LANES]);
        let mut first = 1.0;
        let mut steps = self.steps.iter();
        for m in 0..self.degrees {
            if m > 0 {
                first *= 1.0 - 2.0 * m as f64;
                for i in 0..LANES {
                    let (re, im) = (real[i], imaginary[i]);
                    real[i] = s[i] * (re * c[i] - im * d[i]);
                    imaginary[i] = s[i] * (re * d[i] + im * c[i]);
                }
            }
            let (mut previous, mut current) = ([0.0; LANES], [first; LANES]);
            for l in m..self.degrees {
                let &[a, b, norm] = steps.next().expect("there is a step for every degree and order");
                for i in 0..LANES {
                    if l > m {
                        (previous[i], current[i]) = (current[i], a * z[i] * current[i] - b * previous[i]);
                    }
                    out[l * l + m][i] = norm * current[i] * real[i];
                }
                if m > 0 {
                    let opposite = &mut out[l * l + 2 * l + 1 - m];
                    for i in 0..LANES {
                        opposite[i] = norm * current[i] * imaginary[i];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::basis::zonal_harmonics;

    fn at(degrees: usize, theta: f64, tau: f64) -> Vec<f64> {
        let harmonics = RealHarmonics::new(degrees);
        let mut out = vec![[f64::NAN; LANES]; harmonics.count()];
        let place = [theta.cos(), theta.sin(), tau.cos(), tau.sin()].map(|x| [x; LANES]);
        harmonics.evaluate(&place, &mut out);
        assert!(out.iter().all(|y| y.iter().all(|x| *x == y[0])));
        out.into_iter().map(|y| y[0]).collect()
    }

    #[test]
    fn low_degrees_have_their_closed_forms() {
        let (theta, tau) = (0.7f64, 2.1f64);
        let (z, s) = (theta.cos(), theta.sin());
        let (x, y) = (s * tau.cos(), s * tau.sin());
        let n = |k: f64| (k / PI).sqrt();
        let expected = [
            0.5 * n(1.0),
            0.5 * n(3.0) * z,
            -0.5 * n(3.0) * x,
            -0.5 * n(3.0) * y,
            0.25 * n(5.0) * (3.0 * z * z - 1.0),
            -0.5 * n(15.0) * x * z,
            0.25 * n(15.0) * (x * x - y * y),
            0.5 * n(15.0) * x * y,
            -0.5 * n(15.0) * y * z,
        ];
        for (k, (a, b)) in at(3, theta, tau).iter().zip(expected).enumerate() {
            assert!((a - b).abs() < 1e-14, "{k}: {a} {b}");
        }
    }

    #[test]
    fn orders_of_zero_are_zonal_and_degrees_add_up() {
        for (theta, tau) in [(0.0, 1.0), (0.4, 0.0), (1.9, 3.1), (3.0, 5.0), (PI, 0.2)] {
            let values = at(7, theta, tau);
            assert_eq!(values.len(), 49);
            let mut zonal = [0.0; 7];
            zonal_harmonics(theta.cos(), &mut zonal);
            for l in 0..7 {
                assert!((values[l * l] - zonal[l]).abs() < 1e-13, "{l}");
                // Unsöld: the squares of a degree add up to a constant.
                let sum: f64 = values[l * l..(l + 1) * (l + 1)].iter().map(|y| y * y).sum();
                assert!((sum / ((2 * l + 1) as f64 / (4.0 * PI)) - 1.0).abs() < 1e-12, "{l}: {sum}");
            }
        }
    }
}
