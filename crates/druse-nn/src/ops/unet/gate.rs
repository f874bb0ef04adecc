//! A weighted mean over the pixels of an image, and channels of an image times numbers of their own.

use burn::tensor::{Tensor, activation};

use super::ImageGrid;
use crate::arch::vectorized;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{add_scaled, softmax_backward, softmax_in_place};
use crate::ops::product::new_vec;

/// `Σ_p softmax_p(s) x[p]` over the pixels p of each image: x is (pixels, C), the scores s are (pixels, 1), the result is
/// (images, C) (Cao et al. 2019, equation 4).
pub fn softmax_pool(x: Tensor<2>, scores: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
    apply(&SoftmaxPool { grid }, [x, scores])
}

/// `x ∘ gate[image] + y`: x and y are (pixels, C), the gate is (images, C).
pub fn gated_sum(x: Tensor<2>, gate: Tensor<2>, y: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
    apply(&GatedSum { grid }, [x, gate, y])
}

#[derive(Debug, Clone)]
pub(crate) struct SoftmaxPool {
    pub grid: ImageGrid,
}

#[derive(Debug, Clone)]
pub(crate) struct GatedSum {
    pub grid: ImageGrid,
}

impl HostOp<2> for SoftmaxPool {
    fn forward(&self, [x, scores]: [Mat<'_>; 2], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (pixels, cols) = (self.grid.pixels(), x.cols);
        assert_eq!([x.rows, scores.data.len()], [self.grid.rows(); 2], "a row for each pixel");
        let mut out = Matrix::zeros(self.grid.images, cols);
        for (i, y) in out.data.chunks_exact_mut(cols).enumerate() {
            let mut p = scores.data[i * pixels..][..pixels].to_vec();
            softmax_in_place(&mut p, 1.0);
            let x = &x.data[i * pixels * cols..][..pixels * cols];
            vectorized!(for (x, &p) in x.chunks_exact(cols).zip(&p) {
                add_scaled(y, x, p);
            });
        }
        (out, Vec::new())
    }

    fn backward(
        &self,
        [x, scores]: [Mat<'_>; 2],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let (pixels, cols) = (self.grid.pixels(), x.cols);
        let mut dx = Matrix::zeros(x.rows, cols);
        let mut ds = Matrix::zeros(scores.rows, scores.cols);
        for (i, g) in grad.data.chunks_exact(cols).enumerate() {
            let range = i * pixels..(i + 1) * pixels;
            let mut p = scores.data[range.clone()].to_vec();
            softmax_in_place(&mut p, 1.0);
            let x = &x.data[range.start * cols..range.end * cols];
            let dx = &mut dx.data[range.start * cols..range.end * cols];
            let ds = &mut ds.data[range];
            vectorized!(for (((x, dx), &p), ds) in
                x.chunks_exact(cols).zip(dx.chunks_exact_mut(cols)).zip(&p).zip(ds.iter_mut())
            {
                add_scaled(dx, g, p);
                *ds = x.iter().zip(g).map(|(x, g)| x * g).sum();
            });
            softmax_backward(&p, 1.0, ds);
        }
        [Some(dx), Some(ds)]
    }

    fn compose(&self, [x, scores]: [Tensor<2>; 2]) -> Tensor<2> {
        let ([_, cols], ImageGrid { images, .. }) = (x.dims(), self.grid);
        let p = activation::softmax(scores.reshape([images, 1, self.grid.pixels()]), 2);
        let y: Tensor<3> = p.matmul(x.reshape([images, self.grid.pixels(), cols]));
        y.reshape([images, cols])
    }
}

impl HostOp<3> for GatedSum {
    fn forward(&self, [x, gate, y]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (cols, image) = (x.cols, (self.grid.pixels() * x.cols).max(1));
        assert_eq!([x.rows, gate.rows], [self.grid.rows(), self.grid.images], "a row for each pixel");
        // SAFETY: the loops write every number of every row.
        let data = unsafe {
            new_vec(x.data.len(), |out| {
                let images = out.chunks_exact_mut(image).zip(x.data.chunks_exact(image));
                let images = images.zip(y.data.chunks_exact(image)).zip(gate.data.chunks_exact(cols));
                for (((out, x), y), gate) in images {
                    vectorized!(for ((out, x), y) in
                        out.chunks_exact_mut(cols).zip(x.chunks_exact(cols)).zip(y.chunks_exact(cols))
                    {
                        for (((out, &x), &y), &gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                            out.write(x * gate + y);
                        }
                    });
                }
            })
        };
        (Matrix { data, rows: x.rows, cols }, Vec::new())
    }

    fn backward(
        &self,
        [x, gate, _]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let (cols, image) = (x.cols, (self.grid.pixels() * x.cols).max(1));
        let mut dx = Matrix { data: grad.data.to_vec(), rows: x.rows, cols };
        let mut dgate = Matrix::zeros(gate.rows, cols);
        let images = dx.data.chunks_exact_mut(image).zip(x.data.chunks_exact(image));
        let gates = gate.data.chunks_exact(cols).zip(dgate.data.chunks_exact_mut(cols));
        for ((g, x), (gate, dgate)) in images.zip(gates) {
            vectorized!(for (g, x) in g.chunks_exact_mut(cols).zip(x.chunks_exact(cols)) {
                for (((g, &x), &gate), dgate) in g.iter_mut().zip(x).zip(gate).zip(dgate.iter_mut()) {
                    *dgate += *g * x;
                    *g *= gate;
                }
            });
        }
        let dy = wanted[2].then(|| Matrix { data: grad.data.to_vec(), rows: x.rows, cols });
        [Some(dx), Some(dgate), dy]
    }

    fn compose(&self, [x, gate, y]: [Tensor<2>; 3]) -> Tensor<2> {
        let ([rows, cols], ImageGrid { images, .. }) = (x.dims(), self.grid);
        let gate: Tensor<3> = gate.reshape([images, 1, cols]);
        let x = x.reshape([images, self.grid.pixels(), cols]) * gate;
        x.reshape([rows, cols]) + y
    }
}
