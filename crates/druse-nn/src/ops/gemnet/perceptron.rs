//! Activated layers in a row as one operation: block by block of rows, every block through all layers while it is in the
//! cache.

use std::f32::consts::FRAC_1_SQRT_2;
use std::mem::MaybeUninit;
use std::sync::Arc;

use burn::tensor::Tensor;

use crate::ops::blocks::for_each;
use crate::ops::dense::{Activation, dense};
#[cfg(feature = "gpu")]
use crate::ops::device_op::DeviceOp;
use crate::ops::host::{HostOp, Mat, Matrix, apply};
use crate::ops::kernels::{residual_silu, silu_and_backward, silu_backward, silu_in_place, silu_into};
use crate::ops::product::{BLOCK, Panels, Use, View, add_gradient, multiply, multiply_new, new_vec};

/// Factor of the scaled SiLU.
pub(crate) const SCALE: f32 = 1.0 / 0.6;

/// Rows of a block in the backward pass. Longer than in the forward pass: every block adds to all gradients of weights.
const BACKWARD_BLOCK: usize = 2 * BLOCK;

/// An activated layer (if `first`) followed by residual pairs `u ← (u + act(act(u W₁ᵀ) W₂ᵀ)) / √2`, with the scaled SiLU
/// of the GemNet family.
///
/// `inputs` are x (rows, in), then the first layer's weight (width, in) if `first`, then two weights (width, width) for
/// each pair; the result is (rows, width). Without first layer, in = width.
pub fn perceptron<const N: usize>(inputs: [Tensor<2>; N], first: bool) -> Tensor<2> {
    apply(&Perceptron::<N> { first }, inputs)
}

/// `(x + act(act(x W₁ᵀ) W₂ᵀ)) / √2` with the scaled SiLU of the GemNet family: x is (rows, width), both weights
/// (width, width), the result (rows, width).
pub fn residual_pair(x: Tensor<2>, first: Tensor<2>, second: Tensor<2>) -> Tensor<2> {
    apply(&ResidualPair, [x, first, second])
}

#[derive(Debug, Clone)]
pub(crate) struct Perceptron<const N: usize> {
    pub first: bool,
}

