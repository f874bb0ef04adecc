//! Linear layers: the engine's matrix product and fused activations.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::gather::{DeviceIndex, sum_rows};
use super::launch::{arg, grid, list_arg, new_matrix};
use super::pointwise::{residual_silu, scaled_silu, scaled_silu_slope, silu, silu_backward};
use crate::ops::dense::{Dense, MergeEdges};
use crate::ops::device_op::DeviceOp;
use crate::ops::gemnet::{ResidualPair, SCALE};

/// `aᵀ b` for two matrices with the same, large number of rows.
///
/// The result is small and the sum long, which would keep only the few units of a GPU busy that own the result. So rows
/// are taken in blocks, one product each, and the products added in order.
pub(super) fn transposed_product(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    const BLOCK: usize = 1024;
    let ([rows, m], [_, n]) = (a.dims(), b.dims());
    let blocks = rows / BLOCK;
    if blocks < 2 {
        return a.transpose().matmul(b);
    }
    let whole = blocks * BLOCK;
    let cut = |t: &Tensor<2>, cols: usize| t.clone().narrow(0, 0, whole).reshape([blocks, BLOCK, cols]);
    let sum = cut(&a, m).swap_dims(1, 2).matmul(cut(&b, n)).sum_dim(0).reshape([m, n]);
    if whole == rows {
        return sum;
    }
    let rest = |t: Tensor<2>| t.narrow(0, whole, rows - whole);
    sum + rest(a).transpose().matmul(rest(b))
}

impl DeviceOp<2> for Dense {
    fn forward(&self, [x, w]: [Tensor<2>; 2], keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        let z = x.matmul(w.transpose());
        match self.act.scale() {
            None => (z, Vec::new()),
            Some(scale) => (silu(&z, scale), if keep { vec![z] } else { Vec::new() }),
        }
    }

    fn backward(
        &self,
        [x, w]: [Tensor<2>; 2],
        kept: Vec<Tensor<2>>,
        grad: Tensor<2>,
        wanted: [bool; 2],
    ) -> [Option<Tensor<2>>; 2] {
        let g = match self.act.scale() {
            None => grad,
            Some(scale) => silu_backward(&kept[0], &grad, scale),
        };
        let dx = wanted[0].then(|| g.clone().matmul(w));
        let dw = wanted[1].then(|| transposed_product(g, x));
        [dx, dw]
    }
}

impl DeviceOp<3> for ResidualPair {
    fn forward(&self, [x, w1, w2]: [Tensor<2>; 3], keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        let z1 = x.clone().matmul(w1.transpose());
        let z2 = silu(&z1, SCALE).matmul(w2.transpose());
        let y = residual_silu(&x, &z2, SCALE, std::f32::consts::FRAC_1_SQRT_2);
        (y, if keep { vec![z1, z2] } else { Vec::new() })
    }

    /// The hidden layer's activation is evaluated again instead of kept.
    fn backward(
        &self,
        [x, w1, w2]: [Tensor<2>; 3],
        kept: Vec<Tensor<2>>,
        grad: Tensor<2>,
        wanted: [bool; 3],
    ) -> [Option<Tensor<2>>; 3] {
        let [z1, z2] = [&kept[0], &kept[1]];
        let scaled = grad.mul_scalar(std::f32::consts::FRAC_1_SQRT_2);
        let d2 = silu_backward(z2, &scaled, SCALE);
        let dw2 = wanted[2].then(|| transposed_product(d2.clone(), silu(z1, SCALE)));
        let d1 = silu_backward(z1, &d2.matmul(w2), SCALE);
        let dw1 = wanted[1].then(|| transposed_product(d1.clone(), x));
        let dx = wanted[0].then(|| scaled + d1.matmul(w1));
        [dx, dw1, dw2]
    }
}

/// `a[first] + b[second] + c` of one entry.
#[cube]
fn merged(a: &[f32], b: &[f32], c: &[f32], first: &[u32], second: &[u32], at: usize, cols: usize) -> f32 {
    let edge = at / cols;
    let col = at % cols;
    c[at] + a[first[edge] as usize * cols + col] + b[second[edge] as usize * cols + col]
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
fn merge_kernel(
    a: &[f32],
    b: &[f32],
    c: &[f32],
    first: &[u32],
    second: &[u32],
    y: &mut [f32],
    cols: usize,
    scale: f32,
    #[comptime] activated: bool,
) {
    if ABSOLUTE_POS >= y.len() {
        terminate!();
    }
    let z = merged(a, b, c, first, second, ABSOLUTE_POS, cols);
    if comptime!(activated) {
        y[ABSOLUTE_POS] = scaled_silu(z, scale);
    } else {
        y[ABSOLUTE_POS] = z;
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
fn merge_backward_kernel(
    a: &[f32],
    b: &[f32],
    c: &[f32],
    first: &[u32],
    second: &[u32],
    g: &[f32],
    d: &mut [f32],
    cols: usize,
    scale: f32,
) {
    if ABSOLUTE_POS >= d.len() {
        terminate!();
    }
    let z = merged(a, b, c, first, second, ABSOLUTE_POS, cols);
    d[ABSOLUTE_POS] = g[ABSOLUTE_POS] * scaled_silu_slope(z, scale);
}

impl MergeEdges {
    fn indices(&self, [a, b, c]: &[Tensor<2>; 3]) -> [DeviceIndex; 2] {
        let [first, second] = [&self.first, &self.second].map(|index| DeviceIndex::on(index, &c.device()));
        first.check(a.dims()[0]);
        second.check(b.dims()[0]);
        for index in [&first, &second] {
            assert_eq!(index.rows.dims()[0], c.dims()[0], "one entry for each edge");
        }
        [first, second]
    }
}

impl DeviceOp<3> for MergeEdges {
    fn forward(&self, inputs: [Tensor<2>; 3], _keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        let [first, second] = self.indices(&inputs);
        let [a, b, c] = inputs;
        let y = new_matrix(c.dims(), &c);
        if let Some(g) = grid(c.dims().iter().product(), &c) {
            let scale = self.act.scale();
            merge_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(&a),
                arg(&b),
                arg(&c),
                list_arg(&first.rows),
                list_arg(&second.rows),
                arg(&y),
                c.dims()[1],
                scale.unwrap_or(1.0),
                scale.is_some(),
            );
        }
        (y, Vec::new())
    }

    /// The argument of the activation is summed again instead of kept.
    fn backward(
        &self,
        inputs: [Tensor<2>; 3],
        _: Vec<Tensor<2>>,
        grad: Tensor<2>,
        wanted: [bool; 3],
    ) -> [Option<Tensor<2>>; 3] {
        let [first, second] = self.indices(&inputs);
        let [a, b, c] = inputs;
        let d = match (self.act.scale(), grid(c.dims().iter().product(), &c)) {
            (Some(scale), Some(g)) => {
                let d = new_matrix(c.dims(), &c);
                merge_backward_kernel::launch(
                    &g.client,
                    g.count,
                    g.dim,
                    arg(&a),
                    arg(&b),
                    arg(&c),
                    list_arg(&first.rows),
                    list_arg(&second.rows),
                    arg(&grad),
                    arg(&d),
                    c.dims()[1],
                    scale,
                );
                d
            }
            _ => grad,
        };
        let da = wanted[0].then(|| sum_rows(&d, &first, a.dims()[0]));
        let db = wanted[1].then(|| sum_rows(&d, &second, b.dims()[0]));
        [da, db, wanted[2].then_some(d)]
    }
}
