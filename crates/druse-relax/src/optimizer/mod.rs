//! Optimizers: from forces to displacements.
//!
//! They know rows of coordinates, not crystals: one row an atom and three of the cell, as [`CellFilter`](crate::CellFilter)
//! makes them.

mod fire;
mod lbfgs;

use serde::{Deserialize, Serialize};

pub use fire::{Fire, FireSettings};
pub use lbfgs::{Lbfgs, LbfgsSettings};

use crate::filter::Row;

/// Which optimizer, with its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// Damped dynamics: robust far from a minimum.
    Fire(FireSettings),
    /// Quasi-Newton with a line search: fewer evaluations near a minimum.
    Lbfgs(LbfgsSettings),
}

impl Default for Optimizer {
    fn default() -> Self {
        Self::Fire(FireSettings::default())
    }
}

/// The state of an optimizer.
#[derive(Debug, Clone)]
pub(crate) enum Running {
    Fire(Fire),
    Lbfgs(Lbfgs),
}

impl Running {
    pub(crate) fn new(optimizer: &Optimizer) -> Self {
        match optimizer {
            Optimizer::Fire(settings) => Self::Fire(Fire::new(*settings)),
            Optimizer::Lbfgs(settings) => Self::Lbfgs(Lbfgs::new(*settings)),
        }
    }

    /// The displacements of a step, from the value (eV) and the forces where the crystal is now; `None` when the optimizer
    /// finds nothing lower.
    pub(crate) fn step(&mut self, value: f64, forces: &[Row]) -> Option<Vec<Row>> {
        match self {
            Self::Fire(fire) => Some(fire.step(forces)),
            Self::Lbfgs(lbfgs) => lbfgs.step(value, forces),
        }
    }
}
