//! DimeNet's sum over pairs of edges on a symmetric multigraph, without pairs.
//!
//! The zonal functions of the angle of a pair are sums of products of spherical harmonics of its two directions, so the edges
//! that leave a site are summed once for each harmonic, and every edge that reaches a copy of the site reads these sums:
//! the cost is linear in the number of edges.

use std::mem::MaybeUninit;
use std::sync::Arc;

use burn::tensor::Tensor;

use super::pair_filter::{Pairs, filters};
use crate::arch::vectorized;
use crate::graph::{PairedHarmonics, SymmetricGraph};
use crate::ops::blocks::for_each;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::product::{
    Panels, Use, View, add_gradient, multiply_new, new_vec, product_into, product_new,
};

/// `y[q, a] = Σ_p Σ_l Y_l(p, q) x[p, a] Σ_c W[a, c] basis[p, l, c]` over the edges p that leave the site whose copy q
/// reaches: x is (edges, A), the basis (edges, degrees · C) with the degree slow, the weight (A, C), the result (edges, A).
pub fn zonal_sum(
    x: Tensor<2>,
    basis: Tensor<2>,
    weight: Tensor<2>,
    graph: &Arc<SymmetricGraph>,
    harmonics: &Arc<PairedHarmonics>,
) -> Tensor<2> {
    apply(&ZonalSum { graph: graph.clone(), harmonics: harmonics.clone() }, [x, basis, weight])
}

#[derive(Debug, Clone)]
pub(crate) struct ZonalSum {
    pub graph: Arc<SymmetricGraph>,
    pub harmonics: Arc<PairedHarmonics>,
}

impl ZonalSum {
    /// Number of degrees and of harmonics.
    fn counts(&self) -> [usize; 2] {
        [self.harmonics.degrees, self.harmonics.count()]
    }

    fn check(&self, x: Mat<'_>, basis: Mat<'_>, w: Mat<'_>) {
        let edges = self.graph.num_edges();
        assert!(x.rows == edges && basis.rows == edges, "one row for each edge");
        assert!(
            w.rows == x.cols && basis.cols == self.harmonics.degrees * w.cols,
            "sizes of basis and weight"
        );
    }

    /// Harmonics of the edges that leave a site, those of degree l: (edges, 2 l + 1).
    fn leaving(&self, site: usize, l: usize) -> View<'_> {
        let count = self.harmonics.count();
        let data = &self.harmonics.leaving[(self.graph.edges_from(site).start * count + l * l)..];
        View { data, row_stride: count, col_stride: 1 }
    }

    /// The same, transposed: (2 l + 1, edges).
    fn leaving_transposed(&self, site: usize, l: usize) -> View<'_> {
        let View { data, row_stride, col_stride } = self.leaving(site, l);
        View { data, row_stride: col_stride, col_stride: row_stride }
    }

    /// Harmonics of the edges that reach copies of a site: (edges, L²).
    fn arriving(&self, site: usize) -> &[f32] {
        let (places, count) = (self.graph.places_into(site), self.harmonics.count());
        &self.harmonics.arriving[places.start * count..places.end * count]
    }

    /// Sums over the edges that leave a site, for each harmonic: (L², A).
    fn sums(&self, site: usize, x: Mat<'_>, basis: Mat<'_>, panels: &Panels) -> Vec<f32> {
        let ([degrees, count], width) = (self.counts(), x.cols);
        let edges = self.graph.edges_from(site);
        let mut z = filters(basis, &edges, degrees, panels);
        let messages = x.data[edges.start * width..edges.end * width].chunks_exact(width);
        vectorized!(for (z, message) in z.chunks_exact_mut(degrees * width).zip(messages) {
            for z in z.chunks_exact_mut(width) {
                for (z, m) in z.iter_mut().zip(message) {
                    *z *= m;
                }
            }
        });
        let mut sums = vec![0.0; count * width];
        if edges.is_empty() {
            return sums;
        }
        for l in 0..degrees {
            let z = View { data: &z[l * width..], row_stride: degrees * width, col_stride: 1 };
            let shape = [2 * l + 1, width, edges.len()];
            let sums = &mut sums[l * l * width..];
            product_into(sums, width, shape, self.leaving_transposed(site, l), z, false);
        }
        sums
    }
}

