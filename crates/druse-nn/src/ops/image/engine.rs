//! The engine's own convolutions: the oracle of the tests on the CPU, in any precision.

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose3d, conv3d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::ConvGeometry;

/// Volumes with their channels first.
fn channels_first(x: Tensor<2>, batch: usize, [rows, columns, depth]: [usize; 3]) -> Tensor<5> {
    let [_, channels] = x.dims();
    x.reshape([batch, rows, columns, depth, channels]).permute([0, 4, 1, 2, 3])
}

/// Pixels with their channels last.
fn channels_last(y: Tensor<5>) -> Tensor<2> {
    let [batch, channels, rows, columns, depth] = y.dims();
    y.permute([0, 2, 3, 4, 1]).reshape([batch * rows * columns * depth, channels])
}

/// The weight as (out, in, rows, columns, depth).
fn kernel(g: &ConvGeometry, w: Tensor<2>) -> Tensor<5> {
    let [rows, columns, depth] = g.kernel;
    w.reshape([rows, columns, depth, g.in_channels, g.out_channels]).permute([4, 3, 0, 1, 2])
}

/// A convolution.
pub(super) fn over(g: &ConvGeometry, x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    if g.is_pointwise() {
        return x.matmul(w);
    }
    let options = ConvOptions::new(g.stride, g.padding, [1; 3], 1);
    channels_last(conv3d(channels_first(x, g.batch, g.size), kernel(g, w), None, options))
}

/// A transposed convolution.
pub(super) fn under(g: &ConvGeometry, y: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    if g.is_pointwise() {
        return y.matmul(w.transpose());
    }
    let out = g.out_size();
    let reached: [usize; 3] = std::array::from_fn(|a| (out[a] - 1) * g.stride[a] + g.kernel[a]);
    let rest = std::array::from_fn(|a| g.size[a] + 2 * g.padding[a] - reached[a]);
    let options = ConvTransposeOptions::new(g.stride, g.padding, rest, [1; 3], 1);
    channels_last(conv_transpose3d(channels_first(y, g.batch, out), kernel(g, w), None, options))
}
