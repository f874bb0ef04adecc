//! Contraction over angular degrees.

use burn::tensor::Tensor;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use super::launch::{arg, grid, new_matrix};
use crate::ops::device_op::DeviceOp;
use crate::ops::gemnet::ContractDegrees;

/// One unit for each entry of `t[e, c, i] = Σ_l s[e, l, c] b[e, l, i]`.
#[cube(launch)]
fn contract_kernel(
    s: &[f32],
    b: &[f32],
    t: &mut [f32],
    channels: usize,
    width: usize,
    #[comptime] degrees: usize,
) {
    if ABSOLUTE_POS >= t.len() {
        terminate!();
    }
    let i = ABSOLUTE_POS % width;
    let c = (ABSOLUTE_POS / width) % channels;
    let e = ABSOLUTE_POS / (width * channels);
    let mut sum = 0.0f32;
    #[unroll]
    for l in 0..degrees {
        let row = e * degrees + l;
        sum += s[row * channels + c] * b[row * width + i];
    }
    t[ABSOLUTE_POS] = sum;
}

/// One unit for each entry of `ds[e, l, c] = Σ_i g[e, c, i] b[e, l, i]`.
#[cube(launch)]
fn contract_backward_first_kernel(
    g: &[f32],
    b: &[f32],
    ds: &mut [f32],
    channels: usize,
    width: usize,
    degrees: usize,
) {
    if ABSOLUTE_POS >= ds.len() {
        terminate!();
    }
    let c = ABSOLUTE_POS % channels;
    let row = ABSOLUTE_POS / channels;
    let e = row / degrees;
    let mut sum = 0.0f32;
    for i in 0..width {
        sum += g[(e * channels + c) * width + i] * b[row * width + i];
    }
    ds[ABSOLUTE_POS] = sum;
}

/// One unit for each entry of `db[e, l, i] = Σ_c g[e, c, i] s[e, l, c]`.
#[cube(launch)]
fn contract_backward_second_kernel(
    g: &[f32],
    s: &[f32],
    db: &mut [f32],
    channels: usize,
    width: usize,
    degrees: usize,
) {
    if ABSOLUTE_POS >= db.len() {
        terminate!();
    }
    let i = ABSOLUTE_POS % width;
    let row = ABSOLUTE_POS / width;
    let e = row / degrees;
    let mut sum = 0.0f32;
    for c in 0..channels {
        sum += g[(e * channels + c) * width + i] * s[row * channels + c];
    }
    db[ABSOLUTE_POS] = sum;
}

impl DeviceOp<2> for ContractDegrees {
    fn forward(&self, [s, b]: [Tensor<2>; 2], _keep: bool) -> (Tensor<2>, Vec<Tensor<2>>) {
        let [edges, channels] = s.dims();
        let (channels, width) = (channels / self.degrees, b.dims()[1] / self.degrees);
        assert_eq!(edges, b.dims()[0], "one row for each edge");
        let t = new_matrix([edges, channels * width], &s);
        if let Some(g) = grid(edges * channels * width, &s) {
            contract_kernel::launch(
                &g.client,
                g.count,
                g.dim,
                arg(&s),
                arg(&b),
                arg(&t),
                channels,
                width,
                self.degrees,
            );
        }
        (t, Vec::new())
    }

    fn backward(
        &self,
        [s, b]: [Tensor<2>; 2],
        _: Vec<Tensor<2>>,
        grad: Tensor<2>,
        wanted: [bool; 2],
    ) -> [Option<Tensor<2>>; 2] {
        let (channels, width) = (s.dims()[1] / self.degrees, b.dims()[1] / self.degrees);
        let ds = wanted[0].then(|| {
            let ds = new_matrix(s.dims(), &s);
            if let Some(g) = grid(s.dims().iter().product(), &s) {
                contract_backward_first_kernel::launch(
                    &g.client,
                    g.count,
                    g.dim,
                    arg(&grad),
                    arg(&b),
                    arg(&ds),
                    channels,
                    width,
                    self.degrees,
                );
            }
            ds
        });
        let db = wanted[1].then(|| {
            let db = new_matrix(b.dims(), &b);
            if let Some(g) = grid(b.dims().iter().product(), &b) {
                contract_backward_second_kernel::launch(
                    &g.client,
                    g.count,
                    g.dim,
                    arg(&grad),
                    arg(&s),
                    arg(&db),
                    channels,
                    width,
                    self.degrees,
                );
            }
            db
        });
        [ds, db]
    }
}
