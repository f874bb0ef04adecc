//! Noise processes that models share: schedules, the torus, the algebra of lattices, reproducible noise.

pub mod lattice_algebra;
mod noise;
mod schedule;
pub mod torus;

pub use noise::Noise;
pub use schedule::BetaSchedule;
