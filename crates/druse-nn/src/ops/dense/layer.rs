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
use crate::ops::kernels::{add_assign, as_uninit, silu_backward_into, silu_in_place, silu_into};
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

    /// The gradient with respect to the argument.
    fn backward(self, kept: &[Vec<f32>], grad: Mat<'_>) -> Vec<f32> {
        let Some(scale) = self.scale() else { return grad.data.to_vec() };
        // SAFETY: as many numbers are written as there are arguments, one for each of the gradient.
        unsafe { new_vec(grad.data.len(), |g| silu_backward_into(&kept[0], scale, grad.data, g)) }
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
fn product(z: &mut [MaybeUninit<f32>], x: View<'_>, panels: &Panels, bias: Option<&[f32]>) {
    let z = multiply_new(z, z.len() / panels.cols(), x, panels);
    if let Some(bias) = bias {
        add_row(z, bias);
    }
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
    let write = |block: usize, z: &mut [MaybeUninit<f32>]| {
        product(z, View::rows(&x.data[block * BLOCK * k..], k), &panels, bias);
    };
    // SAFETY: a product writes all of its block.
    unsafe { activated([x.rows, n], 2 * x.rows * n * k, act, keep, write) }
}

/// `act(z)` for a matrix z of this shape that `write` computes block by block of rows, `operations` in all, while a block is in
/// the cache; and z where it is to be kept.
///
/// # Safety
/// `write` is given the number of a block and its place, and must write all of that.
pub(super) unsafe fn activated(
    [rows, cols]: [usize; 2],
    operations: usize,
    act: Activation,
    keep: bool,
    write: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync + Send,
) -> (Matrix, Vec<Vec<f32>>) {
    let stride = (BLOCK * cols).max(1);
    let mut kept = Vec::new();
    // SAFETY: the loops hand every block of the result to `write`, or the one of the arguments and then the result to the
    // activation.
    let data = unsafe {
        new_vec(rows * cols, |y| match act.scale().filter(|_| keep) {
            Some(scale) => kept.push(new_vec(y.len(), |z| {
                let blocks = z.chunks_mut(stride).zip(y.chunks_mut(stride)).enumerate();
                for_each(operations, blocks, |(block, (z, y))| {
                    write(block, z);
                    silu_into(z.assume_init_ref(), scale, y);
                });
            })),
            None => for_each(operations, y.chunks_mut(stride).enumerate(), |(block, y)| {
                write(block, y);
                if let Some(scale) = act.scale() {
                    silu_in_place(y.assume_init_mut(), scale);
                }
            }),
        })
    };
    (Matrix { data, rows, cols }, kept)
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
    let mut dw = Matrix::zeros(if wanted[1] { n } else { 0 }, k);
    let mut db = Matrix::zeros(if wanted[2] { 1 } else { 0 }, n);
    let mut scratch = vec![0.0; if act.scale().is_some() { (2 * BLOCK).min(x.rows) * n } else { 0 }];
    for start in (0..x.rows).step_by(2 * BLOCK) {
        let rows = (2 * BLOCK).min(x.rows - start);
        let range = start * n..(start + rows) * n;
        let g = match act.scale() {
            None => &grad.data[range],
            Some(scale) => {
                let g = &mut scratch[..rows * n];
                silu_backward_into(&kept[0][range.clone()], scale, &grad.data[range], as_uninit(g));
                &*g
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

/// Rows that are worked off side by side where one of them does not fill a vector.
const SIDE_BY_SIDE: usize = 16;

/// Adds a row to every row of y.
pub(crate) fn add_row(y: &mut [f32], row: &[f32]) {
    let cols = row.len();
    if cols == 0 {
        return;
    }
    let mut rows;
    let row = if cols < SIDE_BY_SIDE {
        rows = [0f32; SIDE_BY_SIDE * SIDE_BY_SIDE];
        rows.chunks_exact_mut(cols).for_each(|to| to.copy_from_slice(row));
        &rows[..SIDE_BY_SIDE * cols]
    } else {
        row
    };
    vectorized!(for y in y.chunks_mut(row.len()) {
        add_assign(y, row);
    });
}

/// Adds every row of g to a row.
pub(crate) fn add_rows_to(row: &mut [f32], g: &[f32]) {
    let cols = row.len().max(1);
    if cols >= SIDE_BY_SIDE {
        return vectorized!(for g in g.chunks_exact(cols) {
            add_assign(row, g);
        });
    }
    let mut sums = [0f32; SIDE_BY_SIDE * SIDE_BY_SIDE];
    let sums = &mut sums[..SIDE_BY_SIDE * cols];
    vectorized!({
        for g in g.chunks(SIDE_BY_SIDE * cols) {
            for (sum, &x) in sums.iter_mut().zip(g) {
                *sum += x;
            }
        }
        for sums in sums.chunks_exact(cols) {
            add_assign(row, sums);
        }
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
        let n = c.cols;
        assert!(self.first.len() == c.rows && self.second.len() == c.rows, "two ends for each edge");
        let sum = |block: usize, z: &mut [MaybeUninit<f32>]| {
            let edges = block * BLOCK..block * BLOCK + z.len() / n;
            let ends = self.first[edges.clone()].iter().zip(&self.second[edges.clone()]);
            let rows = c.data[edges.start * n..].chunks_exact(n).zip(ends);
            vectorized!(for (z, (c, (&i, &j))) in z.chunks_exact_mut(n).zip(rows) {
                for (((z, c), a), b) in z.iter_mut().zip(c).zip(row(a, i)).zip(row(b, j)) {
                    z.write(c + a + b);
                }
            });
        };
        // SAFETY: the loop writes every number of every row: there are rows of c and ends for all of them.
        unsafe { activated([c.rows, n], 3 * c.rows * n, self.act, keep, sum) }
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
