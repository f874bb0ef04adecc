//! Channels behind channels.

use burn::tensor::Tensor;

use crate::arch::vectorized;
use crate::ops::host::{HostOp, Mat, Matrix, apply};

/// `[x ‖ factor · y]`, row by row: x is (rows, a), y is (rows, b), the result (rows, a + b).
pub fn join(x: Tensor<2>, y: Tensor<2>, factor: f32) -> Tensor<2> {
    apply(&Join { factor }, [x, y])
}

#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub factor: f32,
}

impl HostOp<2> for Join {
    fn forward(&self, [x, y]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        assert_eq!(x.rows, y.rows, "rows that are joined");
        let mut data = Vec::with_capacity(x.data.len() + y.data.len());
        vectorized!(for r in 0..x.rows {
            data.extend_from_slice(&x.data[r * x.cols..][..x.cols]);
            data.extend(y.data[r * y.cols..][..y.cols].iter().map(|y| self.factor * y));
        });
        (Matrix { data, rows: x.rows, cols: x.cols + y.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x, y]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let [mut dx, mut dy] = [x, y].map(|m| Vec::with_capacity(m.data.len()));
        vectorized!(for g in grad.data.chunks_exact(grad.cols.max(1)) {
            let (left, right) = g.split_at(x.cols);
            dx.extend_from_slice(left);
            dy.extend(right.iter().map(|g| self.factor * g));
        });
        let [dx, dy] = [(dx, x), (dy, y)].map(|(data, m)| Matrix { data, rows: m.rows, cols: m.cols });
        [Some(dx), Some(dy)]
    }

    fn compose(&self, [x, y]: [Tensor<2>; 2]) -> Tensor<2> {
        Tensor::cat(vec![x, y.mul_scalar(self.factor)], 1)
    }
}
