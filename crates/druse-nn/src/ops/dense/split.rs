//! Linear layers over concatenated inputs, computed without building the concatenation.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::layer::{Activation, activated, dense, merge_edges};
use crate::arch::vectorized;
use crate::graph::Index;
use crate::ops::blocks::for_each;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{add_assign, as_uninit, silu_backward_into};
use crate::ops::product::{BLOCK, Panels, Use, View, Weight, add_gradient, multiply, multiply_new, new_vec};

/// Rows of a block in the backward pass. Longer than in the forward pass: every block adds to all gradients of weights.
const BACKWARD_BLOCK: usize = 2 * BLOCK;

/// `act(W [h_source(e) ‖ h_destination(e) ‖ m_e])` for every edge e: h is (atoms, A), m is (edges, M), the weight
/// (out, 2 A + M), the result (edges, out). The atom parts are multiplied once per atom.
pub fn split_dense(
    h: Tensor<2>,
    m: Tensor<2>,
    weight: Tensor<2>,
    source: &Index,
    destination: &Index,
    act: Activation,
) -> Tensor<2> {
    let op = SplitDense { source: source.clone(), destination: destination.clone(), act };
    apply(&op, [h, m, weight])
}

/// `x W[:, x_from..]ᵀ + y W[:, y_from..]ᵀ` with as many columns of the weight (out, in) as x and y have: x is (rows, X), y is
/// (rows, Y), the result (rows, out).
pub fn pair_dense(x: Tensor<2>, x_from: usize, y: Tensor<2>, y_from: usize, weight: Tensor<2>) -> Tensor<2> {
    apply(&PairDense { from: [x_from, y_from] }, [x, y, weight])
}

/// Some columns of a weight (out, in).
#[derive(Clone, Copy)]
struct Part<'a> {
    weight: Weight<'a>,
    from: usize,
}

impl<'a> Part<'a> {
    /// # Panics
    /// When the weight has fewer columns.
    fn new(weight: Mat<'a>, from: usize, len: usize) -> Self {
        Self { weight: weight.columns(from, len), from }
    }

    /// For `x partᵀ`.
    fn forward(&self) -> Arc<Panels> {
        self.weight.packed(Use::Forward)
    }

    /// For `g part`.
    fn backward(&self) -> Arc<Panels> {
        self.weight.packed(Use::Backward)
    }

    /// `dw[:, part] += gᵀ x`.
    fn add_gradient(&self, dw: &mut Matrix, g: &[f32], x: &[f32], rows: usize) {
        let Weight { rows: out, cols, stride, .. } = self.weight;
        if out * cols > 0 {
            add_gradient(&mut dw.data[self.from..], stride, [out, cols, rows], g, x);
        }
    }
}

fn rows_of<'a>(m: Mat<'a>, rows: &Range<usize>) -> &'a [f32] {
    &m.data[rows.start * m.cols..rows.end * m.cols]
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(BACKWARD_BLOCK).map(move |start| start..(start + BACKWARD_BLOCK).min(rows))
}

#[derive(Debug, Clone)]
pub(crate) struct SplitDense {
    pub source: Index,
    pub destination: Index,
    pub act: Activation,
}

impl SplitDense {
    fn parts<'a>(h: Mat<'a>, m: Mat<'a>, w: Mat<'a>) -> [Part<'a>; 3] {
        [Part::new(w, 0, h.cols), Part::new(w, h.cols, h.cols), Part::new(w, 2 * h.cols, m.cols)]
    }
}

