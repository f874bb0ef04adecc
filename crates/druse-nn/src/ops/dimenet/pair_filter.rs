//! What the sums over pairs of edges share: the filters of the edges of an atom, and the sum with a row for each pair.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use crate::graph::Index;
use crate::ops::dense::{Activation, dense};
use crate::ops::gather::{gather, scatter_sum};
use crate::ops::host::Mat;
use crate::ops::product::{Panels, View, multiply_new};

/// Filters of a range of edges, rows (p, l): `Σ_c W[a, c] basis[p, l, c]`, given the packed weight.
pub(super) fn filters(basis: Mat<'_>, edges: &Range<usize>, degrees: usize, panels: &Panels) -> Vec<f32> {
    let rows = edges.len() * degrees;
    let mut out = Vec::with_capacity(rows * panels.cols());
    let view = View::rows(&basis.data[edges.start * basis.cols..], panels.rows());
    multiply_new(&mut out.spare_capacity_mut()[..rows * panels.cols()], rows, view, panels);
    // SAFETY: the product has written so many numbers.
    unsafe { out.set_len(rows * panels.cols()) };
    out
}

/// Pairs of edges with their angular functions.
pub(super) struct Pairs {
    /// The edge whose basis filters the message.
    pub filter: Index,
    /// The edge whose message it is.
    pub message: Index,
    /// The edge that receives it.
    pub receiver: Index,
    /// Angular functions (pairs, degrees).
    pub angular: Vec<f32>,
}

impl Pairs {
    /// `y[receiver, a] = Σ_pairs Σ_l Y_l x[message, a] Σ_c W[a, c] basis[filter, l, c]` from tensor operations.
    pub fn sum(self, [x, basis, w]: [Tensor<2>; 3]) -> Tensor<2> {
        let device = x.device();
        let ([edges, width], [_, c], n) = (x.dims(), w.dims(), self.filter.len());
        let degrees = basis.dims()[1] / c;
        let y = Tensor::<3>::from_data(TensorData::new(self.angular, [n, degrees, 1]), &device);
        let filters = dense(basis.reshape([edges * degrees, c]), w, Activation::Identity);
        let filters = gather(filters.reshape([edges, degrees * width]), &self.filter);
        let filters = (filters.reshape([n, degrees, width]) * y).sum_dim(1).reshape([n, width]);
        scatter_sum(gather(x, &self.message) * filters, &self.receiver, edges)
    }
}
