//! Rows multiplied by a linear map of the radial basis, and what follows: nothing, a sum over edges, one number.
//!
//! The map is evaluated block by block and never stored.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::arch::vectorized;
use crate::graph::Index;
use crate::ops::blocks::for_each;
use crate::ops::dense::{Activation, dense, row_sum};
use crate::ops::gather::scatter_sum;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::add_assign;
use crate::ops::product::{BLOCK, Panels, Use, View, add_gradient, multiply, multiply_new, new_vec};

/// `factor · x[e, a] · Σ_c basis[e, c] W[a, c]`: x is (rows, A), the basis (rows, C), the weight (A, C), the result (rows, A).
pub fn filter(x: Tensor<2>, basis: Tensor<2>, weight: Tensor<2>, factor: f32) -> Tensor<2> {
    apply(&Filter { factor }, [x, basis, weight])
}

/// [`filter`], summed over the edges with the same index: `rows` rows. Summed in the order of the edges, so the result is
/// reproducible.
pub fn filtered_sum(
    x: Tensor<2>,
    basis: Tensor<2>,
    weight: Tensor<2>,
    factor: f32,
    index: &Index,
    rows: usize,
) -> Tensor<2> {
    apply(&FilteredSum { index: index.clone(), rows, factor }, [x, basis, weight])
}

/// `factor · Σ_a output[a] x[e, a] Σ_c basis[e, c] W[a, c]`: [`filter`] followed by a linear map to one number; the output weight is
/// (1, A), the result (rows, 1).
pub fn filtered_output(
    x: Tensor<2>,
    basis: Tensor<2>,
    weight: Tensor<2>,
    output: Tensor<2>,
    factor: f32,
) -> Tensor<2> {
    apply(&FilteredOutput { factor }, [x, basis, weight, output])
}

/// `y ← factor · y · x`, entry by entry.
fn multiply_rows(y: &mut [f32], x: &[f32], factor: f32) {
    vectorized!(for (y, &x) in y.iter_mut().zip(x) {
        *y *= factor * x;
    });
}

/// Appends the rows of a product.
pub(super) fn append_product(to: &mut Vec<f32>, rows: usize, a: View<'_>, b: &Panels) {
    let len = rows * b.cols();
    to.reserve(len);
    multiply_new(&mut to.spare_capacity_mut()[..len], rows, a, b);
    // SAFETY: the product has written so many numbers behind the end.
    unsafe { to.set_len(to.len() + len) };
}

/// `factor · x` as tensor operations; nothing for a factor of one.
fn scaled(x: Tensor<2>, factor: f32) -> Tensor<2> {
    if factor == 1.0 { x } else { x.mul_scalar(factor) }
}

/// The rows of a matrix from `start` on, at most two blocks of them.
fn block_of(m: Mat<'_>, start: usize) -> Mat<'_> {
    let rows = (2 * BLOCK).min(m.rows - start);
    Mat { data: &m.data[start * m.cols..][..rows * m.cols], rows, cols: m.cols, owner: None }
}

fn blocks(rows: usize) -> impl Iterator<Item = usize> {
    (0..rows).step_by(2 * BLOCK)
}

#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub factor: f32,
}

impl HostOp<3> for Filter {
    fn forward(&self, [x, basis, w]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let panels = w.weight().packed(Use::Forward);
        let stride = (BLOCK * x.cols).max(1);
        // SAFETY: the loop writes every block of the result.
        let data = unsafe {
            new_vec(x.rows * x.cols, |y| {
                for_each(2 * x.rows * w.rows * w.cols, y.chunks_mut(stride).enumerate(), |(block, y)| {
                    let basis = View::rows(&basis.data[block * BLOCK * w.cols..], w.cols);
                    let y = multiply_new(y, y.len() / x.cols, basis, &panels);
                    multiply_rows(y, &x.data[block * stride..][..y.len()], self.factor);
                });
            })
        };
        (Matrix { data, rows: x.rows, cols: x.cols }, Vec::new())
    }

    fn backward(
        &self,
        [x, basis, w]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let mut back = Backward::new(w, x.rows, self.factor);
        for start in blocks(x.rows) {
            let g = block_of(grad, start);
            back.add(block_of(x, start), block_of(basis, start), w, g.data);
        }
        back.finish(x, basis)
    }