impl<const N: usize> HostOp<N> for Perceptron<N> {
    fn forward(&self, inputs: [Mat<'_>; N], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        forward(inputs[0], &inputs[1..], self.first, keep)
    }

    fn backward(
        &self,
        inputs: [Mat<'_>; N],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; N],
    ) -> [Option<Matrix>; N] {
        let (dx, weights) = backward(inputs[0], &inputs[1..], self.first, kept, grad);
        let mut all = std::iter::once(dx).chain(weights);
        std::array::from_fn(|_| all.next())
    }

    fn compose(&self, inputs: [Tensor<2>; N]) -> Tensor<2> {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("one input for every weight");
        let mut x = next();
        if self.first {
            x = dense(x, next(), Activation::ScaledSilu);
        }
        for _ in 0..(N - 1 - usize::from(self.first)) / 2 {
            x = residual_pair(x, next(), next());
        }
        x
    }
}

#[derive(Debug, Clone)]
pub(crate) struct ResidualPair;

impl HostOp<3> for ResidualPair {
    fn forward(&self, [x, w1, w2]: [Mat<'_>; 3], keep: bool) -> (Matrix, Vec<Vec<f32>>) {
        forward(x, &[w1, w2], false, keep)
    }

    fn backward(
        &self,
        [x, w1, w2]: [Mat<'_>; 3],
        kept: &[Vec<f32>],
        grad: Mat<'_>,
        _: [bool; 3],
    ) -> [Option<Matrix>; 3] {
        let (dx, weights) = backward(x, &[w1, w2], false, kept, grad);
        let mut weights = weights.into_iter();
        [Some(dx), weights.next(), weights.next()]
    }

    #[cfg(feature = "gpu")]
    fn kernels(&self) -> Option<&dyn DeviceOp<3>> {
        Some(self)
    }

    fn compose(&self, [x, w1, w2]: [Tensor<2>; 3]) -> Tensor<2> {
        let layer = |x: Tensor<2>, w: Tensor<2>| Activation::ScaledSilu.compose(x.matmul(w.transpose()));
        let y = layer(layer(x.clone(), w1), w2);
        (x + y).mul_scalar(FRAC_1_SQRT_2)
    }
}

/// Numbers of a block of rows that starts at `block · BLOCK`.
fn rows_of<'a>(x: Mat<'a>, block: usize, rows: usize) -> &'a [f32] {
    &x.data[block * BLOCK * x.cols..][..rows * x.cols]
}

/// The result and, if wanted, the arguments z of all activations, one matrix (rows, width) for each weight.
pub(crate) fn forward(x: Mat<'_>, weights: &[Mat<'_>], first: bool, keep: bool) -> (Matrix, Vec<Vec<f32>>) {
    let width = weights.first().map_or(x.cols, |w| w.rows);
    let panels: Vec<Arc<Panels>> = weights.iter().map(|w| w.weight().packed(Use::Forward)).collect();
    let len = x.rows * width;
    let operations = weights.iter().map(|w| 2 * x.rows * w.rows * w.cols).sum();
    let mut kept: Vec<Vec<f32>> =
        weights.iter().map(|_| Vec::with_capacity(if keep { len } else { 0 })).collect();
    let stride = (BLOCK * width).max(1);
    // SAFETY: the loop passes every block of `out` to `forward_block`, which writes all of it.
    let data = unsafe {
        new_vec(len, |out| {
            let mut outputs: Vec<Vec<&mut [MaybeUninit<f32>]>> =
                out.chunks_mut(stride).map(|b| vec![b]).collect();
            if keep {
                for z in &mut kept {
                    let blocks = z.spare_capacity_mut()[..len].chunks_mut(stride);
                    outputs.iter_mut().zip(blocks).for_each(|(all, block)| all.push(block));
                }
            }
            for_each(operations, outputs.into_iter().enumerate(), |(block, mut outputs)| {
                let rows = outputs[0].len() / width;
                let kept = outputs.split_off(1);
                forward_block(rows_of(x, block, rows), rows, &panels, first, outputs[0], kept);
            });
        })
    };
    if keep {
        for z in &mut kept {
            // SAFETY: given somewhere to keep them, `forward_block` writes the arguments of every layer for every block.
            unsafe { z.set_len(len) };
        }
        (Matrix { data, rows: x.rows, cols: width }, kept)
    } else {
        (Matrix { data, rows: x.rows, cols: width }, Vec::new())
    }
}

/// Takes some rows through all layers. Writes all of `out`, and all of every block in `kept` unless that is empty.
fn forward_block(
    x: &[f32],
    rows: usize,
    panels: &[Arc<Panels>],
    first: bool,
    out: &mut [MaybeUninit<f32>],
    kept: Vec<&mut [MaybeUninit<f32>]>,
) {
    let mut kept = kept.into_iter();
    let (head, pairs) = panels.split_at(usize::from(first));
    if let [w] = head {
        let x = View::rows(x, w.rows());
        match kept.next() {
            Some(z) => silu_into(multiply_new(z, rows, x, w), SCALE, out),
            None => silu_in_place(multiply_new(out, rows, x, w), SCALE),
        }
    } else {
        out.write_copy_of_slice(x);
    }
    // SAFETY: either branch above has written all of `out`: as many numbers as there are arguments, or a copy.
    let u = unsafe { out.assume_init_mut() };
    let mut scratch: [Vec<f32>; 2] = [Vec::with_capacity(u.len()), Vec::with_capacity(u.len())];
    for pair in pairs.chunks_exact(2) {
        let width = pair[0].cols();
        let [s1, s2] = scratch.each_mut().map(|s| &mut s.spare_capacity_mut()[..u.len()]);
        let input = View::rows(u, pair[0].rows());
        let h = match kept.next() {
            Some(z) => {
                silu_into(multiply_new(z, rows, input, &pair[0]), SCALE, s1);
                // SAFETY: a number was written for every argument.
                unsafe { s1.assume_init_mut() }
            }
            None => {
                let z = multiply_new(s1, rows, input, &pair[0]);
                silu_in_place(z, SCALE);
                z
            }
        };
        let z = multiply_new(kept.next().unwrap_or(s2), rows, View::rows(h, width), &pair[1]);
        residual_silu(z, SCALE, FRAC_1_SQRT_2, u);
    }
}

/// Gradients with respect to x and all weights, from the arguments that [`forward`] kept.
pub(crate) fn backward(
    x: Mat<'_>,
    weights: &[Mat<'_>],
    first: bool,
    kept: &[Vec<f32>],
    grad: Mat<'_>,
) -> (Matrix, Vec<Matrix>) {
    let width = grad.cols;
    let panels: Vec<Arc<Panels>> = weights.iter().map(|w| w.weight().packed(Use::Backward)).collect();
    let mut d_weights: Vec<Matrix> = weights.iter().map(|w| Matrix::zeros(w.rows, w.cols)).collect();
    let mut dx = Vec::with_capacity(x.rows * x.cols);
    let pairs = (weights.len() - usize::from(first)) / 2;
    let head = usize::from(first);
    let mut inputs: Vec<Vec<f32>> = vec![Vec::new(); pairs];
    let [mut g, mut h, mut d1, mut d2] = [const { Vec::new() }; 4];
    for start in (0..x.rows).step_by(BACKWARD_BLOCK) {
        let rows = BACKWARD_BLOCK.min(x.rows - start);
        let range = start * width..(start + rows) * width;
        let x = &x.data[start * x.cols..(start + rows) * x.cols];
        // The inputs of the pairs, computed again.
        for i in 0..pairs {
            let (before, rest) = inputs.split_at_mut(i);
            let input = &mut rest[0];
            input.clear();
            match before.last() {
                Some(last) => {
                    input.extend_from_slice(last);
                    residual_silu(&kept[head + 2 * i - 1][range.clone()], SCALE, FRAC_1_SQRT_2, input);
                }
                None if first => {
                    input.extend_from_slice(&kept[0][range.clone()]);
                    silu_in_place(input, SCALE);
                }
                None => input.extend_from_slice(x),
            }
        }
        g.clear();
        g.extend_from_slice(&grad.data[range.clone()]);
        d1.resize(g.len(), 0.0);
        for i in (0..pairs).rev() {
            let [w1, w2] = [head + 2 * i, head + 2 * i + 1];
            g.iter_mut().for_each(|g| *g *= FRAC_1_SQRT_2);
            d2.clone_from(&g);
            silu_backward(&kept[w2][range.clone()], SCALE, &mut d2);
            multiply(&mut d1, rows, View::rows(&d2, width), &panels[w2], false);
            h.clear();
            h.extend_from_slice(&kept[w1][range.clone()]);
            silu_and_backward(&mut h, SCALE, &mut d1);
            let square = [width, width, rows];
            add_gradient(&mut d_weights[w2].data, width, square, &d2, &h);
            add_gradient(&mut d_weights[w1].data, width, square, &d1, &inputs[i]);
            multiply(&mut g, rows, View::rows(&d1, width), &panels[w1], true);
        }
        if first {
            let cols = weights[0].cols;
            silu_backward(&kept[0][range], SCALE, &mut g);
            let shape = [width, cols, rows];
            add_gradient(&mut d_weights[0].data, cols, shape, &g, x);
            multiply_new(
                &mut dx.spare_capacity_mut()[..rows * cols],
                rows,
                View::rows(&g, width),
                &panels[0],
            );
            // SAFETY: the product has written so many numbers behind the end.
            unsafe { dx.set_len(dx.len() + rows * cols) };
        } else {
            dx.extend_from_slice(&g);
        }
    }
    (Matrix { data: dx, rows: x.rows, cols: x.cols }, d_weights)
}