impl HostOp<3> for ZonalSum {
    fn forward(&self, [x, basis, w]: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        self.check(x, basis, w);
        let ([degrees, count], width) = (self.counts(), x.cols);
        let panels = w.weight().packed(Use::Forward);
        let operations = 2 * width * x.rows * (2 * count + degrees * w.cols);
        // The rows of the edges that reach a site, one site after the other.
        let per_site = |(site, out): (usize, &mut [MaybeUninit<f32>])| {
            let sums = self.sums(site, x, basis, &panels);
            let rows = self.graph.places_into(site).len();
            let arriving = View::rows(self.arriving(site), count);
            product_new(out, [rows, width, count], arriving, View::rows(&sums, width));
        };
        // SAFETY: the products write the rows of all sites, which are all rows.
        let sorted = unsafe {
            new_vec(x.rows * width, |mut rest| {
                let mut sites = Vec::with_capacity(self.graph.num_sites);
                for site in 0..self.graph.num_sites {
                    let (own, others) = rest.split_at_mut(self.graph.places_into(site).len() * width);
                    sites.push((site, own));
                    rest = others;
                }
                for_each(operations, sites.into_iter(), per_site);
            })
        };
        let mut data = vec![0.0; x.rows * width];
        for (row, &e) in sorted.chunks_exact(width).zip(self.graph.incoming()) {
            data[e as usize * width..][..width].copy_from_slice(row);
        }
        (Matrix { data, rows: x.rows, cols: width }, Vec::new())
    }

    fn backward(
        &self,
        [x, basis, w]: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let ([degrees, count], width, c) = (self.counts(), x.cols, w.cols);
        let (forward, backward) = (w.weight().packed(Use::Forward), w.weight().packed(Use::Backward));
        let mut dx = Matrix::zeros(x.rows, width);
        let mut d_basis = Vec::with_capacity(basis.data.len());
        let mut dw = Matrix::zeros(w.rows, c);
        let (mut g, mut dz) = (Vec::new(), Vec::new());
        let mut d_sums = vec![0.0; count * width];
        for site in 0..self.graph.num_sites {
            let (edges, places) = (self.graph.edges_from(site), self.graph.places_into(site));
            g.clear();
            for &e in &self.graph.incoming()[places.clone()] {
                g.extend_from_slice(&grad.data[e as usize * width..][..width]);
            }
            let arriving = View::transposed(self.arriving(site), count);
            let shape = [count, width, places.len()];
            product_into(&mut d_sums, width, shape, arriving, View::rows(&g, width), false);
            let mut filters = filters(basis, &edges, degrees, &forward);
            dz.resize(filters.len(), 0f32);
            for l in 0..degrees {
                let (shape, orders) =
                    ([edges.len(), width, 2 * l + 1], View::rows(&d_sums[l * l * width..], width));
                let at = (l * width).min(dz.len());
                product_into(&mut dz[at..], degrees * width, shape, self.leaving(site, l), orders, false);
            }
            // The filters become their gradients.
            let rows = edges.start * width..edges.end * width;
            let messages =
                x.data[rows.clone()].chunks_exact(width).zip(dx.data[rows].chunks_exact_mut(width));
            let parts = filters.chunks_exact_mut(degrees * width).zip(dz.chunks_exact(degrees * width));
            vectorized!(for ((filters, dz), (message, dx)) in parts.zip(messages) {
                for (filter, dz) in filters.chunks_exact_mut(width).zip(dz.chunks_exact(width)) {
                    for (((f, &m), dx), &dz) in filter.iter_mut().zip(message).zip(&mut *dx).zip(dz) {
                        *dx += *f * dz;
                        *f = m * dz;
                    }
                }
            });
            let depth = edges.len() * degrees;
            let d = &mut d_basis.spare_capacity_mut()[..depth * c];
            multiply_new(d, depth, View::rows(&filters, width), &backward);
            // SAFETY: the product has written so many numbers behind the end.
            unsafe { d_basis.set_len(d_basis.len() + depth * c) };
            let rows = edges.start * degrees * c..edges.end * degrees * c;
            add_gradient(&mut dw.data, c, [width, c, depth], &filters, &basis.data[rows]);
        }
        let d_basis = Matrix { data: d_basis, rows: basis.rows, cols: basis.cols };
        [Some(dx), Some(d_basis), Some(dw)]
    }

    fn compose(&self, inputs: [Tensor<2>; 3]) -> Tensor<2> {
        let (p, q) = self.graph.pairs();
        let angular = self.harmonics.of_pairs();
        let filter: crate::graph::Index = p.into();
        Pairs { message: filter.clone(), filter, receiver: q.into(), angular }.sum(inputs)
    }
}
