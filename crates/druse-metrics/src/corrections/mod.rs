//! Corrections that bring energies of density functionals onto one scale.
//!
//! The Materials Project computes oxides and fluorides of some transition metals with GGA+U and everything else with GGA, and the
//! bond of molecules such as O₂ is off in both. Differences between such total energies mean something after corrections, fitted
//! to measured enthalpies of formation: the scheme MP2020 (A. Wang et al., Sci. Rep. 11, 15496 (2021)).

mod mp2020;
mod surroundings;

pub use mp2020::Mp2020;
pub use surroundings::{OxygenKind, Surroundings};
