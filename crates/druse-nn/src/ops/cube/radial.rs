//! Radial functions of edges.

use burn::tensor::{Device, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::launch::{arg, grid, new_matrix};
use crate::ops::matrix::matrix;

/// One unit for each edge e and function k: `envelope · exp(-½ (nearest - k + offset)²)`.
#[cube(launch)]
fn gaussians_kernel(place: &[f32], y: &mut [f32], count: usize) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let e = ABSOLUTE_POS / count;
    let k = ABSOLUTE_POS % count;
    // The difference of the two integers is exact, so nothing is lost between far edges and narrow functions.
    let x = (place[e * 3] - k as f32) + place[e * 3 + 1];
    let mut value = 0.0f32;
    // As far as on the CPU.
    if x > -10.5f32 && x < 10.5f32 {
        value = place[e * 3 + 2] * (-0.5f32 * x * x).exp();
    }
    y[ABSOLUTE_POS] = value;
}

/// Gaussians of unit width around 0, 1, …, `count` - 1. For each distance `places` holds the nearest integer, what is
/// left, and a factor.
pub(crate) fn gaussians(places: Vec<f32>, count: usize, device: &Device) -> Tensor<2> {
    let plain = device.clone().inner();
    let places = matrix(places, 3, &plain);
    let y = new_matrix([places.dims()[0], count], &places);
    if let Some(g) = grid(y.dims().iter().product(), &y) {
        gaussians_kernel::launch(&g.client, g.count, g.dim, arg(&places), arg(&y), count);
    }
    if device.is_autodiff() { Tensor::from_inner(y) } else { y }
}
