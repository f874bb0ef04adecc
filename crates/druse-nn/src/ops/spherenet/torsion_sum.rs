//! SphereNet's sum over pairs of messages without the bases of triplets.
//!
//! A torsion feature is a product of a radial function of one edge and a spherical harmonic of a pair, and a linear map
//! takes all features of a pair to a few numbers. So the map is contracted with the radial functions first, once for each
//! edge, and a pair costs one short sum over its harmonics. The harmonics of the pairs of an edge form one matrix.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};

use crate::arch::vectorized;
use crate::graph::{Index, MessageHarmonics, Multigraph};
use crate::ops::blocks::for_each;
use crate::ops::dense::{Activation, dense};
use crate::ops::gather::{gather, scatter_sum};
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::product::{
    BLOCK, Panels, Use, View, multiply, multiply_into, new_vec, product, product_into,
};

/// `y[q, a] = Σ_p x[reverse(p), a] F[p, q, a] G[p, q, a]` over the edges p ≠ q that leave the source of q, with
/// `F = V · W (b_ln(p) Y_l^0(p, q))` and `G = V' · W' (b_rn(p) Y_y(p, q))`, y running over all harmonics and r being
/// y mod L.
///
/// x is (edges, A). `angle` is W (C, L · R) and V (A, C), `torsion` W' (C', L² · R) and V' (A, C'); the radial functions b are
/// (edges, L · R) with the degree slow, and equal for an edge and its reverse. The result is (edges, A).
pub fn torsion_sum(
    x: Tensor<2>,
    angle: [Tensor<2>; 2],
    torsion: [Tensor<2>; 2],
    radial: &Arc<[f32]>,
    graph: &Arc<Multigraph>,
    harmonics: &Arc<MessageHarmonics>,
) -> Tensor<2> {
    let ([w, v], [t, u]) = (angle, torsion);
    let op = TorsionSum { graph: graph.clone(), harmonics: harmonics.clone(), radial: radial.clone() };
    apply(&op, [x, w, v, t, u])
}

#[derive(Debug, Clone)]
pub(crate) struct TorsionSum {
    pub graph: Arc<Multigraph>,
    pub harmonics: Arc<MessageHarmonics>,
    pub radial: Arc<[f32]>,
}

/// Sizes of an operation.
#[derive(Clone, Copy)]
struct Sizes {
    /// Angular degrees.
    degrees: usize,
    /// Radial functions of each.
    radial: usize,
    /// A.
    width: usize,
    /// C.
    angle: usize,
    /// C + C'.
    both: usize,
}

impl Sizes {
    /// Numbers of a matrix of [`Contraction`].
    fn matrix(&self) -> usize {
        self.degrees * self.degrees * self.both
    }

    /// Row of the zonal harmonic of a degree, see [`MessageHarmonics`].
    fn zonal_row(&self, l: usize) -> usize {
        l * l % self.degrees * self.degrees + l * l / self.degrees
    }
}

/// The maps W and W' in the order of the harmonics.
struct Contraction {
    sizes: Sizes,
    /// (L · R, C): W transposed.
    angle: Vec<f32>,
    /// For each radial order r: (R, L · (C + C')), W' transposed for the harmonics y = i L + r, and nothing in the columns
    /// of the angle.
    torsion: Vec<f32>,
}

impl Contraction {
    fn new(sizes: Sizes, w: Mat<'_>, t: Mat<'_>) -> Self {
        let Sizes { degrees, radial, angle: c, both, .. } = sizes;
        let angle = (0..w.cols).flat_map(|i| (0..c).map(move |k| w.data[k * w.cols + i])).collect();
        let mut torsion = vec![0.0; degrees * radial * degrees * both];
        for (at, row) in torsion.chunks_exact_mut(both).enumerate() {
            let (r, n, i) = (at / (radial * degrees), at / degrees % radial, at % degrees);
            let column = (i * degrees + r) * radial + n;
            row[c..].iter_mut().enumerate().for_each(|(k, y)| *y = t.data[k * t.cols + column]);
        }
        Self { sizes, angle, torsion }
    }

