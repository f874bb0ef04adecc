//! The bilinear layer of the triplet interaction, fused with the sum over degrees before it.

use burn::tensor::Tensor;

use super::triplet::contract_degrees;
use crate::arch::vectorized;
use crate::ops::blocks::for_each;
use crate::ops::dense::{Activation, dense};
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::transpose;
use crate::ops::product::{BLOCK, Use, View, add_gradient, multiply, multiply_new, new_vec, product_new};

/// `y[e, o] = factor · Σ_{c,i} W[c, i, o] Σ_l s[e, l, c] b[e, l, i]`: s is (edges, degrees · C), b is (edges, degrees · I), the weight
/// (C, I · O), the result (edges, O). The (C, I) matrices of single edges exist for a block of edges at a time.
pub fn bilinear(s: Tensor<2>, b: Tensor<2>, weight: Tensor<2>, degrees: usize, factor: f32) -> Tensor<2> {
    apply(&Bilinear { degrees, factor }, [s, b, weight])
}

#[derive(Debug, Clone)]
pub(crate) struct Bilinear {
    pub degrees: usize,
    pub factor: f32,
}

/// `x ← factor · x`.
fn scale(x: &mut [f32], factor: f32) {
    if factor != 1.0 {
        vectorized!(x.iter_mut().for_each(|x| *x *= factor));
    }
}

/// Widths of one layer.
#[derive(Clone, Copy)]
struct Widths {
    degrees: usize,
    c: usize,
    i: usize,
    out: usize,
}

impl Widths {
    /// The sum over degrees for `edges` edges: one matrix (C, I) after the other.
    ///
    /// # Panics
    /// When there are fewer rows of s or b.
    fn contract<'p>(&self, edges: usize, s: &[f32], b: &[f32], pairs: &'p mut Vec<f32>) -> &'p mut [f32] {
        let Self { degrees, c, i, .. } = *self;
        pairs.clear();
        pairs.reserve(edges * c * i);
        let (s, b) = (&s[..edges * degrees * c], &b[..edges * degrees * i]);
        let rows = s.chunks_exact(degrees * c).zip(b.chunks_exact(degrees * i));
        for (pairs, (s, b)) in pairs.spare_capacity_mut().chunks_exact_mut(c * i).zip(rows) {
            product_new(pairs, [c, i, degrees], View::transposed(s, c), View::rows(b, i));
        }
        // SAFETY: there are as many rows of s and b as edges, and a product has written the matrix of each.
        unsafe { pairs.set_len(edges * c * i) };
        pairs
    }
}

impl Bilinear {
    fn widths(&self, [s, b, w]: [Mat<'_>; 3]) -> Widths {
        let (c, i) = (s.cols / self.degrees, b.cols / self.degrees);
        assert!(c == w.rows && w.cols.is_multiple_of(i), "a bilinear weight of another width");
        Widths { degrees: self.degrees, c, i, out: w.cols / i }
    }
}

impl HostOp<3> for Bilinear {
    fn forward(&self, inputs: [Mat<'_>; 3], _keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let [s, b, w] = inputs;
        let widths = self.widths(inputs);
        let Widths { c, i, out, .. } = widths;
        let panels = w.weight_of(out).packed(Use::Backward);
        // SAFETY: the loop writes every block of the result.
        let data = unsafe {
            new_vec(s.rows * out, |y| {
                for_each(
                    2 * s.rows * c * i * (out + self.degrees),
                    y.chunks_mut((BLOCK * out).max(1)).enumerate(),
                    |(block, y)| {
                        let (start, rows) = (block * BLOCK, y.len() / out);
                        let (s, b) = (&s.data[start * s.cols..], &b.data[start * b.cols..]);
                        let mut pairs = Vec::new();
                        let pairs = widths.contract(rows, s, b, &mut pairs);
                        let y = multiply_new(y, rows, View::rows(pairs, c * i), &panels);
                        scale(y, self.factor);
                    },
                );
            })
        };
        (Matrix { data, rows: s.rows, cols: out }, Vec::new())
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 3],
        _: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let [s, b, w] = inputs;
        let widths = self.widths(inputs);
        let Widths { degrees, c, i, out } = widths;
        let panels = w.weight_of(out).packed(Use::Forward);
        let [mut ds, mut db] = [s, b].map(|x| Vec::with_capacity(x.data.len()));
        let mut dw = Matrix::zeros(w.rows, w.cols);
        let mut pairs = Vec::new();
        let (mut turned, mut g) = (vec![0.0; c * i], Vec::new());
        for start in (0..s.rows).step_by(BLOCK) {
            let rows = BLOCK.min(s.rows - start);
            let s = &s.data[start * s.cols..][..rows * s.cols];
            let b = &b.data[start * b.cols..][..rows * b.cols];
            g.clear();
            g.extend_from_slice(&grad.data[start * out..][..rows * out]);
            scale(&mut g, self.factor);
            let pairs = widths.contract(rows, s, b, &mut pairs);
            let shape = [c * i, out, rows];
            add_gradient(&mut dw.data, out, shape, pairs, &g);
            multiply(pairs, rows, View::rows(&g, out), &panels, false);
            let [ds_new, db_new] = [(&mut ds, s.len()), (&mut db, b.len())]
                .map(|(d, len): (&mut Vec<f32>, usize)| &mut d.spare_capacity_mut()[..len]);
            let places = ds_new.chunks_exact_mut(degrees * c).zip(db_new.chunks_exact_mut(degrees * i));
            let edges = s.chunks_exact(degrees * c).zip(b.chunks_exact(degrees * i));
            for ((d, (s, b)), (ds, db)) in pairs.chunks_exact(c * i).zip(edges).zip(places) {
                product_new(db, [degrees, i, c], View::rows(s, c), View::rows(d, i));
                // With C fast, so that the last product works on whole vectors.
                transpose(d, i, &mut turned);
                product_new(ds, [degrees, c, i], View::rows(b, i), View::rows(&turned, c));
            }
            // SAFETY: the products have written the rows of both for every edge of the block behind the ends.
            unsafe {
                ds.set_len(ds.len() + s.len());
                db.set_len(db.len() + b.len());
            }
        }
        let ds = Matrix { data: ds, rows: s.rows, cols: s.cols };
        let db = Matrix { data: db, rows: b.rows, cols: b.cols };
        [Some(ds), Some(db), Some(dw)]
    }

    fn compose(&self, [s, b, w]: [Tensor<2>; 3]) -> Tensor<2> {
        let [_, columns] = b.dims();
        let [c, width] = w.dims();
        let i = columns / self.degrees;
        let weight = w.reshape([c * i, width / i]).transpose();
        let y = dense(contract_degrees(s, b, self.degrees), weight, Activation::Identity);
        if self.factor == 1.0 { y } else { y.mul_scalar(self.factor) }
    }
}
