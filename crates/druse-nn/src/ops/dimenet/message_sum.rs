//! DimeNet's sum over pairs of messages without arrays of triplets.
//!
//! A triplet k → j → i is a pair of edges p: j → k and q: j → i that leave atom j; the message k → j is the one of the
//! reverse of p. The angular functions of the pairs of an atom form one matrix, so the sum is one product per atom.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::pair_filter::{Pairs, filters};
use crate::arch::vectorized;
use crate::graph::{MessageAngles, Multigraph};
use crate::ops::blocks::for_each;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::product::{Use, View, add_gradient, multiply_new, new_vec, product, product_new};

/// `y[q, a] = Σ_p Σ_l Y_l(p, q) x[reverse(p), a] Σ_c W[a, c] basis[p, l, c]` over the edges p that pair with q: x is
/// (edges, A), the basis (edges, degrees · C) with the degree slow and equal for an edge and its reverse, the weight (A, C),
/// the result (edges, A).
pub fn message_sum(
    x: Tensor<2>,
    basis: Tensor<2>,
    weight: Tensor<2>,
    graph: &Arc<Multigraph>,
    angles: &Arc<MessageAngles>,
) -> Tensor<2> {
    apply(&MessageSum { graph: graph.clone(), angles: angles.clone() }, [x, basis, weight])
}

#[derive(Debug, Clone)]
pub(crate) struct MessageSum {
    pub graph: Arc<Multigraph>,
    pub angles: Arc<MessageAngles>,
}

impl MessageSum {
    /// The angular functions of an atom as a matrix: K rows q, columns (l, p).
    fn table(&self, atom: usize) -> &[f32] {
        &self.angles.values[self.angles.ptr[atom]..self.angles.ptr[atom + 1]]
    }

    /// Row of x that edge number `p` of the atom brings.
    fn message<'a>(&self, x: Mat<'a>, edges: &Range<usize>, p: usize) -> &'a [f32] {
        &x.data[self.graph.reverse[edges.start + p] as usize * x.cols..][..x.cols]
    }

    fn check(&self, x: Mat<'_>, basis: Mat<'_>, w: Mat<'_>) {
        let edges = self.graph.num_edges();
        assert!(x.rows == edges && basis.rows == edges, "one row for each edge");
        assert!(w.rows == x.cols && basis.cols == self.angles.degrees * w.cols, "sizes of basis and weight");
    }
}

impl HostOp<3> for MessageSum {
    fn forward(&self, [x, basis, w]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        self.check(x, basis, w);
        let (width, degrees) = (x.cols, self.angles.degrees);
        let panels = w.weight().packed(Use::Forward);
        let operations = 2 * width * (self.angles.values.len() + x.rows * degrees * w.cols);
        let per_atom = |(a, out): (usize, &mut [MaybeUninit<f32>])| {
            let edges = self.graph.edges_from(a);
            let (k, depth) = (edges.len(), edges.len() * degrees);
            let filters = filters(basis, &edges, degrees, &panels);
            // Rows (l, p), as the columns of the table. SAFETY: the loops write the row of every l and p.
            let z = unsafe {
                new_vec(filters.len(), |z| {
                    vectorized!(for (p, filters) in filters.chunks_exact(degrees * width).enumerate() {
                        let message = self.message(x, &edges, p);
                        for (l, filter) in filters.chunks_exact(width).enumerate() {
                            let z = &mut z[(l * k + p) * width..][..width];
                            for ((z, &f), &m) in z.iter_mut().zip(filter).zip(message) {
                                z.write(f * m);
                            }
                        }
                    });
                })
            };
            product_new(out, [k, width, depth], View::rows(self.table(a), depth), View::rows(&z, width));
        };
        // SAFETY: the products write the rows of all atoms, which are all rows.
        let data = unsafe {
            new_vec(x.rows * width, |mut rest| {
                let mut atoms = Vec::with_capacity(self.graph.num_atoms);
                for a in 0..self.graph.num_atoms {
                    let (own, others) = rest.split_at_mut(self.graph.edges_from(a).len() * width);
                    atoms.push((a, own));
                    rest = others;
                }
                for_each(operations, atoms.into_iter(), per_atom);
            })
        };
        (Matrix { data, rows: x.rows, cols: width }, Vec::new())
    }

    fn backward(
        &self,
        [x, basis, w]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let (width, degrees, c) = (x.cols, self.angles.degrees, w.cols);
        let (forward, backward) = (w.weight().packed(Use::Forward), w.weight().packed(Use::Backward));
        let mut dx = Matrix::zeros(x.rows, width);
        let mut d_basis = Vec::with_capacity(basis.data.len());
        let mut dw = Matrix::zeros(w.rows, c);
        let mut dz = Vec::new();
        for a in 0..self.graph.num_atoms {
            let edges = self.graph.edges_from(a);
            let k = edges.len();
            let depth = k * degrees;
            let mut filters = filters(basis, &edges, degrees, &forward);
            dz.resize(depth * width, 0f32);
            let g = View::rows(&grad.data[edges.start * width..], width);
            product(&mut dz, [depth, width, k], View::transposed(self.table(a), depth), g, false);
            // The filters become their gradients.
            vectorized!(for (p, filters) in filters.chunks_exact_mut(degrees * width).enumerate() {
                let message = self.message(x, &edges, p);
                let to = self.graph.reverse[edges.start + p] as usize;
                let dx = &mut dx.data[to * width..][..width];
                for (l, filter) in filters.chunks_exact_mut(width).enumerate() {
                    let dz = &dz[(l * k + p) * width..][..width];
                    for (((f, &m), dx), &dz) in filter.iter_mut().zip(message).zip(&mut *dx).zip(dz) {
                        *dx += *f * dz;
                        *f = m * dz;
                    }
                }
            });
            let rows = edges.start * degrees * c..edges.end * degrees * c;
            let d = &mut d_basis.spare_capacity_mut()[..depth * c];
            multiply_new(d, depth, View::rows(&filters, width), &backward);
            // SAFETY: the product has written so many numbers behind the end.
            unsafe { d_basis.set_len(d_basis.len() + depth * c) };
            add_gradient(&mut dw.data, c, [width, c, depth], &filters, &basis.data[rows]);
        }
        let d_basis = Matrix { data: d_basis, rows: basis.rows, cols: basis.cols };
        [Some(dx), Some(d_basis), Some(dw)]
    }

    fn compose(&self, inputs: [Tensor<2>; 3]) -> Tensor<2> {
        let (p, q) = self.angles.pairs();
        let pairs = Pairs {
            message: p.iter().map(|&p| self.graph.reverse[p as usize]).collect(),
            filter: p.into(),
            receiver: q.into(),
            angular: self.angles.of_pairs(),
        };
        pairs.sum(inputs)
    }
}