    /// For every edge of the range the map from its harmonics (L²) to the numbers of a pair (C + C'), given the radial
    /// functions of all edges.
    fn matrices(&self, radial: &[f32], edges: &Range<usize>, out: &mut Vec<f32>) {
        let s = self.sizes;
        let (rows, columns, block) = (s.degrees * s.radial, s.degrees * s.both, s.matrix());
        let radial = &radial[edges.start * rows..edges.end * rows];
        out.resize(edges.len() * block, 0.0);
        for r in 0..s.degrees {
            let a = View { data: &radial[r * s.radial..], row_stride: rows, col_stride: 1 };
            let b = View::rows(&self.torsion[r * s.radial * columns..], columns);
            let shape = [edges.len(), columns, s.radial];
            product_into(&mut out[r * columns..], block, shape, a, b, false);
        }
        vectorized!(for (radial, out) in radial.chunks_exact(rows).zip(out.chunks_exact_mut(block)) {
            for l in 0..s.degrees {
                let out = &mut out[s.zonal_row(l) * s.both..][..s.angle];
                let weights = self.angle[l * s.radial * s.angle..].chunks_exact(s.angle);
                for (b, weights) in radial[l * s.radial..][..s.radial].iter().zip(weights) {
                    out.iter_mut().zip(weights).for_each(|(y, w)| *y += b * w);
                }
            }
        });
    }

    /// Adds the gradients of the maps, given those of [`Contraction::matrices`], to `sums`, which has the form of the
    /// maps here.
    fn add_gradients(&self, radial: &[f32], edges: &Range<usize>, grads: &[f32], sums: &mut Self) {
        let s = self.sizes;
        let (rows, columns, block) = (s.degrees * s.radial, s.degrees * s.both, s.matrix());
        let radial = &radial[edges.start * rows..edges.end * rows];
        for r in 0..s.degrees {
            let a = View { data: &radial[r * s.radial..], row_stride: 1, col_stride: rows };
            let b = View { data: &grads[r * columns..], row_stride: block, col_stride: 1 };
            let to = &mut sums.torsion[r * s.radial * columns..][..s.radial * columns];
            product_into(to, columns, [s.radial, columns, edges.len()], a, b, true);
        }
        vectorized!(for (radial, grads) in radial.chunks_exact(rows).zip(grads.chunks_exact(block)) {
            for l in 0..s.degrees {
                let grads = &grads[s.zonal_row(l) * s.both..][..s.angle];
                let sums = sums.angle[l * s.radial * s.angle..].chunks_exact_mut(s.angle);
                for (b, to) in radial[l * s.radial..][..s.radial].iter().zip(sums) {
                    to.iter_mut().zip(grads).for_each(|(y, g)| *y += b * g);
                }
            }
        });
    }

    /// The maps in the order of the weights W (C, L · R) and W' (C', L² · R).
    fn into_weights(self) -> [Matrix; 2] {
        let Sizes { degrees, radial, angle: c, both, .. } = self.sizes;
        let mut w = Matrix::zeros(c, degrees * radial);
        let mut t = Matrix::zeros(both - c, degrees * degrees * radial);
        for (i, row) in self.angle.chunks_exact(c).enumerate() {
            row.iter().enumerate().for_each(|(k, y)| w.data[k * w.cols + i] = *y);
        }
        for (at, row) in self.torsion.chunks_exact(both).enumerate() {
            let (r, n, i) = (at / (radial * degrees), at / degrees % radial, at % degrees);
            let column = (i * degrees + r) * radial + n;
            row[c..].iter().enumerate().for_each(|(k, y)| t.data[k * t.cols + column] = *y);
        }
        [w, t]
    }
}

/// The maps V and V'.
struct Filters {
    sizes: Sizes,
    forward: [Arc<Panels>; 2],
}

