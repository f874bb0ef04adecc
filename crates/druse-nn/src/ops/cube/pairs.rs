//! Angular functions of pairs of edges, evaluated where they are needed: nothing of the size of the pairs is uploaded
//! or kept.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::graph::DeviceGraph;
use super::launch::{arg, grid, list_arg, new_matrix};
use crate::ops::device_op::DeviceOp;
use crate::ops::gemnet::AngularSum;

/// Cosine of the angle between two edges.
#[cube]
pub(super) fn cosine(direction: &[f32], p: usize, q: usize) -> f32 {
    let dot = direction[p * 3] * direction[q * 3]
        + direction[p * 3 + 1] * direction[q * 3 + 1]
        + direction[p * 3 + 2] * direction[q * 3 + 2];
    clamp(dot, -1.0f32, 1.0f32)
}

/// `sqrt((2l+1)/4π) P_l(x)` for l < `degrees`, by Bonnet's recurrence.
#[cube]
pub(super) fn zonal_harmonics(x: f32, y: &mut Array<f32>, #[comptime] degrees: usize) {
    let mut previous = 0.0f32;
    let mut current = 1.0f32;
    #[unroll]
    for l in 0..degrees {
        y[l] = comptime!(norm(l)) * current;
        let next = comptime!((2 * l + 1) as f32 / (l + 1) as f32) * x * current
            - comptime!(l as f32 / (l + 1) as f32) * previous;
        previous = current;
        current = next;
    }
}

/// `sqrt((2l+1)/4π)`.
fn norm(l: usize) -> f32 {
    ((2 * l + 1) as f64 / (4.0 * std::f64::consts::PI)).sqrt() as f32
}

/// One unit for each edge q and column c: `s[q, l, c] = Σ_p Y_l(cos φ_pq) x[p, c]` over the other edges p of the atom.
#[cube(launch)]
fn angular_sum_kernel(
    x: &[f32],
    direction: &[f32],
    source: &[u32],
    source_ptr: &[u32],
    s: &mut [f32],
    cols: usize,
    #[comptime] degrees: usize,
) {
    let q = ABSOLUTE_POS / cols;
    let c = ABSOLUTE_POS % cols;
    if q >= source.len() {
        terminate!();
    }
    let atom = source[q] as usize;
    let mut y = Array::<f32>::new(degrees);
    let mut sum = Array::<f32>::new(degrees);
    #[unroll]
    for l in 0..degrees {
        sum[l] = 0.0f32;
    }
    for edge in source_ptr[atom]..source_ptr[atom + 1] {
        let p = edge as usize;
        if p != q {
            zonal_harmonics(cosine(direction, p, q), &mut y, degrees);
            let value = x[p * cols + c];
            #[unroll]
            for l in 0..degrees {
                sum[l] += y[l] * value;
            }
        }
    }
    #[unroll]
    for l in 0..degrees {
        s[(q * degrees + l) * cols + c] = sum[l];
    }
}

/// One unit for each edge p and column c: `d[p, c] = Σ_q Σ_l Y_l(cos φ_pq) g[q, l, c]`.
#[cube(launch)]
fn angular_sum_backward_kernel(
    g: &[f32],
    direction: &[f32],
    source: &[u32],
    source_ptr: &[u32],
    d: &mut [f32],
    cols: usize,
    #[comptime] degrees: usize,
) {
    let p = ABSOLUTE_POS / cols;
    let c = ABSOLUTE_POS % cols;
    if p >= source.len() {
        terminate!();
    }
    let atom = source[p] as usize;
    let mut y = Array::<f32>::new(degrees);
    let mut sum = 0.0f32;
    for edge in source_ptr[atom]..source_ptr[atom + 1] {
        let q = edge as usize;
        if p != q {
            zonal_harmonics(cosine(direction, p, q), &mut y, degrees);
            #[unroll]
            for l in 0..degrees {
                sum += y[l] * g[(q * degrees + l) * cols + c];
            }
        }
    }
    d[p * cols + c] = sum;
}

impl DeviceOp<1> for AngularSum {
    fn forward(&self, [x]: [Tensor<2>; 1], _keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        let graph = DeviceGraph::on(&self.graph, &x.device());
        let ([edges, cols], degrees) = (x.dims(), self.angles.degrees);
        assert_eq!(edges, self.graph.num_edges(), "one row for each edge");
        let s = new_matrix([edges, degrees * cols], &x);
        if let Some(g) = grid(edges * cols, &x) {
            angular_sum_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(&x),
                arg(&graph.direction),
                list_arg(&graph.source),
                list_arg(&graph.source_ptr),
                arg(&s),
                cols,
                degrees,
            );
        }
        (s, Vec::new())
    }

    fn backward(
        &self,
        [x]: [Tensor<2>; 1],
        _: Vec<Tensor<2>>,
        grad: Tensor<2>,
        _: [bool; 1],
    ) -> [Option<Tensor<2>>; 1] {
        let graph = DeviceGraph::on(&self.graph, &x.device());
        let [edges, cols] = x.dims();
        let d = new_matrix([edges, cols], &x);
        if let Some(g) = grid(edges * cols, &x) {
            angular_sum_backward_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(&grad),
                arg(&graph.direction),
                list_arg(&graph.source),
                list_arg(&graph.source_ptr),
                arg(&d),
                cols,
                self.angles.degrees,
            );
        }
        [Some(d)]
    }
}
