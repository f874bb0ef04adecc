//! Linear layers, alone and at the end of a split concatenation.

use burn::tensor::{Tensor, activation};

use super::gather::index_tensor;
use super::host::{HostOp, Mat, Matrix, apply};
use super::kernels::{View, add_assign, new_product, new_silu, silu_backward, silu_in_place, vectorized};
use crate::graph::Index;

/// What follows the linear map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `x sigmoid(x)`.
    Silu,
    /// `x sigmoid(x) / 0.6` (GemNet family).
    ScaledSilu,
}

impl Activation {
    pub(crate) fn scale(self) -> Option<f32> {
        match self {
            Self::Identity => None,
            Self::Silu => Some(1.0),
            Self::ScaledSilu => Some(1.0 / 0.6),
        }
    }

    /// The activation as ordinary tensor operations.
    pub(crate) fn compose(self, x: Tensor<2>) -> Tensor<2> {
        match self.scale() {
            None => x,
            Some(scale) => activation::silu(x).mul_scalar(scale),
        }
    }

    /// Applies the activation; keeps its argument when asked to.
    fn forward(self, z: Matrix, keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let Some(scale) = self.scale() else { return (z, Vec::new()) };
        if !keep {
            let mut y = z;
            silu_in_place(&mut y.data, scale);
            return (y, Vec::new());
        }
        let y = Matrix { data: new_silu(&z.data, scale), rows: z.rows, cols: z.cols };
        (y, vec![z.data])
    }

    /// The gradient with respect to the argument.
    fn backward(self, kept: &[Vec<f32>], grad: Mat<'_>) -> Vec<f32> {
        let mut g = grad.data.to_vec();
        if let Some(scale) = self.scale() {
            silu_backward(&kept[0], scale, &mut g);
        }
        g
    }
}

/// `act(x Wᵀ)`: x is (rows, in), W is (out, in), the result (rows, out).
pub fn dense(x: Tensor<2>, weight: Tensor<2>, act: Activation) -> Tensor<2> {
    apply(&Dense { act }, [x, weight])
}

#[derive(Debug, Clone)]
pub(crate) struct Dense {
    pub act: Activation,
}

impl HostOp<2> for Dense {
    fn forward(&self, [x, w]: [Mat<'_>; 2], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let shape = [x.rows, w.rows, x.cols];
        let z = new_product(shape, View::rows(x.data, x.cols), View::transposed(w.data, w.cols));
        self.act.forward(Matrix { data: z, rows: x.rows, cols: w.rows }, keep)
    }

    fn backward(
        &self,
        [x, w]: [Mat<'_>; 2],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let g = self.act.backward(kept, grad);
        let dx = wanted[0].then(|| {
            let shape = [x.rows, x.cols, w.rows];
            let data = new_product(shape, View::rows(&g, w.rows), View::rows(w.data, w.cols));
            Matrix { data, rows: x.rows, cols: x.cols }
        });
        let dw = wanted[1].then(|| {
            let shape = [w.rows, w.cols, x.rows];
            let data = new_product(shape, View::transposed(&g, w.rows), View::rows(x.data, x.cols));
            Matrix { data, rows: w.rows, cols: w.cols }
        });
        [dx, dw]
    }

    fn compose(&self, [x, w]: [Tensor<2>; 2]) -> Tensor<2> {
        self.act.compose(x.matmul(w.transpose()))
    }
}

/// `act(a[i(e)] + b[j(e)] + c[e])` for every edge e: what is left of a linear layer over the concatenation
/// `[h_i ‖ h_j ‖ m_e]` once its atom parts are computed per atom. a and b are (atoms, width), c is (edges, width).
pub fn merge_edges(
    a: Tensor<2>,
    b: Tensor<2>,
    c: Tensor<2>,
    first: &Index,
    second: &Index,
    act: Activation,
) -> Tensor<2> {
    apply(&MergeEdges { first: first.clone(), second: second.clone(), act }, [a, b, c])
}

#[derive(Debug, Clone)]
pub(crate) struct MergeEdges {
    pub first: Index,
    pub second: Index,
    pub act: Activation,
}

fn row(m: Mat<'_>, i: u32) -> &[f32] {
    &m.data[i as usize * m.cols..][..m.cols]
}

impl HostOp<3> for MergeEdges {
    fn forward(&self, [a, b, c]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        let mut z = Matrix { data: c.data.to_vec(), rows: c.rows, cols: c.cols };
        vectorized!(for (e, z) in z.data.chunks_exact_mut(c.cols).enumerate() {
            add_assign(z, row(a, self.first[e]));
            add_assign(z, row(b, self.second[e]));
        });
        self.act.forward(z, keep)
    }

    fn backward(
        &self,
        [a, b, c]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let g = self.act.backward(kept, grad);
        let collect = |target: Mat<'_>, index: &[u32]| {
            let mut d = Matrix::zeros(target.rows, target.cols);
            vectorized!(for (g, &i) in g.chunks_exact(target.cols).zip(index) {
                add_assign(&mut d.data[i as usize * target.cols..][..target.cols], g);
            });
            d
        };
        let da = wanted[0].then(|| collect(a, &self.first));
        let db = wanted[1].then(|| collect(b, &self.second));
        [da, db, wanted[2].then_some(Matrix { data: g, rows: c.rows, cols: c.cols })]
    }

    fn compose(&self, [a, b, c]: [Tensor<2>; 3]) -> Tensor<2> {
        let device = c.device();
        let a = a.select(0, index_tensor(&self.first, &device));
        let b = b.select(0, index_tensor(&self.second, &device));
        self.act.compose(a + b + c)
    }
}
