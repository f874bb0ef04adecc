//! GemsDiff: diffusion on atom positions (torus) and lattice (Lie algebra of GL3), conditioned on the composition.

mod config;

pub use config::{GemsDiffConfig, GemsNetConfig, Variant};
