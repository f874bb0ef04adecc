//! Linear layers with bias.

use burn::tensor::Tensor;

use super::arch::vectorized;
use super::blocks::for_each;
use super::dense::{Activation, dense};
use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::{add_assign, silu_backward, silu_in_place, silu_into};
use super::product::{BLOCK, Use, View, add_gradient, multiply_new, new_vec};

/// `act(x Wᵀ + b)`: x is (rows, in), W is (out, in), b is (1, out), the result (rows, out).
pub fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<2>, act: Activation) -> Tensor<2> {
    apply(&Affine { act }, [x, weight, bias])
}

#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub act: Activation,
}

/// Adds a row to every row of y.
pub(super) fn add_row(y: &mut [f32], row: &[f32]) {
    vectorized!(for y in y.chunks_exact_mut(row.len().max(1)) {
        add_assign(y, row);
    });
}

/// Adds every row of g to a row.
pub(super) fn add_rows_to(row: &mut [f32], g: &[f32]) {
    vectorized!(for g in g.chunks_exact(row.len().max(1)) {
        add_assign(row, g);
    });
}

impl HostOp<3> for Affine {
    fn forward(&self, [x, w, b]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (n, k) = (w.rows, w.cols);
        assert_eq!(b.data.len(), n, "a bias has one number for each output");
        let panels = w.weight().packed(Use::Forward);
        let stride = (BLOCK * n).max(1);
        let input = |block: usize| View::rows(&x.data[block * BLOCK * k..], k);
        let operations = 2 * x.rows * n * k;
        let mut kept = Vec::new();
        // SAFETY: the loops write every block of the result, and of the arguments where these are kept.
        let data = unsafe {
            new_vec(x.rows * n, |y| match self.act.scale().filter(|_| keep) {
                Some(scale) => {
                    let z = new_vec(y.len(), |z| {
                        let blocks = z.chunks_mut(stride).zip(y.chunks_mut(stride)).enumerate();
                        for_each(operations, blocks, |(block, (z, y))| {
                            let z = multiply_new(z, z.len() / n, input(block), &panels);
                            add_row(z, b.data);
                            silu_into(z, scale, y);
                        });
                    });
                    kept.push(z);
                }
                None => for_each(operations, y.chunks_mut(stride).enumerate(), |(block, y)| {
                    let y = multiply_new(y, y.len() / n, input(block), &panels);
                    add_row(y, b.data);
                    if let Some(scale) = self.act.scale() {
                        silu_in_place(y, scale);
                    }
                }),
            })
        };
        (Matrix { data, rows: x.rows, cols: n }, kept)
    }

    fn backward(
        &self,
        [x, w, b]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let (n, k) = (w.rows, w.cols);
        let panels = w.weight().packed(Use::Backward);
        let mut dx = Vec::with_capacity(if wanted[0] { x.rows * k } else { 0 });
        let mut dw = Matrix::zeros(n, k);
        let mut db = Matrix::zeros(b.rows, b.cols);
        let mut scratch = Vec::new();
        for start in (0..x.rows).step_by(2 * BLOCK) {
            let rows = (2 * BLOCK).min(x.rows - start);
            let range = start * n..(start + rows) * n;
            let g = match self.act.scale() {
                None => &grad.data[range],
                Some(scale) => {
                    scratch.clear();
                    scratch.extend_from_slice(&grad.data[range.clone()]);
                    silu_backward(&kept[0][range], scale, &mut scratch);
                    &scratch
                }
            };
            if wanted[0] {
                multiply_new(&mut dx.spare_capacity_mut()[..rows * k], rows, View::rows(g, n), &panels);
                // SAFETY: the product has written so many numbers behind the end.
                unsafe { dx.set_len(dx.len() + rows * k) };
            }
            if wanted[1] {
                add_gradient(&mut dw.data, k, [n, k, rows], g, &x.data[start * k..]);
            }
            add_rows_to(&mut db.data, g);
        }
        let dx = wanted[0].then_some(Matrix { data: dx, rows: x.rows, cols: k });
        [dx, wanted[1].then_some(dw), wanted[2].then_some(db)]
    }

    fn compose(&self, [x, w, b]: [Tensor<2>; 3]) -> Tensor<2> {
        self.act.compose(dense(x, w, Activation::Identity) + b)
    }
}
