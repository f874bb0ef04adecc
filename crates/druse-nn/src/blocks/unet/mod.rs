//! The U-Net of text-to-image cascades without text (Saharia et al. 2022, as the library imagen-pytorch 1.11.15 has it),
//! for small square images.
//!
//! Tensors bear the names of that library; weights of convolutions wider than a pixel are (taps · in, out) instead of
//! (out, in, rows, columns).

mod attention;
mod layers;
mod resnet;
mod sizes;
#[cfg(test)]
mod tests;
mod time;

use std::cell::RefCell;
use std::f32::consts::FRAC_1_SQRT_2;

use burn::tensor::Tensor;

use self::attention::{AttentionBlock, SelfAttention};
use self::layers::{Conv, Pass, RowNorm, stack};
use self::resnet::{Conditioning, Extra, ResnetBlock};
pub use self::sizes::{UnetSizes, UnetSizesError};
use self::time::Time;
use super::Linear;
use crate::ops::{self, Activation, ImageGrid};
use crate::{Init, ParamBuilder, Params};

/// What goes into a U-Net.
#[derive(Debug, Clone)]
pub struct UnetInput {
    /// Noisy images (pixels, channels).
    pub x: Tensor<2>,
    /// The images and their pixels.
    pub grid: ImageGrid,
    /// Logarithm of the signal-to-noise ratio of each image.
    pub log_snr: Vec<f64>,
    /// For a network of higher resolution: images of lower resolution, enlarged to the same pixels (pixels, channels), and
    /// the logarithms of their signal-to-noise ratios.
    pub low_resolution: Option<(Tensor<2>, Vec<f64>)>,
    /// What linear attention leaves out; nothing outside of training.
    pub dropout: Option<UnetDropout>,
}

/// Dropout of the numbers that queries, keys and values of linear attention are made of (imagen-pytorch 1.11.15).
#[derive(Debug, Clone, PartialEq)]
pub struct UnetDropout {
    /// Share of the numbers that is left out, from 0 to less than 1; the others are divided by what is left.
    pub share: f64,
    /// A seed for each image, on which alone depends what it loses.
    pub seeds: Vec<u64>,
}

/// Halves images: four pixels become one, with a layer of their channels.
#[derive(Debug, Clone)]
struct Halve {
    name: String,
    layer: Linear,
}

impl Halve {
    fn new(builder: &mut ParamBuilder, name: String, [input, output]: [usize; 2]) -> Self {
        let layer = Linear::new(builder, &format!("{name}.1"), [4 * input, output], true);
        Self { name, layer }
    }

    fn forward(&self, pass: Pass<'_>, x: Tensor<2>, grid: &mut ImageGrid) -> Tensor<2> {
        let x = self.layer.forward(pass.params, ops::pixel_unshuffle(x, *grid));
        *grid = grid.halved();
        pass.keep(&self.name, &x);
        x
    }
}

/// Doubles images: a layer with four times the channels, which become four pixels.
#[derive(Debug, Clone)]
struct Double {
    name: String,
    layer: Linear,
}

impl Double {
    fn new(builder: &mut ParamBuilder, name: String, [input, output]: [usize; 2]) -> Self {
        // The four pixels begin equal (Aitken et al. 2017).
        let init = Init::RepeatedRows { bound: (6.0 / input as f32).sqrt(), times: 4 };
        let path = format!("{name}.net.0");
        let layer = Linear::with_init(builder, &path, [input, 4 * output], init, Some(Init::Zeros));
        Self { name, layer }
    }

    fn forward(&self, pass: Pass<'_>, x: Tensor<2>, grid: &mut ImageGrid) -> Tensor<2> {
        let x = self.layer.activated(pass.params, x, Activation::Silu);
        let x = ops::pixel_shuffle(x, *grid);
        *grid = grid.doubled();
        pass.keep(&self.name, &x);
        x
    }
}

/// What comes behind the last level where images are halved at the ends of levels: the sum of two convolutions.
#[derive(Debug, Clone)]
struct Widen {
    name: String,
    wide: Conv,
    narrow: Linear,
}

#[derive(Debug, Clone)]
enum Below {
    Halve(Halve),
    Widen(Widen),
    Nothing,
}

#[derive(Debug, Clone)]
struct DownLevel {
    before: Option<Halve>,
    first: ResnetBlock,
    gated: Vec<ResnetBlock>,
    attention: Option<AttentionBlock>,
    below: Below,
}

#[derive(Debug, Clone)]
struct UpLevel {
    first: ResnetBlock,
    gated: Vec<ResnetBlock>,
    attention: Option<AttentionBlock>,
    double: Option<Double>,
}