    fn compose(&self, [x, basis, w]: [Tensor<2>; 3]) -> Tensor<2> {
        scaled(x * dense(basis, w, Activation::Identity), self.factor)
    }
}

/// Gradients of a filter, block by block.
struct Backward {
    forward: Arc<Panels>,
    backward: Arc<Panels>,
    dx: Vec<f32>,
    d_basis: Vec<f32>,
    dw: Matrix,
    scratch: Vec<f32>,
    factor: f32,
}

impl Backward {
    fn new(w: Mat<'_>, rows: usize, factor: f32) -> Self {
        Self {
            factor,
            forward: w.weight().packed(Use::Forward),
            backward: w.weight().packed(Use::Backward),
            dx: Vec::with_capacity(rows * w.rows),
            d_basis: Vec::with_capacity(rows * w.cols),
            dw: Matrix::zeros(w.rows, w.cols),
            scratch: Vec::new(),
        }
    }

    /// The next block of rows; g is the gradient of their results.
    fn add(&mut self, x: Mat<'_>, basis: Mat<'_>, w: Mat<'_>, g: &[f32]) {
        let (rows, a, c) = (x.rows, w.rows, w.cols);
        append_product(&mut self.dx, rows, View::rows(basis.data, c), &self.forward);
        let dx = self.dx.len() - rows * a;
        let dx = &mut self.dx[dx..];
        self.scratch.resize(rows * a, 0.0);
        let factor = self.factor;
        vectorized!(for (((dx, d), &x), &g) in dx.iter_mut().zip(&mut self.scratch).zip(x.data).zip(g) {
            let g = factor * g;
            *dx *= g;
            *d = g * x;
        });
        let d = &self.scratch;
        add_gradient(&mut self.dw.data, c, [a, c, rows], d, basis.data);
        append_product(&mut self.d_basis, rows, View::rows(d, a), &self.backward);
    }

    fn finish(self, x: Mat<'_>, basis: Mat<'_>) -> [Option<Matrix>; 3] {
        let dx = Matrix { data: self.dx, rows: x.rows, cols: x.cols };
        let d_basis = Matrix { data: self.d_basis, rows: basis.rows, cols: basis.cols };
        [Some(dx), Some(d_basis), Some(self.dw)]
    }
}

#[derive(Debug, Clone)]
pub(crate) struct FilteredSum {
    pub index: Index,
    pub rows: usize,
    pub factor: f32,
}

impl HostOp<3> for FilteredSum {
    fn forward(&self, [x, basis, w]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        /// Blocks that are filtered, perhaps side by side, before their rows are added up.
        const BLOCKS: usize = 4;
        let panels = w.weight().packed(Use::Forward);
        let a = x.cols;
        let mut sums = Matrix::zeros(self.rows, a);
        let mut messages = vec![0.0; (BLOCKS * BLOCK).min(x.rows) * a];
        for start in (0..x.rows).step_by(BLOCKS * BLOCK) {
            let rows = (BLOCKS * BLOCK).min(x.rows - start);
            let messages = &mut messages[..rows * a];
            for_each(2 * rows * w.rows * w.cols, messages.chunks_mut(BLOCK * a).enumerate(), |(block, y)| {
                let first = start + block * BLOCK;
                let basis = View::rows(&basis.data[first * w.cols..], w.cols);
                multiply(y, y.len() / a, basis, &panels, false);
                multiply_rows(y, &x.data[first * a..][..y.len()], self.factor);
            });
            vectorized!(for (message, &i) in messages.chunks_exact(a).zip(&self.index[start..]) {
                add_assign(&mut sums.data[i as usize * a..][..a], message);
            });
        }
        (sums, Vec::new())
    }

    fn backward(
        &self,
        [x, basis, w]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let mut back = Backward::new(w, x.rows, self.factor);
        let mut g = Vec::new();
        for start in blocks(x.rows) {
            let x = block_of(x, start);
            g.clear();
            for &i in &self.index[start..start + x.rows] {
                g.extend_from_slice(&grad.data[i as usize * grad.cols..][..grad.cols]);
            }
            back.add(x, block_of(basis, start), w, &g);
        }
        back.finish(x, basis)
    }

