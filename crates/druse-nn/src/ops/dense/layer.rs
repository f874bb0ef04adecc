//! Linear layers, alone and at the end of a split concatenation.

use std::mem::MaybeUninit;

use burn::tensor::{Tensor, activation};

use crate::arch::vectorized;
use crate::graph::Index;
use crate::ops::blocks::for_each;
#[cfg(feature = "gpu")]
use crate::ops::device_op::DeviceOp;
use crate::ops::gather::index_tensor;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{add_assign, silu_backward, silu_in_place, silu_into};
use crate::ops::product::{BLOCK, Panels, Use, View, add_gradient, multiply_new, new_vec};

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
        // SAFETY: as many numbers are written as there are arguments.
        let data = unsafe { new_vec(z.data.len(), |y| silu_into(&z.data, scale, y)) };
        let y = Matrix { data, rows: z.rows, cols: z.cols };
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

/// Writes `x Wᵀ + b` for the rows that z has room for.
fn product<'d>(
    z: &'d mut [MaybeUninit<f32>],
    x: View<'_>,
    panels: &Panels,
    bias: Option<&[f32]>,
) -> &'d mut [f32] {
    let z = multiply_new(z, z.len() / panels.cols(), x, panels);
    if let Some(bias) = bias {
        add_row(z, bias);
    }
    z
}

/// `act(x Wᵀ + b)`, and the argument of the activation where it is to be kept.
pub(super) fn linear(
    act: Activation,
    x: Mat<'_>,
    w: Mat<'_>,
    bias: Option<&[f32]>,
    keep: bool,
) -> (Matrix, Vec<Vec<f32>>) {
    let (n, k) = (w.rows, w.cols);
    let panels = w.weight().packed(Use::Forward);
    let stride = (BLOCK * n).max(1);
    let operations = 2 * x.rows * n * k;
    let input = |block: usize| View::rows(&x.data[block * BLOCK * k..], k);
    let mut kept = Vec::new();
    // SAFETY: the loops write every block of the result, and of the arguments where these are kept.
    let data = unsafe {
        new_vec(x.rows * n, |y| match act.scale().filter(|_| keep) {
            Some(scale) => {
                let z = new_vec(y.len(), |z| {
                    let blocks = z.chunks_mut(stride).zip(y.chunks_mut(stride)).enumerate();
                    for_each(operations, blocks, |(block, (z, y))| {
                        silu_into(product(z, input(block), &panels, bias), scale, y)
                    });
                });
                kept.push(z);
            }
            None => for_each(operations, y.chunks_mut(stride).enumerate(), |(block, y)| {
                let y = product(y, input(block), &panels, bias);
                if let Some(scale) = act.scale() {
                    silu_in_place(y, scale);
                }
            }),
        })
    };
    (Matrix { data, rows: x.rows, cols: n }, kept)
}

/// The gradients of [`linear`] with respect to x, W and b, those that are wanted.
pub(super) fn linear_backward(
    act: Activation,
    [x, w]: [Mat<'_>; 2],
    kept: &[Vec<f32>],
    grad: Mat<'_>,
    wanted: [bool; 3],
) -> [Option<Matrix>; 3] {
    let (n, k) = (w.rows, w.cols);
    let panels = w.weight().packed(Use::Backward);
    let mut dx = Vec::with_capacity(if wanted[0] { x.rows * k } else { 0 });
    let mut dw = Matrix::zeros(n, k);
    let mut db = Matrix::zeros(1, n);
    let mut scratch = Vec::new();
    for start in (0..x.rows).step_by(2 * BLOCK) {
        let rows = (2 * BLOCK).min(x.rows - start);
        let range = start * n..(start + rows) * n;
        let g = match act.scale() {
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
        if wanted[2] {
            add_rows_to(&mut db.data, g);
        }
    }
    let dx = wanted[0].then_some(Matrix { data: dx, rows: x.rows, cols: k });
    [dx, wanted[1].then_some(dw), wanted[2].then_some(db)]
}

/// Adds a row to every row of y.
pub(crate) fn add_row(y: &mut [f32], row: &[f32]) {
    vectorized!(for y in y.chunks_exact_mut(row.len().max(1)) {
        add_assign(y, row);
    });
}

/// Adds every row of g to a row.
pub(crate) fn add_rows_to(row: &mut [f32], g: &[f32]) {
    vectorized!(for g in g.chunks_exact(row.len().max(1)) {
        add_assign(row, g);
    });
}

impl HostOp<2> for Dense {
    fn forward(&self, [x, w]: [Mat<'_>; 2], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        linear(self.act, x, w, None, keep)
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; 2],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        wanted: [bool; 2],
    ) -> [Option<Matrix>; 2] {
        let [dx, dw, _] = linear_backward(self.act, inputs, kept, grad, [wanted[0], wanted[1], false]);
        [dx, dw]
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<2>> {
        Some(self)
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

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<3>> {
        Some(self)
    }

    fn compose(&self, [a, b, c]: [Tensor<2>; 3]) -> Tensor<2> {
        let device = c.device();
        let a = a.select(0, index_tensor(&self.first, &device));
        let b = b.select(0, index_tensor(&self.second, &device));
        self.act.compose(a + b + c)
    }
}
