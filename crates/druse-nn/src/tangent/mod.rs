//! Forward-mode derivatives made of operations that have a backward pass: second derivatives for losses of forces and for
//! gradient penalties.
//!
//! The engine differentiates once, in reverse. A loss `L(f, g)` of a function `f(x; θ)` and of its derivative `g = ∂f/∂x`
//! needs `∂²f/∂x∂θ`, and gets it in two passes that are each of first order. The first gives f and g, and from them
//! `e = ∂L/∂f` and `v = ∂L/∂g`. With e and v held constant,
//!
//! ```text
//! dL/dθ = ∂/∂θ [ ⟨e, f(x; θ)⟩ + ⟨v, ∂f/∂x⟩ ],
//! ```
//!
//! and `⟨v, ∂f/∂x⟩` is the derivative of f along the direction v, which forward mode computes beside f: the second pass
//! evaluates f for a [`Dual`] (x, v) and runs the ordinary backward pass (Pearlmutter, Neural Computation 6, 147 (1994), for
//! the product of a Hessian and a vector). [`loss_gradients`] does both.
//!
//! A network is written once, as a function of [`Dual`]s: without a tangent it costs what it costs on tensors. Functions here
//! have the names of the operations in [`crate::ops`] whose tangents they add.

mod activation;
mod dual;
mod geometry;
mod linear;
mod loss;
mod radial;
#[cfg(test)]
mod tests;

pub use activation::silu;
pub use dual::Dual;
pub use geometry::{edge_vectors, lengths, strained_edge_vectors};
pub use linear::{affine, dense, gather, scatter_sum};
pub use loss::{LossGradients, input_gradients, loss_gradients};
pub use radial::gaussians;
