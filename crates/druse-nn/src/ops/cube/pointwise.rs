//! Element by element: the SiLU, its derivative, and what is fused with them.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::launch::{arg, grid, new_matrix};

/// The logistic function. The argument is bounded so that the exponential stays finite on devices without infinities.
#[cube]
pub(super) fn sigmoid(x: f32) -> f32 {
    let bounded = max(x, -87.0f32);
    1.0f32 / (1.0f32 + (-bounded).exp())
}

/// `scale · x · sigmoid(x)`.
#[cube]
pub(super) fn scaled_silu(x: f32, scale: f32) -> f32 {
    scale * x * sigmoid(x)
}

/// Derivative of [`scaled_silu`].
#[cube]
pub(super) fn scaled_silu_slope(x: f32, scale: f32) -> f32 {
    let s = sigmoid(x);
    scale * s * (1.0f32 + x * (1.0f32 - s))
}

#[cube(launch)]
fn silu_kernel(z: &[f32], y: &mut [f32], scale: f32) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    y[ABSOLUTE_POS] = scaled_silu(z[ABSOLUTE_POS], scale);
}

#[cube(launch)]
fn silu_backward_kernel(z: &[f32], g: &[f32], d: &mut [f32], scale: f32) {
    if ABSOLUTE_POS >= d.len() {
        terminate!();
    }
    d[ABSOLUTE_POS] = g[ABSOLUTE_POS] * scaled_silu_slope(z[ABSOLUTE_POS], scale);
}

#[cube(launch)]
fn residual_silu_kernel(x: &[f32], z: &[f32], y: &mut [f32], scale: f32, factor: f32) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    y[ABSOLUTE_POS] = factor * (x[ABSOLUTE_POS] + scaled_silu(z[ABSOLUTE_POS], scale));
}

/// `scale · z · sigmoid(z)`.
pub(super) fn silu(z: &Tensor<2>, scale: f32) -> Tensor<2> {
    let y = new_matrix(z.dims(), z);
    if let Some(g) = grid(z.dims().iter().product(), z) {
        silu_kernel::launch(&g.client, g.count, g.dim, arg(z), arg(&y), scale);
    }
    y
}

/// `g · d/dz [scale · z · sigmoid(z)]`.
pub(super) fn silu_backward(z: &Tensor<2>, grad: &Tensor<2>, scale: f32) -> Tensor<2> {
    let d = new_matrix(z.dims(), z);
    if let Some(g) = grid(z.dims().iter().product(), z) {
        silu_backward_kernel::launch(&g.client, g.count, g.dim, arg(z), arg(grad), arg(&d), scale);
    }
    d
}

/// `factor · (x + scale · z · sigmoid(z))`.
pub(super) fn residual_silu(x: &Tensor<2>, z: &Tensor<2>, scale: f32, factor: f32) -> Tensor<2> {
    let y = new_matrix(z.dims(), z);
    if let Some(g) = grid(z.dims().iter().product(), z) {
        residual_silu_kernel::launch(&g.client, g.count, g.dim, arg(x), arg(z), arg(&y), scale, factor);
    }
    y
}
