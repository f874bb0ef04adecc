//! CrysTens, the image tensors of CrysTens GAN and CrysTens Diffusion (M. Alverson et al., Digital Discovery 3, 62,
//! 2024): what the generated tensors themselves are judged by, before any structure is made of them.
//!
//! A generator of CrysTens evaluates its raw output with [`consistency`]; structures decoded from it are then evaluated as
//! those of any other model.

mod consistency;

pub use consistency::{
    CHANNELS, Collected, Consistency, ConsistencyError, ConsistencySettings, EDGE, TENSOR_LEN, consistency,
    final_coordinates,
};
