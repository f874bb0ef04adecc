//! What networks on crystal graphs do on edges: gated sums (CGCNN), gated means (ALIGNN), and the layers around them.

mod gate_mean;
mod gate_sum;
mod normalized;
mod softplus;

#[cfg(test)]
mod tests;

pub use gate_mean::gate_mean;
pub use gate_sum::{EdgeWeights, gate_sum};
pub use normalized::batch_norm_silu;
pub use softplus::softplus;
