//! Relaxation of crystals.
//!
//! A [`Potential`] gives the energy, the forces and the stress of crystals. Nothing here knows a network: potentials that
//! are networks live in `druse-potential`.

mod potential;

pub use potential::{Evaluation, GIGAPASCAL, Potential, PotentialError};
