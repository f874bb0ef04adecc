//! Layers of pixels.

use std::cell::RefCell;

use burn::tensor::Tensor;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::UnetDropout;
use crate::ops::{self, ConvGeometry, ImageGrid};
use crate::{Init, ParamBuilder, ParamId, Params};

/// A pass through the network: the values of its tensors, and what is kept of it for those who look into it.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub params: &'a Params,
    pub seen: Option<&'a RefCell<Vec<(String, Tensor<2>)>>>,
    pub dropout: Option<&'a UnetDropout>,
}

impl<'a> Pass<'a> {
    pub fn new(params: &'a Params, seen: Option<&'a RefCell<Vec<(String, Tensor<2>)>>>) -> Self {
        Self { params, seen, dropout: None }
    }

    /// What dropout leaves of the pixels of all images, in front of the layer of this name.
    pub fn without_dropped(&self, x: Tensor<2>, name: &str) -> Tensor<2> {
        let Some(UnetDropout { share, seeds }) = self.dropout else { return x };
        let [pixels, channels] = x.dims();
        let numbers = pixels / seeds.len().max(1) * channels;
        let left = (1.0 / (1.0 - share)) as f32;
        let mut kept = Vec::with_capacity(pixels * channels);
        for seed in seeds {
            let mut rng = ChaCha8Rng::seed_from_u64(seed ^ u64::from(crc32fast::hash(name.as_bytes())));
            kept.extend((0..numbers).map(|_| if rng.random::<f64>() < *share { 0.0 } else { left }));
        }
        x * ops::matrix(kept, channels, self.params.device())
    }

    pub fn get(&self, id: ParamId) -> Tensor<2> {
        self.params.get(id)
    }

    /// Keeps the result of a module.
    pub fn keep(&self, name: &str, x: &Tensor<2>) {
        if let Some(seen) = self.seen {
            seen.borrow_mut().push((name.to_owned(), x.clone()));
        }
    }
}

/// A convolution with a square kernel of an odd width that keeps the size of the images, with bias.
#[derive(Debug, Clone)]
pub(super) struct Conv {
    weight: ParamId,
    bias: ParamId,
    channels: [usize; 2],
    width: usize,
}

impl Conv {
    /// Registers `name.weight` (taps · in, out) and `name.bias`, uniform in ±1/√(taps · in), or zero.
    pub fn new(
        builder: &mut ParamBuilder,
        name: &str,
        channels: [usize; 2],
        width: usize,
        zero: bool,
    ) -> Self {
        let inputs = width * width * channels[0];
        let init = if zero { Init::Zeros } else { Init::FanIn(inputs) };
        let weight = builder.add(format!("{name}.weight"), &[inputs, channels[1]], init);
        let bias = builder.add(format!("{name}.bias"), &[channels[1]], init);
        Self { weight, bias, channels, width }
    }

    /// (pixels, in) → (pixels, out).
    pub fn forward(&self, pass: Pass<'_>, x: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
        let size = [grid.height, grid.width];
        let geometry = ConvGeometry::same(grid.images, size, self.channels, self.width);
        ops::conv(x, pass.get(self.weight), Some(pass.get(self.bias)), &geometry)
    }
}

/// A normalization of rows with a gain and no bias.
#[derive(Debug, Clone)]
pub(super) struct GainNorm {
    gain: ParamId,
    width: usize,
}

impl GainNorm {
    /// Registers `name.g`.
    pub fn new(builder: &mut ParamBuilder, name: &str, width: usize) -> Self {
        Self { gain: builder.add(format!("{name}.g"), &[width], Init::Constant(1.0)), width }
    }

    pub fn forward(&self, pass: Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        let bias = Tensor::zeros([1, self.width], &x.device());
        ops::layer_norm(x, pass.get(self.gain), bias)
    }
}

/// A normalization of rows with gain and bias.
#[derive(Debug, Clone)]
pub(super) struct RowNorm {
    gain: ParamId,
    bias: ParamId,
}

impl RowNorm {
    /// Registers `name.weight` and `name.bias`.
    pub fn new(builder: &mut ParamBuilder, name: &str, width: usize) -> Self {
        Self {
            gain: builder.add(format!("{name}.weight"), &[width], Init::Constant(1.0)),
            bias: builder.add(format!("{name}.bias"), &[width], Init::Zeros),
        }
    }

    pub fn forward(&self, pass: Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        ops::layer_norm(x, pass.get(self.gain), pass.get(self.bias))
    }
}

/// Rows of each image behind one another: matrices of `images` times some rows.
pub(super) fn stack(parts: Vec<Tensor<2>>, images: usize) -> Tensor<2> {
    let width = parts[0].dims()[1];
    let parts: Vec<Tensor<3>> = parts
        .into_iter()
        .map(|part| {
            let rows = part.dims()[0] / images;
            part.reshape([images, rows, width])
        })
        .collect();
    let all = Tensor::cat(parts, 1);
    let [_, rows, _] = all.dims();
    all.reshape([images * rows, width])
}

/// One row for each image.
pub(super) fn repeated(row: Tensor<2>, images: usize) -> Tensor<2> {
    row.repeat_dim(0, images)
}
