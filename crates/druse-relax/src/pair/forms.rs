//! Energies of a pair of atoms as functions of their distance.

use serde::{Deserialize, Serialize};

/// An energy of a pair of atoms.
pub trait PairForm: Send + Sync {
    /// Energy (eV) and its derivative (eV/Å) at a distance in Å.
    fn at(&self, distance: f64) -> (f64, f64);
}

/// Lennard-Jones: φ(r) = 4 ε ((σ/r)¹² − (σ/r)⁶) (Jones 1924, Proc. R. Soc. A 106, 463).
///
/// The face-centered cubic crystal has the nearest-neighbor distance 1.0902 σ and the energy −8.610 ε an atom.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LennardJones {
    /// Depth ε of the well (eV).
    pub epsilon: f64,
    /// Distance σ (Å) at which the energy is zero; the minimum lies at 2^(1/6) σ.
    pub sigma: f64,
}

/// Morse: φ(r) = D ((1 − e^(−α (r − r₀)))² − 1) (Morse 1929, Phys. Rev. 34, 57, equation 4).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Morse {
    /// Depth D of the well (eV).
    pub depth: f64,
    /// Inverse width α of the well (1/Å).
    pub alpha: f64,
    /// Distance r₀ of the minimum (Å).
    pub distance: f64,
}

/// Buckingham: φ(r) = A e^(−r/ρ) − C/r⁶ (Buckingham 1938, Proc. R. Soc. A 168, 264). At short distances it falls without
/// bound: atoms that come over the barrier collapse onto each other.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buckingham {
    /// Height A of the repulsion (eV).
    pub a: f64,
    /// Range ρ of the repulsion (Å).
    pub rho: f64,
    /// Strength C of the attraction (eV Å⁶).
    pub c: f64,
}

impl PairForm for LennardJones {
    fn at(&self, distance: f64) -> (f64, f64) {
        let six = (self.sigma / distance).powi(6);
        let energy = 4.0 * self.epsilon * six * (six - 1.0);
        (energy, -24.0 * self.epsilon * six * (2.0 * six - 1.0) / distance)
    }
}

impl PairForm for Morse {
    fn at(&self, distance: f64) -> (f64, f64) {
        let decay = (-self.alpha * (distance - self.distance)).exp();
        (self.depth * decay * (decay - 2.0), 2.0 * self.depth * self.alpha * decay * (1.0 - decay))
    }
}

impl PairForm for Buckingham {
    fn at(&self, distance: f64) -> (f64, f64) {
        let (repulsion, attraction) = (self.a * (-distance / self.rho).exp(), self.c / distance.powi(6));
        (repulsion - attraction, -repulsion / self.rho + 6.0 * attraction / distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_differences() {
        let forms: [&dyn PairForm; 3] = [
            &LennardJones { epsilon: 0.0103, sigma: 3.4 },
            &Morse { depth: 0.34, alpha: 1.36, distance: 2.87 },
            &Buckingham { a: 1388.8, rho: 0.3623, c: 175.0 },
        ];
        for form in forms {
            for r in [1.5, 2.2, 3.0, 4.5, 7.0] {
                let h = 1e-5;
                let difference = (form.at(r + h).0 - form.at(r - h).0) / (2.0 * h);
                assert!((form.at(r).1 - difference).abs() < 1e-7 * difference.abs().max(1e-3), "{r}");
            }
        }
    }

    #[test]
    fn wells_are_where_they_should_be() {
        let lj = LennardJones { epsilon: 0.5, sigma: 2.0 };
        let (energy, slope) = lj.at(2.0 * 2f64.powf(1.0 / 6.0));
        assert!((energy + 0.5).abs() < 1e-14 && slope.abs() < 1e-13);
        assert_eq!(Morse { depth: 0.3, alpha: 2.0, distance: 2.5 }.at(2.5), (-0.3, 0.0));
    }
}
