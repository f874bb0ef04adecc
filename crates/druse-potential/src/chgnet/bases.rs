//! Functions of distances and angles that features are made of.

use super::graph::{Graph, Pair};
use super::weights::{ANGULAR, BOND_CUTOFF, CUTOFF, POWER, RADIAL, WAVES, Weights};
use crate::basis::{Basis, CutoffFunction};
use crate::real::Real;

/// A row of basis functions, padded to whole vectors.
pub(super) type BasisRow<R> = [R; BASIS];
/// Its length.
pub(super) const BASIS: usize = 32;

/// The bases with their trained frequencies.
#[derive(Debug)]
pub(super) struct Bases {
    /// Of all bonds, and of short ones.
    radial: [Basis; 2],
    /// Frequencies of the waves of angles.
    waves: Vec<f64>,
}

/// Which bonds a radial basis is made for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bonds {
    All,
    Short,
}

/// Factor of an angle's cosine, which keeps the angle from 0 and π, where it has no slope.
const SHRINK: f64 = 1.0 - 1e-6;

impl Bases {
    pub fn new(weights: &Weights) -> Self {
        let radial = [("ag", CUTOFF), ("bg", BOND_CUTOFF)].map(|(name, cutoff)| {
            let frequencies = weights.get(&format!("bond_basis_expansion.rbf_expansion_{name}.frequencies"));
            Basis {
                frequencies: frequencies.into_iter().map(|w| w / cutoff).collect(),
                cutoff,
                norm: (2.0 / cutoff).sqrt(),
                function: CutoffFunction::Polynomial { p: POWER },
            }
        });
        Self { radial, waves: weights.get("angle_basis_expansion.fourier_expansion.frequencies") }
    }

    /// Values of the radial functions at a distance (Å), and their slopes.
    pub fn radial<R: Real>(&self, bonds: Bonds, r: f64, values: &mut BasisRow<R>, slopes: &mut BasisRow<R>) {
        let (mut wide, mut wide_slopes) = ([0.0; RADIAL], [0.0; RADIAL]);
        self.radial[bonds as usize].at(r, &mut wide, &mut wide_slopes);
        narrow(&wide, values);
        narrow(&wide_slopes, slopes);
    }

    /// Values of the functions of an angle, and their slopes.
    pub fn angular<R: Real>(&self, theta: f64, values: &mut BasisRow<R>, slopes: &mut BasisRow<R>) {
        let norm = 1.0 / std::f64::consts::PI.sqrt();
        let (mut wide, mut wide_slopes) = ([0.0; ANGULAR], [0.0; ANGULAR]);
        // The constant is a 32-bit number in the published code whatever it computes with.
        wide[0] = norm * f64::from(std::f32::consts::FRAC_1_SQRT_2);
        for (k, &w) in self.waves.iter().enumerate() {
            let (sine, cosine) = (w * theta).sin_cos();
            (wide[1 + k], wide[1 + WAVES + k]) = (norm * sine, norm * cosine);
            (wide_slopes[1 + k], wide_slopes[1 + WAVES + k]) = (norm * w * cosine, -norm * w * sine);
        }
        narrow(&wide, values);
        narrow(&wide_slopes, slopes);
    }
}

fn narrow<R: Real>(wide: &[f64], out: &mut BasisRow<R>) {
    out.iter_mut().zip(wide).for_each(|(out, &x)| *out = R::narrow(x));
}

/// `Σ a_k b_k`, in double precision.
pub(super) fn dot<R: Real>(a: &BasisRow<R>, b: &BasisRow<R>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum()
}

/// The angle (rad) between two edges with one center.
#[derive(Debug, Clone, Copy)]
pub(super) struct Angle {
    pub theta: f64,
    /// Directions of the edges.
    directions: [[f64; 3]; 2],
    lengths: [f64; 2],
}

impl Angle {
    pub fn new(graph: &Graph, pair: &Pair) -> Self {
        let edges = pair.shorts.map(|s| graph.short(s));
        let lengths = edges.map(|e| e.length);
        let directions = [0, 1].map(|k| edges[k].vector.map(|x| x / lengths[k]));
        Self { theta: (SHRINK * cosine(&directions)).acos(), directions, lengths }
    }

    /// Gradients in the vectors of the edges of something whose slope in the angle is given.
    pub fn gradients(&self, slope: f64) -> [[f64; 3]; 2] {
        let cosine = cosine(&self.directions);
        let shrunk = SHRINK * cosine;
        let by_cosine = -slope * SHRINK / (1.0 - shrunk * shrunk).sqrt();
        [0, 1].map(|k| {
            let (own, other) = (self.directions[k], self.directions[1 - k]);
            std::array::from_fn(|c| by_cosine * (other[c] - cosine * own[c]) / self.lengths[k])
        })
    }
}

fn cosine([a, b]: &[[f64; 3]; 2]) -> f64 {
    (0..3).map(|c| a[c] * b[c]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CHGNet;

    #[test]
    fn slopes_of_angles_are_differences_of_values() {
        let bases = Bases::new(&CHGNet::shipped_weights());
        let at = |theta: f64| {
            let (mut values, mut slopes) = ([0.0; 32], [0.0; 32]);
            bases.angular::<f64>(theta, &mut values, &mut slopes);
            (values, slopes)
        };
        for theta in [0.001, 0.7, 1.9, 3.1] {
            let (step, slopes) = (1e-6, at(theta).1);
            let (after, before) = (at(theta + step).0, at(theta - step).0);
            for k in 0..32 {
                let difference = (after[k] - before[k]) / (2.0 * step);
                assert!((difference - slopes[k]).abs() < 1e-8, "{k} at {theta}: {difference} {}", slopes[k]);
            }
        }
    }

    #[test]
    fn bases_of_short_bonds_vanish_at_their_cutoff() {
        let bases = Bases::new(&CHGNet::shipped_weights());
        let at = |bonds, r: f64| {
            let (mut values, mut slopes) = ([1.0; 32], [1.0; 32]);
            bases.radial::<f64>(bonds, r, &mut values, &mut slopes);
            (values, slopes)
        };
        for (bonds, cutoff) in [(Bonds::All, 6.0), (Bonds::Short, 3.0)] {
            let (values, slopes) = at(bonds, cutoff - 1e-9);
            assert!(values[..RADIAL].iter().chain(&slopes[..RADIAL]).all(|x| x.abs() < 1e-6));
            assert!(at(bonds, 0.5 * cutoff).0[..RADIAL].iter().any(|x| x.abs() > 0.1));
        }
    }
}
