//! The engine room: batches, multigraphs, bases, message-passing blocks, fused kernels and weight files.
//!
//! This is the only crate that names the engine's backends.

mod init;
mod params;

pub use init::Init;
pub use params::{ParamBuilder, ParamId, ParamSpec, Params};