impl Filters {
    fn new(sizes: Sizes, [v, u]: [Mat<'_>; 2]) -> Self {
        Self { sizes, forward: [v, u].map(|v| v.weight().packed(Use::Forward)) }
    }

    /// F and G of some pairs, given the numbers of each (C + C').
    fn evaluate(&self, pairs: &[f32], [f, g]: [&mut Vec<f32>; 2]) {
        let Sizes { width, angle, both, .. } = self.sizes;
        let rows = pairs.len() / both;
        for (start, out, panels) in [(0, f, &self.forward[0]), (angle, g, &self.forward[1])] {
            out.resize(rows * width, 0.0);
            let view = View { data: &pairs[start..], row_stride: both, col_stride: 1 };
            multiply(out, rows, view, panels, false);
        }
    }
}

impl TorsionSum {
    fn sizes(&self, [x, w, v, t, u]: [Mat<'_>; 5]) -> Sizes {
        let (edges, degrees) = (self.graph.num_edges(), self.harmonics.degrees);
        let radial = w.cols / degrees;
        let sizes = Sizes { degrees, radial, width: x.cols, angle: w.rows, both: w.rows + t.rows };
        assert!(x.rows == edges && self.radial.len() == edges * w.cols, "one row for each edge");
        assert!(w.cols == degrees * radial && t.cols == degrees * w.cols, "columns of the features");
        assert!(v.rows == x.cols && v.cols == w.rows && u.rows == x.cols && u.cols == t.rows, "weights");
        sizes
    }

    /// The harmonics of the pairs of an atom: (p, q) slow, L² functions.
    fn table(&self, atom: usize) -> &[f32] {
        &self.harmonics.values[self.harmonics.ptr[atom]..self.harmonics.ptr[atom + 1]]
    }

    /// The numbers (C + C') of all pairs of an atom.
    fn pairs(&self, sizes: Sizes, atom: usize, matrices: &[f32], out: &mut Vec<f32>) {
        let (k, count, both) = (self.graph.edges_from(atom).len(), self.harmonics.count(), sizes.both);
        out.resize(k * k * both, 0.0);
        let edges = self.table(atom).chunks_exact(k * count).zip(matrices.chunks_exact(sizes.matrix()));
        for ((table, matrix), out) in edges.zip(out.chunks_exact_mut(k * both)) {
            product(out, [k, both, count], View::rows(table, count), View::rows(matrix, both), false);
        }
    }

    /// Number of edges p whose pairs are worked off together.
    fn block(k: usize) -> usize {
        BLOCK.div_ceil(k)
    }

    fn message(&self, p: usize, width: usize) -> Range<usize> {
        let row = self.graph.reverse[p] as usize;
        row * width..(row + 1) * width
    }
}

impl HostOp<5> for TorsionSum {
    fn forward(&self, inputs: [Mat<'_>; 5], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let sizes = self.sizes(inputs);
        let [x, w, v, t, u] = inputs;
        let Sizes { width, both, .. } = sizes;
        let contraction = Contraction::new(sizes, w, t);
        let filters = Filters::new(sizes, [v, u]);
        let operations = 2 * self.harmonics.values.len() * (both + width / 4);
        let per_atom = |(atom, out): (usize, &mut [MaybeUninit<f32>])| {
            let edges = self.graph.edges_from(atom);
            let k = edges.len();
            if k == 0 {
                return;
            }
            let [mut matrices, mut pairs, mut f, mut g] = [const { Vec::new() }; 4];
            contraction.matrices(&self.radial, &edges, &mut matrices);
            self.pairs(sizes, atom, &matrices, &mut pairs);
            out.fill(MaybeUninit::new(0.0));
            // SAFETY: all of it was written just now.
            let out = unsafe { out.assume_init_mut() };
            let step = Self::block(k);
            for (block, pairs) in pairs.chunks(step * k * both).enumerate() {
                filters.evaluate(pairs, [&mut f, &mut g]);
                let first = edges.start + block * step;
                let rows = f.chunks_exact(k * width).zip(g.chunks_exact(k * width));
                vectorized!(for (p, (f, g)) in (first..).zip(rows) {
                    let message = &x.data[self.message(p, width)];
                    let rows = f.chunks_exact(width).zip(g.chunks_exact(width));
                    for (y, (f, g)) in out.chunks_exact_mut(width).zip(rows) {
                        for (((y, &f), &g), &m) in y.iter_mut().zip(f).zip(g).zip(message) {
                            *y += m * f * g;
                        }
                    }
                });
            }
        };
        // SAFETY: the rows of all atoms are filled, which are all rows.
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
        inputs: [Mat<'_>; 5],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 5],
    ) -> [Option<Matrix>; 5] {
        let sizes = self.sizes(inputs);
        let [x, w, v, t, u] = inputs;
        let Sizes { width, angle, both, .. } = sizes;
        let count = self.harmonics.count();
        let contraction = Contraction::new(sizes, w, t);
        let filters = Filters::new(sizes, [v, u]);
        let back = [v, u].map(|v| v.weight().packed(Use::Backward));
        let mut dx = Matrix::zeros(x.rows, width);
        let mut sums = Contraction {
            sizes,
            angle: vec![0.0; contraction.angle.len()],
            torsion: vec![0.0; contraction.torsion.len()],
        };
        // Transposed: (C, A) and (C', A).
        let mut d_filters = [vec![0.0; angle * width], vec![0.0; (both - angle) * width]];
        let [mut matrices, mut pairs, mut f, mut g, mut d_pairs] = [const { Vec::new() }; 5];
        for atom in 0..self.graph.num_atoms {
            let edges = self.graph.edges_from(atom);
            let k = edges.len();
            if k == 0 {
                continue;
            }
            contraction.matrices(&self.radial, &edges, &mut matrices);
            self.pairs(sizes, atom, &matrices, &mut pairs);
            d_pairs.resize(pairs.len(), 0.0);
            let grads = &grad.data[edges.start * width..edges.end * width];
            let step = Self::block(k);
            let length = step * k * both;
            let blocks = pairs.chunks(length).zip(d_pairs.chunks_mut(length));
            for (block, (pairs, d_pairs)) in blocks.enumerate() {
                filters.evaluate(pairs, [&mut f, &mut g]);
                let first = edges.start + block * step;
                let rows = f.chunks_exact_mut(k * width).zip(g.chunks_exact_mut(k * width));
                // F and G become their gradients.
                vectorized!(for (p, (f, g)) in (first..).zip(rows) {
                    let range = self.message(p, width);
                    let (message, dx) = (&x.data[range.clone()], &mut dx.data[range]);
                    let rows = f.chunks_exact_mut(width).zip(g.chunks_exact_mut(width));
                    for (d, (f, g)) in grads.chunks_exact(width).zip(rows) {
                        let numbers = f.iter_mut().zip(g).zip(d).zip(message).zip(&mut *dx);
                        for ((((f, g), &d), &m), dx) in numbers {
                            let (df, dg) = (d * *g, d * *f);
                            *dx += dg * *g;
                            (*f, *g) = (m * df, m * dg);
                        }
                    }
                });
                let rows = pairs.len() / both;
                for (i, start) in [0, angle].into_iter().enumerate() {
                    let (d, columns) = (if i == 0 { &f } else { &g }, d_filters[i].len() / width);
                    let a = View { data: &pairs[start..], row_stride: 1, col_stride: both };
                    let shape = [columns, width, rows];
                    product_into(&mut d_filters[i], width, shape, a, View::rows(d, width), true);
                    multiply_into(&mut d_pairs[start..], both, rows, View::rows(d, width), &back[i], false);
                }
            }
            // The matrices become their gradients.
            let all = self.table(atom).chunks_exact(k * count).zip(d_pairs.chunks_exact(k * both));
            for ((table, d), matrix) in all.zip(matrices.chunks_exact_mut(sizes.matrix())) {
                product(matrix, [count, both, k], View::transposed(table, count), View::rows(d, both), false);
            }
            contraction.add_gradients(&self.radial, &edges, &matrices, &mut sums);
        }
        let [dw, dt] = sums.into_weights();
        let [dv, du] = d_filters.map(|d| {
            let columns = d.len() / width;
            let data = (0..width).flat_map(|a| (0..columns).map(move |c| (a, c)));
            Matrix { data: data.map(|(a, c)| d[c * width + a]).collect(), rows: width, cols: columns }
        });
        [dx, dw, dv, dt, du].map(Some)
    }

    /// The published form: both bases of every pair.
    fn compose(&self, [x, w, v, t, u]: [Tensor<2>; 5]) -> Tensor<2> {
        let device = x.device();
        let (degrees, count) = (self.harmonics.degrees, self.harmonics.count());
        let columns = w.dims()[1];
        let radial = columns / degrees;
        let (ps, qs) = self.graph.triplets();
        let harmonics = self.harmonics.of_pairs();
        let (mut angular, mut torsional) = (Vec::new(), Vec::new());
        for (&p, y) in ps.iter().zip(harmonics.chunks_exact(count.max(1))) {
            let b = &self.radial[p as usize * columns..][..columns];
            angular.extend((0..columns).map(|i| b[i] * y[(i / radial).pow(2)]));
            torsional.extend((0..count * radial).map(|i| {
                let (y, order) = (y[i / radial], i / radial % degrees);
                y * b[order * radial + i % radial]
            }));
        }
        let pairs = ps.len();
        let features = |data: Vec<f32>, columns: usize| {
            Tensor::<2>::from_data(TensorData::new(data, [pairs, columns]), &device)
        };
        let two = |x: Tensor<2>, w, v| dense(dense(x, w, Activation::Identity), v, Activation::Identity);
        let filter = two(features(angular, columns), w, v) * two(features(torsional, count * radial), t, u);
        let messages: Index = ps.iter().map(|&p| self.graph.reverse[p as usize]).collect();
        scatter_sum(gather(x, &messages) * filter, &qs.into(), self.graph.num_edges())
    }
}
