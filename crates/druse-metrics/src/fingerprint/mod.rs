//! Feature vectors of crystals.

pub mod crystalnn;
pub mod magpie;
