//! The operations of crystal graphs against their compositions, and their gradients against differences.

use burn::tensor::Tensor;

use super::gate_mean::GateMean;
use super::gate_sum::GateSum;
use super::normalized::BatchNormSilu;
use super::softplus::Softplus;
use crate::arch::testing::on_every_arch;
use crate::graph::Index;
use crate::ops::host::{HostOp, Mat, Matrix};
use crate::ops::matrix;
use crate::ops::tests::{check, random};

const SOURCE: [u32; 9] = [0, 2, 2, 1, 3, 0, 3, 4, 2];
const TARGET: [u32; 9] = [1, 1, 0, 0, 3, 3, 1, 0, 4];

#[test]
fn gates() {
    on_every_arch(|| {
        for width in [1, 5, 16, 37] {
            let shapes = [[9, 2 * width]];
            let weights = [0.5, 1.0, 0.25, 0.0, 1.0, 2.0, 1.0, 1.0, 0.75];
            for weights in [None, Some(weights.as_slice().into())] {
                let op = GateSum { index: Index::from(TARGET), weights, rows: 6 };
                check(&op, shapes, &random(shapes, 2.0), 5e-3);
            }
            let shapes = [[9, width], [5, width]];
            let op = GateMean { source: Index::from(SOURCE), target: Index::from(TARGET) };
            check(&op, shapes, &random(shapes, 2.0), 5e-3);
            check(&Softplus, [shapes[0]], &random([shapes[0]], 3.0), 3e-3);
        }
    });
}

#[test]
fn nothing_is_summed_where_no_edge_leads() {
    let y = super::gate_sum(matrix(vec![1.0, 2.0], 2, &crate::device::cpu()), &[2].into(), &None, 4);
    let y = crate::ops::tests::host(&y);
    assert_eq!([y[0], y[1], y[3]], [0.0; 3]);
    assert!((y[2] - 0.731_058_6 * 2.126_928).abs() < 1e-5);
    let v = matrix(vec![3.0, 5.0, 7.0], 1, &crate::device::cpu());
    let m = matrix(vec![0.0, 0.0], 1, &crate::device::cpu());
    let h = crate::ops::tests::host(&super::gate_mean(m, v, &[0, 2].into(), &[1, 1].into()));
    assert_eq!([h[0], h[2]], [0.0; 2]);
    assert!((h[1] - 5.0).abs() < 1e-4);
}

#[test]
fn normalization_with_silu() {
    on_every_arch(|| {
        for [rows, cols] in [[2, 1], [7, 3], [300, 33]] {
            let shapes = [[rows, cols], [1, cols], [1, cols]];
            let data = random(shapes, 1.5);
            let mean: Vec<f32> = (0..cols).map(|j| 0.1 * j as f32 - 0.3).collect();
            let moments: Vec<f32> =
                mean.iter().copied().chain((0..cols).map(|j| 0.4 + 0.1 * j as f32)).collect();
            for constant in [true, false] {
                let op = BatchNormSilu { epsilon: 1e-1, constant };
                check(&OfBatch { op, moments: moments.clone() }, shapes, &data, 2e-2);
            }
        }
    });
}

/// Normalization whose moments are no input: those of x, unless they are constant.
#[derive(Debug, Clone)]
struct OfBatch {
    op: BatchNormSilu,
    moments: Vec<f32>,
}

impl OfBatch {
    fn with<T>(&self, [x, gain, bias]: [Mat<'_>; 3], f: impl FnOnce([Mat<'_>; 4]) -> T) -> T {
        let n = x.rows as f64;
        let column = |j: usize| x.data.iter().skip(j).step_by(x.cols).map(|&x| f64::from(x));
        let mean: Vec<f64> = (0..x.cols).map(|j| column(j).sum::<f64>() / n).collect();
        let variance =
            mean.iter().enumerate().map(|(j, m)| column(j).map(|x| (x - m).powi(2)).sum::<f64>() / n);
        let of_x: Vec<f32> = mean.iter().copied().chain(variance).map(|x| x as f32).collect();
        let data = if self.op.constant { &self.moments } else { &of_x };
        f([x, Mat { data, rows: 2, cols: x.cols, owner: None }, gain, bias])
    }
}

impl HostOp<3> for OfBatch {
    fn forward(&self, inputs: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        self.with(inputs, |inputs| self.op.forward(inputs, keep))
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let wanted = [wanted[0], false, wanted[1], wanted[2]];
        let [dx, _, d_gain, d_bias] =
            self.with(inputs, |inputs| self.op.backward(inputs, kept, grad, wanted));
        [dx, d_gain, d_bias]
    }

    fn compose(&self, [x, gain, bias]: [Tensor<2>; 3]) -> Tensor<2> {
        let moments = matrix(self.moments.clone(), x.dims()[1], &x.device());
        self.op.compose([x, moments, gain, bias])
    }
}
