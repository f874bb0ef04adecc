//! The engine room: batches, multigraphs, bases, message-passing blocks, fused kernels and weight files.
//!
//! This is the only crate that names the engine's backends.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod blocks;
pub mod device;
pub mod graph;
mod init;
pub mod limits;
pub mod memory;
pub mod ops;
pub mod optim;
mod params;
mod precision;
pub mod weights;

pub use init::Init;
pub use params::{ParamBuilder, ParamId, ParamSpec, Params};
pub use precision::{Precision, PrecisionError};
