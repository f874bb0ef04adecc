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
use crate::ops::kernels::{
    as_uninit, residual_backward, residual_backward_into, residual_silu, residual_silu_into,
    silu_and_backward_into, silu_backward, silu_backward_into, silu_in_place, silu_into,
};
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
    // What the next pair reads: x itself, or what stands in `out`.
    let mut old = Some(x);
    if let [w] = head {
        let x = View::rows(x, w.rows());
        match kept.next() {
            Some(z) => silu_into(multiply_new(z, rows, x, w), SCALE, out),
            None => silu_in_place(multiply_new(out, rows, x, w), SCALE),
        }
        old = None;
    } else if pairs.is_empty() {
        out.write_copy_of_slice(x);
    }
    let mut scratch: [Vec<f32>; 2] = [Vec::with_capacity(out.len()), Vec::with_capacity(out.len())];
    for pair in pairs.chunks_exact(2) {
        let width = pair[0].cols();
        let [s1, s2] = scratch.each_mut().map(|s| &mut s.spare_capacity_mut()[..out.len()]);
        // SAFETY: the layer above or the pair before has written all of `out`: as many numbers as there are arguments.
        let input = old.unwrap_or_else(|| unsafe { out.assume_init_ref() });
        let input = View::rows(input, pair[0].rows());
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
        match old.take() {
            Some(x) => residual_silu_into(z, SCALE, FRAC_1_SQRT_2, x, out),
            // SAFETY: as above.
            None => residual_silu(z, SCALE, FRAC_1_SQRT_2, unsafe { out.assume_init_mut() }),
        }
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
    let head = usize::from(first);
    let pairs = (weights.len() - head) / 2;
    let block = BACKWARD_BLOCK.min(x.rows) * width;
    // The inputs of all pairs that are not x itself.
    let mut inputs: Vec<Vec<f32>> = vec![vec![0.0; block]; pairs - usize::from(!first && pairs > 0)];
    let [mut g, mut h, mut d1, mut d2] =
        [if first { block } else { 0 }, block, block, block].map(|n| vec![0.0; n]);
    // SAFETY: the loop writes the rows of every block: as the product behind the first layer, or with the first pass of the last
    // pair, or as a copy of the gradient where there is no layer at all.
    let dx = unsafe {
        new_vec(x.rows * x.cols, |dx| {
            for start in (0..x.rows).step_by(BACKWARD_BLOCK) {
                let rows = BACKWARD_BLOCK.min(x.rows - start);
                let (range, len) = (start * width..(start + rows) * width, rows * width);
                let z = |i: usize| &kept[i][range.clone()];
                let x = &x.data[start * x.cols..(start + rows) * x.cols];
                let dx = &mut dx[start * (x.len() / rows)..][..x.len()];
                let grad = &grad.data[range.clone()];
                // The inputs of the pairs, computed again.
                if first && pairs > 0 {
                    silu_into(z(0), SCALE, as_uninit(&mut inputs[0]));
                }
                for i in 1..pairs {
                    let (before, rest) = inputs.split_at_mut(i - usize::from(!first));
                    let last = before.last().map_or(x, |last| &last[..len]);
                    let arguments = z(head + 2 * i - 1);
                    residual_silu_into(arguments, SCALE, FRAC_1_SQRT_2, last, as_uninit(&mut rest[0]));
                }
                // The gradient of what the pairs return; without first layer it becomes that of x in its place.
                let (g, dx) = if first { (as_uninit(&mut g[..len]), Some(dx)) } else { (dx, None) };
                for i in (0..pairs).rev() {
                    let [w1, w2] = [head + 2 * i, head + 2 * i + 1];
                    let (d1, d2, h) = (&mut d1[..len], &mut d2[..len], &mut h[..len]);
                    if i + 1 == pairs {
                        residual_backward_into(z(w2), SCALE, FRAC_1_SQRT_2, grad, g, as_uninit(d2));
                    } else {
                        residual_backward(z(w2), SCALE, FRAC_1_SQRT_2, g.assume_init_mut(), as_uninit(d2));
                    }
                    multiply(d1, rows, View::rows(d2, width), &panels[w2], false);
                    silu_and_backward_into(z(w1), SCALE, as_uninit(h), d1);
                    let square = [width, width, rows];
                    let input = if first {
                        &inputs[i][..len]
                    } else {
                        i.checked_sub(1).map_or(x, |i| &inputs[i][..len])
                    };
                    add_gradient(&mut d_weights[w2].data, width, square, d2, h);
                    add_gradient(&mut d_weights[w1].data, width, square, d1, input);
                    multiply(g.assume_init_mut(), rows, View::rows(d1, width), &panels[w1], true);
                }
                if let Some(dx) = dx {
                    let cols = weights[0].cols;
                    let g = g.assume_init_mut();
                    if pairs == 0 {
                        silu_backward_into(z(0), SCALE, grad, as_uninit(g));
                    } else {
                        silu_backward(z(0), SCALE, g);
                    }
                    add_gradient(&mut d_weights[0].data, cols, [width, cols, rows], g, x);
                    multiply_new(dx, rows, View::rows(g, width), &panels[0]);
                } else if pairs == 0 {
                    g.write_copy_of_slice(grad);
                }
            }
        })
    };
    (Matrix { data: dx, rows: x.rows, cols: x.cols }, d_weights)
}
