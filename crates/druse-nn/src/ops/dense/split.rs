//! Linear layers over concatenated inputs, computed without building the concatenation.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::layer::{Activation, dense, merge_edges};
use crate::arch::vectorized;
use crate::graph::Index;
use crate::ops::blocks::for_each;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{add_assign, silu_backward, silu_in_place, silu_into};
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
            let mut out = vec![0.0; h.rows * n];
            multiply(&mut out, h.rows, View::rows(h.data, h.cols), &part.forward(), false);
            out
        };
        let (first, second, edge) = (per_atom(first), per_atom(second), edge.forward());
        let stride = (BLOCK * n).max(1);
        let operations = 2 * m.rows * n * m.cols;
        let write = |block: usize, z: &mut [MaybeUninit<f32>]| {
            let rows = z.len() / n;
            let z = multiply_new(z, rows, View::rows(&m.data[block * BLOCK * m.cols..], m.cols), &edge);
            let ends = self.source[block * BLOCK..].iter().zip(&self.destination[block * BLOCK..]);
            vectorized!(for (z, (&i, &j)) in z.chunks_exact_mut(n).zip(ends) {
                add_assign(z, &first[i as usize * n..][..n]);
                add_assign(z, &second[j as usize * n..][..n]);
            });
        };
        let mut kept = Vec::new();
        // SAFETY: `write` fills the block it is given; so the loops write every block of the result, and of the arguments
        // where these are kept, before they read it.
        let data = unsafe {
            new_vec(m.rows * n, |y| match self.act.scale().filter(|_| keep) {
                Some(scale) => kept.push(new_vec(y.len(), |z| {
                    let blocks = z.chunks_mut(stride).zip(y.chunks_mut(stride)).enumerate();
                    for_each(operations, blocks, |(block, (z, y))| {
                        write(block, z);
                        silu_into(z.assume_init_ref(), scale, y);
                    });
                })),
                None => for_each(operations, y.chunks_mut(stride).enumerate(), |(block, y)| {
                    write(block, y);
                    if let Some(scale) = self.act.scale() {
                        silu_in_place(y.assume_init_mut(), scale);
                    }
                }),
            })
        };
        (Matrix { data, rows: m.rows, cols: n }, kept)
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
        let mut dm = Matrix::zeros(if wanted[1] { m.rows } else { 0 }, m.cols);
        let [mut d_first, mut d_second] = [0; 2].map(|_| vec![0.0; h.rows * n]);
        let mut g = Vec::new();
        for rows in blocks(m.rows) {
            g.clear();
            g.extend_from_slice(rows_of(grad, &rows));
            if let Some(scale) = self.act.scale() {
                silu_backward(&kept[0][rows.start * n..rows.end * n], scale, &mut g);
            }
            if wanted[1] {
                let dm = &mut dm.data[rows.start * m.cols..rows.end * m.cols];
                multiply(dm, rows.len(), View::rows(&g, n), &panels, false);
            }
            edge.add_gradient(&mut dw, &g, rows_of(m, &rows), rows.len());
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
        [Some(dh), wanted[1].then_some(dm), Some(dw)]
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
                let mut dx = Matrix::zeros(x.rows, x.cols);
                multiply(&mut dx.data, x.rows, View::rows(grad.data, w.rows), &part.backward(), false);
                dx
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