    fn compose(&self, [x, basis, w]: [Tensor<2>; 3]) -> Tensor<2> {
        let messages = scaled(x * dense(basis, w, Activation::Identity), self.factor);
        scatter_sum(messages, &self.index, self.rows)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct FilteredOutput {
    pub factor: f32,
}

impl FilteredOutput {
    /// `factor · output[a] W[a, c]`, (A, C): the result is `Σ_c basis[e, c] (x · this)[e, c]`.
    fn weights(&self, w: Mat<'_>, output: Mat<'_>) -> Vec<f32> {
        w.data
            .chunks_exact(w.cols)
            .zip(output.data)
            .map(|(w, &o)| (w, self.factor * o))
            .flat_map(|(w, o)| w.iter().map(move |w| o * w))
            .collect()
    }
}

impl HostOp<4> for FilteredOutput {
    fn forward(&self, [x, basis, w, output]: [Mat<'_>; 4], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let (a, c) = (w.rows, w.cols);
        let weights = self.weights(w, output);
        let panels = Panels::pack(View::rows(&weights, c), [a, c]);
        let mut data = vec![0.0; x.rows];
        for_each(2 * x.rows * a * c, data.chunks_mut(BLOCK).enumerate(), |(block, y)| {
            let mut p = vec![0.0; y.len() * c];
            multiply(&mut p, y.len(), View::rows(&x.data[block * BLOCK * a..], a), &panels, false);
            let basis = basis.data[block * BLOCK * c..].chunks_exact(c);
            vectorized!(for ((y, p), b) in y.iter_mut().zip(p.chunks_exact(c)).zip(basis) {
                *y = row_sum(p, b, |p, b| p * b);
            });
        });
        (Matrix { data, rows: x.rows, cols: 1 }, Vec::new())
    }

    fn backward(
        &self,
        [x, basis, w, output]: [Mat<'_>; 4],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 4],
    ) -> [Option<Matrix>; 4] {
        let (a, c) = (w.rows, w.cols);
        let weights = self.weights(w, output);
        let forward = Panels::pack(View::rows(&weights, c), [a, c]);
        let backward = Panels::pack(View::transposed(&weights, c), [c, a]);
        let all = x.rows;
        let [mut dx, mut d_basis] = [a, c].map(|cols| Vec::with_capacity(all * cols));
        let mut d_weights = vec![0.0; a * c];
        let mut scaled = Vec::new();
        for start in blocks(all) {
            let (x, basis, g) = (block_of(x, start), block_of(basis, start), block_of(grad, start));
            let rows = x.rows;
            append_product(&mut d_basis, rows, View::rows(x.data, a), &forward);
            let d_basis = &mut d_basis[start * c..];
            scaled.resize(rows * c, 0.0);
            let rows_of_basis = basis.data.chunks_exact(c).zip(scaled.chunks_exact_mut(c));
            vectorized!(for ((d, (b, scaled)), &g) in
                d_basis.chunks_exact_mut(c).zip(rows_of_basis).zip(g.data)
            {
                for ((d, scaled), &b) in d.iter_mut().zip(scaled).zip(b) {
                    *d *= g;
                    *scaled = b * g;
                }
            });
            append_product(&mut dx, rows, View::rows(&scaled, c), &backward);
            add_gradient(&mut d_weights, c, [a, c, rows], x.data, &scaled);
        }
        let dx = Matrix { data: dx, rows: all, cols: a };
        let d_basis = Matrix { data: d_basis, rows: all, cols: c };
        let mut dw = Matrix { data: d_weights, rows: a, cols: c };
        let mut d_output = Matrix::zeros(output.rows, output.cols);
        let parts = dw.data.chunks_exact_mut(c).zip(w.data.chunks_exact(c)).zip(output.data);
        for (((d, w), &o), d_output) in parts.zip(&mut d_output.data) {
            *d_output = self.factor * d.iter().zip(w).map(|(d, w)| d * w).sum::<f32>();
            d.iter_mut().for_each(|d| *d *= self.factor * o);
        }
        [Some(dx), Some(d_basis), Some(dw), Some(d_output)]
    }

    fn compose(&self, [x, basis, w, output]: [Tensor<2>; 4]) -> Tensor<2> {
        let x = scaled(x * dense(basis, w, Activation::Identity), self.factor);
        dense(x, output, Activation::Identity)
    }
}