/// A U-Net that tells the noise of images.
#[derive(Debug, Clone)]
pub struct Unet {
    sizes: UnetSizes,
    prefix: String,
    initial: Vec<Conv>,
    time: Time,
    low_resolution_time: Option<Time>,
    token_norm: RowNorm,
    initial_block: Option<ResnetBlock>,
    downs: Vec<DownLevel>,
    middle: [ResnetBlock; 2],
    middle_attention: SelfAttention,
    ups: Vec<UpLevel>,
    final_block: ResnetBlock,
    final_conv: Conv,
}

impl Unet {
    /// Registers the tensors below `prefix`, which is a path with its dot, or empty.
    ///
    /// # Errors
    /// [`UnetSizesError`] for sizes that no network has.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, sizes: &UnetSizes) -> Result<Self, UnetSizesError> {
        sizes.check()?;
        let b = builder;
        let path = |name: &str| format!("{prefix}{name}");
        let input = sizes.channels * if sizes.conditioned { 2 } else { 1 };
        let kernels = sizes.kernels.iter().zip(sizes.kernel_channels()).enumerate();
        let initial = kernels
            .map(|(i, (&width, output))| {
                Conv::new(b, &path(&format!("init_conv.convs.{i}")), [input, output], width, false)
            })
            .collect();
        let time = Time::new(b, &path("to_time"), sizes);
        let low_resolution_time = sizes.conditioned.then(|| Time::new(b, &path("to_lowres_time"), sizes));
        let token_norm = RowNorm::new(b, &path("norm_cond"), sizes.dim);
        let initial_block = sizes
            .memory_efficient
            .then(|| ResnetBlock::new(b, path("init_resnet_block"), [sizes.dim; 2], sizes, Extra::Gate));
        let levels = sizes.levels();
        let cross = |level: usize| match sizes.cross_attention[level] {
            true => Extra::CrossAttention,
            false => Extra::Nothing,
        };
        let attention = |b: &mut ParamBuilder, name: String, level: usize, channels: usize| {
            let pixels = sizes.self_attention[level];
            (pixels || sizes.linear_attention).then(|| AttentionBlock::new(b, name, channels, sizes, !pixels))
        };
        let mut downs = Vec::new();
        let mut skips = Vec::new();
        for (l, &[input, output]) in levels.iter().enumerate() {
            let part = |i: usize| path(&format!("downs.{l}.{i}"));
            let width = if sizes.memory_efficient { output } else { input };
            skips.push(width);
            downs.push(DownLevel {
                before: sizes.memory_efficient.then(|| Halve::new(b, part(0), [input, output])),
                first: ResnetBlock::new(b, part(1), [width; 2], sizes, cross(l)),
                gated: (0..sizes.blocks[l])
                    .map(|i| ResnetBlock::new(b, format!("{}.{i}", part(2)), [width; 2], sizes, Extra::Gate))
                    .collect(),
                attention: attention(b, part(3), l, width),
                below: match (sizes.memory_efficient, l + 1 == levels.len()) {
                    (true, _) => Below::Nothing,
                    (false, false) => Below::Halve(Halve::new(b, part(4), [width, output])),
                    (false, true) => Below::Widen(Widen {
                        wide: Conv::new(b, &format!("{}.fns.0", part(4)), [width, output], 3, false),
                        narrow: Linear::new(b, &format!("{}.fns.1", part(4)), [width, output], true),
                        name: part(4),
                    }),
                },
            });
        }
        let deepest = levels.last().map_or(sizes.dim, |&[_, output]| output);
        let mut middle =
            |name: &str| ResnetBlock::new(b, path(name), [deepest; 2], sizes, Extra::CrossAttention);
        let middle = [middle("mid_block1"), middle("mid_block2")];
        let middle_attention = SelfAttention::new(b, path("mid_attn.fn.fn"), deepest, sizes, false);
        let mut ups = Vec::new();
        for (u, (l, &[input, output])) in levels.iter().enumerate().rev().enumerate() {
            let part = |i: usize| path(&format!("ups.{u}.{i}"));
            let joined = [output + skips[l], output];
            ups.push(UpLevel {
                first: ResnetBlock::new(b, part(0), joined, sizes, cross(l)),
                gated: (0..sizes.blocks[l])
                    .map(|i| ResnetBlock::new(b, format!("{}.{i}", part(1)), joined, sizes, Extra::Gate))
                    .collect(),
                attention: attention(b, part(2), l, output),
                double: (l > 0 || sizes.memory_efficient).then(|| Double::new(b, part(3), [output, input])),
            });
        }
        let final_block = ResnetBlock::new(b, path("final_res_block"), [sizes.dim; 2], sizes, Extra::Gate);
        let last = sizes.dim + if sizes.conditioned { sizes.channels } else { 0 };
        let final_conv = Conv::new(b, &path("final_conv"), [last, sizes.channels], 3, true);
        Ok(Self {
            sizes: sizes.clone(),
            prefix: prefix.to_owned(),
            initial,
            time,
            low_resolution_time,
            token_norm,
            initial_block,
            downs,
            middle,
            middle_attention,
            ups,
            final_block,
            final_conv,
        })
    }

    /// Its sizes.
    pub fn sizes(&self) -> &UnetSizes {
        &self.sizes
    }

    /// The noise of the images (pixels, channels).
    ///
    /// # Panics
    /// When images of lower resolution are given to a network without, or the other way round.
    pub fn forward(&self, params: &Params, input: UnetInput) -> Tensor<2> {
        self.run(Pass::new(params, None), input)
    }

    /// [`Unet::forward`] with the result of every module by its name, in the order of execution.
    ///
    /// # Panics
    /// As [`Unet::forward`].
    pub fn trace(&self, params: &Params, input: UnetInput) -> (Tensor<2>, Vec<(String, Tensor<2>)>) {
        let seen = RefCell::default();
        let y = self.run(Pass::new(params, Some(&seen)), input);
        let seen = seen.into_inner().into_iter();
        let short = |name: String| name.strip_prefix(&self.prefix).map_or(name.clone(), str::to_owned);
        (y, seen.map(|(name, x)| (short(name), x)).collect())
    }

    fn run(&self, pass: Pass<'_>, input: UnetInput) -> Tensor<2> {
        let UnetInput { x, mut grid, log_snr, low_resolution, dropout } = input;
        let pass = Pass { dropout: dropout.as_ref(), ..pass };
        assert_eq!(low_resolution.is_some(), self.sizes.conditioned, "images of lower resolution");
        let keep = |name: &str, x: &Tensor<2>| pass.keep(&format!("{}{name}", self.prefix), x);
        let images = low_resolution.as_ref().map(|(images, _)| images.clone());
        let x = match &images {
            Some(images) => ops::join(x, images.clone(), 1.0),
            None => x,
        };
        let parts = self.initial.iter().map(|conv| conv.forward(pass, x.clone(), grid));
        let Some(mut x) = parts.reduce(|all, part| ops::join(all, part, 1.0)) else { return x };
        keep("init_conv", &x);

        let [mut time, mut tokens] = self.time.forward(pass, &log_snr);
        if let (Some(layers), Some((_, levels))) = (&self.low_resolution_time, &low_resolution) {
            let [other, more] = layers.forward(pass, levels);
            time = time + other;
            tokens = stack(vec![tokens, more], grid.images);
        }
        let tokens = self.token_norm.forward(pass, tokens);
        keep("norm_cond", &tokens);
        let time = burn::tensor::activation::silu(time);
        let shared = Conditioning { time: &time, tokens: &tokens };

        if let Some(block) = &self.initial_block {
            x = block.forward(pass, x, shared, grid);
        }
        let mut skips = Vec::new();
        for level in &self.downs {
            if let Some(halve) = &level.before {
                x = halve.forward(pass, x, &mut grid);
            }
            x = level.first.forward(pass, x, shared, grid);
            for block in &level.gated {
                x = block.forward(pass, x, shared, grid);
                skips.push(x.clone());
            }
            if let Some(attention) = &level.attention {
                x = attention.forward(pass, x, &tokens, grid);
            }
            skips.push(x.clone());
            match &level.below {
                Below::Halve(halve) => x = halve.forward(pass, x, &mut grid),
                Below::Widen(widen) => {
                    let narrow = widen.narrow.forward(pass.params, x.clone());
                    x = widen.wide.forward(pass, x, grid) + narrow;
                    pass.keep(&widen.name, &x);
                }
                Below::Nothing => {}
            }
        }
        x = self.middle[0].forward(pass, x, shared, grid);
        x = self.middle_attention.forward(pass, x.clone(), None, grid) + x;
        keep("mid_attn.fn", &x);
        keep("mid_attn", &x);
        x = self.middle[1].forward(pass, x, shared, grid);
        for level in &self.ups {
            for block in std::iter::once(&level.first).chain(&level.gated) {
                if let Some(skip) = skips.pop() {
                    x = ops::join(x, skip, FRAC_1_SQRT_2);
                }
                x = block.forward(pass, x, shared, grid);
            }
            if let Some(attention) = &level.attention {
                x = attention.forward(pass, x, &tokens, grid);
            }
            if let Some(double) = &level.double {
                x = double.forward(pass, x, &mut grid);
            }
        }
        keep("upsample_combiner", &x);
        x = self.final_block.forward(pass, x, shared, grid);
        if let Some(images) = images {
            x = ops::join(x, images, 1.0);
        }
        let y = self.final_conv.forward(pass, x, grid);
        keep("final_conv", &y);
        y
    }
}
