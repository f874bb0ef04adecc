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
//!
//! ```
//! use burn::tensor::Tensor;
//! use druse_nn::blocks::Linear;
//! use druse_nn::ops::Activation;
//! use druse_nn::tangent::loss_gradients;
//! use druse_nn::{ParamBuilder, Params, device};
//!
//! let mut builder = ParamBuilder::default();
//! let first = Linear::new(&mut builder, "first", [3, 8], true);
//! let second = Linear::new(&mut builder, "second", [8, 1], true);
//! let params = Params::init(&builder.finish(), 1, &device::cpu());
//! let samples = Tensor::<2>::from_data([[0.1, 0.2, 0.3], [0.3, -0.1, 0.5]], &device::cpu());
//! // The gradient penalty of a critic with two layers.
//! let found = loss_gradients(
//!     &params,
//!     [samples],
//!     |params, [x]| {
//!         let hidden = first.dual(params, x, Activation::Silu);
//!         second.dual(params, hidden, Activation::Identity)
//!     },
//!     |_, [slopes]| ((slopes.clone() * slopes).sum_dim(1).sqrt() - 1.0).powi_scalar(2).mean(),
//! );
//! assert_eq!(found.input_gradients[0].dims(), [2, 3]);
//! assert_eq!(found.gradients.len(), 4);
//! ```

mod activation;
mod dual;
mod geometry;
mod image;
mod linear;
mod loss;
mod radial;
#[cfg(test)]
mod tests;

pub use activation::silu;
pub use dual::Dual;
pub use geometry::{edge_vectors, lengths, strained_edge_vectors};
pub use image::{conv, layer_norm_leaky};
pub use linear::{affine, dense, gather, scatter_sum};
pub use loss::{LossGradients, input_gradient_loss, input_gradients, loss_gradients};
pub use radial::gaussians;
