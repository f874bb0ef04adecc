//! Convolutions of ordinary tensor operations: the pixels below each position of the kernel side by side, times the weight. They
//! run on devices, where the engine's own convolutions give wrong gradients for some sizes.

use burn::tensor::{IndexingUpdateOp, Tensor};

use super::ConvGeometry;
use crate::ops::gather::index_tensor;

/// The pixel below each tap at each position; behind the last one where there are the zeros around the volume.
fn pixels(g: &ConvGeometry) -> Vec<u32> {
    let (out, volume) = (g.out_size(), g.size.iter().product::<usize>());
    let mut found = Vec::with_capacity(g.out_rows() * g.taps());
    let places = |sizes: [usize; 3]| {
        (0..sizes.iter().product())
            .map(move |i| [i / (sizes[1] * sizes[2]), i / sizes[2] % sizes[1], i % sizes[2]])
    };
    for image in 0..g.batch {
        for q in places(out) {
            for k in places(g.kernel) {
                let at = [0, 1, 2].map(|a| (q[a] * g.stride[a] + k[a]).checked_sub(g.padding[a]));
                let inside = |a: usize| at[a].filter(|&i| i < g.size[a]);
                found.push(match (inside(0), inside(1), inside(2)) {
                    (Some(r), Some(c), Some(d)) => image * volume + (r * g.size[1] + c) * g.size[2] + d,
                    _ => g.in_rows(),
                } as u32);
            }
        }
    }
    found
}

/// A convolution.
pub(super) fn over(g: &ConvGeometry, x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    if g.is_pointwise() {
        return x.matmul(w);
    }
    if g.batch == 0 {
        return x.matmul(w.narrow(0, 0, g.in_channels));
    }
    let device = x.device();
    let x = Tensor::cat(vec![x, Tensor::zeros([1, g.in_channels], &device)], 0);
    let below = x.select(0, index_tensor(&pixels(g), &device));
    below.reshape([g.out_rows(), g.taps() * g.in_channels]).matmul(w)
}

/// A transposed convolution.
pub(super) fn under(g: &ConvGeometry, y: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    if g.is_pointwise() {
        return y.matmul(w.transpose());
    }
    if g.batch == 0 {
        return y.matmul(w.narrow(0, 0, g.in_channels).transpose());
    }
    let device = y.device();
    let spread = y.matmul(w.transpose()).reshape([g.out_rows() * g.taps(), g.in_channels]);
    Tensor::zeros([g.in_rows() + 1, g.in_channels], &device)
        .select_assign(0, index_tensor(&pixels(g), &device), spread, IndexingUpdateOp::Add)
        .narrow(0, 0, g.in_rows())
}
