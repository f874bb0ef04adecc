//! Radial functions: sines over the distance that fade towards the cutoff.

use serde::{Deserialize, Serialize};

/// How edges fade towards the cutoff.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum CutoffFunction {
    /// 1 up to a distance, then a smooth step to 0 at the cutoff.
    Xplor {
        /// Where the step begins (Å).
        on: f64,
    },
    /// A polynomial of the distance over the cutoff that leaves 1 with its power `p`.
    Polynomial {
        /// The power.
        p: u32,
    },
}

impl CutoffFunction {
    /// Value and slope at a distance below the cutoff.
    fn at(self, r: f64, cutoff: f64) -> [f64; 2] {
        match self {
            Self::Xplor { on } if r < on => [1.0, 0.0],
            Self::Xplor { on } => {
                let (rc2, r2, on2) = (cutoff * cutoff, r * r, on * on);
                let (rest, norm) = (rc2 - r2, (rc2 - on2).powi(3));
                let value = rest * rest * (rc2 + 2.0 * r2 - 3.0 * on2) / norm;
                [value, 12.0 * r * rest * (on2 - r2) / norm]
            }
            Self::Polynomial { p } => {
                let (u, p) = (r / cutoff, f64::from(p));
                let (first, second, third) =
                    ((p + 1.0) * (p + 2.0) / 2.0, p * (p + 2.0), p * (p + 1.0) / 2.0);
                let power = u.powf(p - 1.0);
                let value = 1.0 - power * u * (first - u * (second - u * third));
                let slope = -power * (first * p - u * (second * (p + 1.0) - u * third * (p + 2.0)));
                [value, slope / cutoff]
            }
        }
    }
}

/// The radial functions e_k(r) = a sin(c_k r)/r f(r).
#[derive(Debug, Clone)]
pub(crate) struct Basis {
    pub frequencies: Vec<f64>,
    pub cutoff: f64,
    /// The factor a.
    pub norm: f64,
    pub function: CutoffFunction,
}

impl Basis {
    /// Writes values and slopes at a distance > 0; zeros from the cutoff on.
    pub fn at(&self, r: f64, values: &mut [f64], slopes: &mut [f64]) {
        if r >= self.cutoff {
            values.fill(0.0);
            slopes.fill(0.0);
            return;
        }
        let [f, df] = self.function.at(r, self.cutoff);
        let norm = self.norm;
        for ((value, slope), &c) in values.iter_mut().zip(slopes).zip(&self.frequencies) {
            let (sine, cosine) = (c * r).sin_cos();
            *value = norm * sine / r * f;
            *slope = norm / r * (c * cosine * f + sine * (df - f / r));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_differences_of_values() {
        for function in [CutoffFunction::Xplor { on: 4.5 }, CutoffFunction::Polynomial { p: 6 }] {
            let basis = Basis { frequencies: vec![0.508, 1.11, 5.1], cutoff: 5.0, norm: 0.4, function };
            let at = |r| {
                let (mut values, mut slopes) = ([0.0; 3], [0.0; 3]);
                basis.at(r, &mut values, &mut slopes);
                (values, slopes)
            };
            for r in [0.4, 1.0, 2.7, 4.4, 4.6, 4.9, 4.99] {
                let (step, slopes) = (1e-5, at(r).1);
                let (after, before) = (at(r + step).0, at(r - step).0);
                for k in 0..3 {
                    let difference = (after[k] - before[k]) / (2.0 * step);
                    assert!(
                        (difference - slopes[k]).abs() < 1e-7,
                        "{function:?} at {r}: {difference} {}",
                        slopes[k]
                    );
                }
            }
            // Value and slope vanish at the cutoff.
            let (values, slopes) = at(5.0 - 1e-9);
            assert!(values.iter().chain(&slopes).all(|x| x.abs() < 1e-7), "{function:?}");
            assert_eq!(at(5.0).0, [0.0; 3]);
        }
    }
}