impl HostOp<3> for SplitDense {
    fn forward(&self, [h, m, w]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [first, second, edge] = Self::parts(h, m, w);
        let n = w.rows;
        let per_atom = |part: Part<'_>| {
            let x = View::rows(h.data, h.cols);
            // SAFETY: a product writes all of its result.
            unsafe {
                new_vec(h.rows * n, |out| {
                    multiply_new(out, h.rows, x, &part.forward());
                })
            }
        };
        let (first, second, edge) = (per_atom(first), per_atom(second), edge.forward());
        let write = |block: usize, z: &mut [MaybeUninit<f32>]| {
            let rows = z.len() / n;
            let z = multiply_new(z, rows, View::rows(&m.data[block * BLOCK * m.cols..], m.cols), &edge);
            let ends = self.source[block * BLOCK..].iter().zip(&self.destination[block * BLOCK..]);
            vectorized!(for (z, (&i, &j)) in z.chunks_exact_mut(n).zip(ends) {
                let (first, second) = (&first[i as usize * n..][..n], &second[j as usize * n..][..n]);
                for ((z, a), b) in z.iter_mut().zip(first).zip(second) {
                    *z = *z + a + b;
                }
            });
        };
        // SAFETY: a product writes all of its block.
        unsafe { activated([m.rows, n], 2 * m.rows * n * m.cols, self.act, keep, write) }
    }

    fn backward(
        &self,
        [h, m, w]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let [first, second, edge] = Self::parts(h, m, w);
        let n = w.rows;
        let panels = edge.backward();
        let mut dw = Matrix::zeros(w.rows, w.cols);
        let mut dm = Vec::with_capacity(if wanted[1] { m.rows * m.cols } else { 0 });
        let [mut d_first, mut d_second] = [0; 2].map(|_| vec![0.0; h.rows * n]);
        let mut scratch =
            vec![0.0; if self.act.scale().is_some() { BACKWARD_BLOCK.min(m.rows) * n } else { 0 }];
        for rows in blocks(m.rows) {
            let g = match self.act.scale() {
                None => rows_of(grad, &rows),
                Some(scale) => {
                    let (z, g) = (&kept[0][rows.start * n..rows.end * n], &mut scratch[..rows.len() * n]);
                    silu_backward_into(z, scale, rows_of(grad, &rows), as_uninit(g));
                    &*g
                }
            };
            if wanted[1] {
                let len = rows.len() * m.cols;
                multiply_new(&mut dm.spare_capacity_mut()[..len], rows.len(), View::rows(g, n), &panels);
                // SAFETY: the product has written so many numbers behind the end.
                unsafe { dm.set_len(dm.len() + len) };
            }
            edge.add_gradient(&mut dw, g, rows_of(m, &rows), rows.len());
            let ends = self.source[rows.clone()].iter().zip(&self.destination[rows]);
            vectorized!(for (g, (&i, &j)) in g.chunks_exact(n).zip(ends) {
                add_assign(&mut d_first[i as usize * n..][..n], g);
                add_assign(&mut d_second[j as usize * n..][..n], g);
            });
        }
        let mut dh = Matrix::zeros(h.rows, h.cols);
        for (part, d) in [(first, &d_first), (second, &d_second)] {
            multiply(&mut dh.data, h.rows, View::rows(d, n), &part.backward(), true);
            part.add_gradient(&mut dw, d, h.data, h.rows);
        }
        let dm = wanted[1].then_some(Matrix { data: dm, rows: m.rows, cols: m.cols });
        [Some(dh), dm, Some(dw)]
    }

    fn compose(&self, [h, m, w]: [Tensor<2>; 3]) -> Tensor<2> {
        let ([_, a], [_, e]) = (h.dims(), m.dims());
        let part = |x: Tensor<2>, from, len| dense(x, w.clone().narrow(1, from, len), Activation::Identity);
        let (first, second) = (part(h.clone(), 0, a), part(h, a, a));
        merge_edges(first, second, part(m, 2 * a, e), &self.source, &self.destination, self.act)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct PairDense {
    pub from: [usize; 2],
}

impl PairDense {
    fn parts<'a>(&self, x: Mat<'a>, y: Mat<'a>, w: Mat<'a>) -> [Part<'a>; 2] {
        [Part::new(w, self.from[0], x.cols), Part::new(w, self.from[1], y.cols)]
    }
}

impl HostOp<3> for PairDense {
    fn forward(&self, [x, y, w]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        assert_eq!(x.rows, y.rows, "both inputs of a pair have the same rows");
        let [first, second] = self.parts(x, y, w).map(|part| part.forward());
        let n = w.rows;
        // SAFETY: the loop writes every block of the result.
        let data = unsafe {
            new_vec(x.rows * n, |z| {
                for_each(
                    2 * x.rows * n * (x.cols + y.cols),
                    z.chunks_mut((BLOCK * n).max(1)).enumerate(),
                    |(block, z)| {
                        let (start, rows) = (block * BLOCK, z.len() / n);
                        let x = View::rows(&x.data[start * x.cols..], x.cols);
                        let y = View::rows(&y.data[start * y.cols..], y.cols);
                        multiply(multiply_new(z, rows, x, &first), rows, y, &second, true);
                    },
                );
            })
        };
        (Matrix { data, rows: x.rows, cols: n }, Vec::new())
    }

    fn backward(
        &self,
        [x, y, w]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let mut dw = Matrix::zeros(w.rows, w.cols);
        let parts = self.parts(x, y, w);
        for rows in blocks(x.rows) {
            let g = rows_of(grad, &rows);
            for (part, x) in parts.iter().zip([x, y]) {
                part.add_gradient(&mut dw, g, rows_of(x, &rows), rows.len());
            }
        }
        let mut inputs = parts.iter().zip([x, y]).zip(wanted).map(|((part, x), wanted)| {
            wanted.then(|| {
                let g = View::rows(grad.data, w.rows);
                // SAFETY: a product writes all of its result.
                let data = unsafe {
                    new_vec(x.rows * x.cols, |dx| {
                        multiply_new(dx, x.rows, g, &part.backward());
                    })
                };
                Matrix { data, rows: x.rows, cols: x.cols }
            })
        });
        [inputs.next().flatten(), inputs.next().flatten(), Some(dw)]
    }

    fn compose(&self, [x, y, w]: [Tensor<2>; 3]) -> Tensor<2> {
        let part = |x: Tensor<2>, from: usize| {
            let [_, cols] = x.dims();
            dense(x, w.clone().narrow(1, from, cols), Activation::Identity)
        };
        part(x, self.from[0]) + part(y, self.from[1])
    }
}
