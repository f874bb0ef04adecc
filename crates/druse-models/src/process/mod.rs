//! Noise processes that models share: schedules, the torus, centered coordinates, the algebra of lattices, cell parameters
//! without bounds, reproducible
//! noise.

pub mod cell_coordinates;
pub mod centering;
mod langevin;
pub mod lattice_algebra;
mod levels;
mod noise;
mod schedule;
pub mod torus;

pub use langevin::Langevin;
pub use levels::NoiseLevels;
pub use noise::Noise;
pub use schedule::BetaSchedule;
