//! Operations by hand on GPUs: kernels in CubeCL, one source for CUDA, ROCm, Metal, Vulkan and WebGPU.
//!
//! A [`DeviceOp`](super::device_op::DeviceOp) is the counterpart of the CPU's hand-written operation: forward and
//! backward pass as calls of kernels and of the engine's matrix product. Sums have a fixed order and no kernel uses
//! atomics, so a step repeats bit for bit on one device as far as the engine's own products do.

mod contract;
mod dense;
mod gather;
mod graph;
mod lattice_head;
mod launch;
mod pairs;
mod pointwise;
mod radial;
#[cfg(test)]
pub(super) mod tests;

pub(crate) use radial::gaussians;
