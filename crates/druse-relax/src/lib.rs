//! Relaxation of crystals.
//!
//! A [`Potential`] gives the energy, the forces and the stress of crystals; [`relax`] and [`relax_many`] move atoms and cell
//! until the forces vanish, a [`Relaxation`] does so step by step. Nothing here knows a network: potentials that are
//! networks live in `druse-potential`, those in [`pair`] are sums over pairs of atoms.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod ensemble;
mod filter;
mod many;
mod matrix;
mod optimizer;
mod outcome;
pub mod pair;
mod potential;
mod relaxation;
mod settings;
mod symmetry;

pub use ensemble::Ensemble;
pub use filter::{CellFilter, CellMode, FilterError, Row};
pub use many::{Flight, RelaxSink, relax, relax_many};
pub use optimizer::{Fire, FireSettings, Lbfgs, LbfgsSettings, Optimizer};
pub use outcome::{Displacement, End, Figures, Frame, Relaxed};
pub use potential::{Evaluation, GIGAPASCAL, Opinion, Potential, PotentialError};
pub use relaxation::Relaxation;
pub use settings::{RelaxSettings, SettingsError};
pub use symmetry::Symmetry;
