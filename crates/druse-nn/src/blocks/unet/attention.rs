//! Attention of pixels to time tokens and to each other.

use burn::tensor::{Tensor, activation};

use super::layers::{GainNorm, Pass, RowNorm, repeated, stack};
use super::sizes::UnetSizes;
use crate::blocks::Linear;
use crate::ops::{self, AttentionHeads, ImageGrid};
use crate::{Init, ParamBuilder, ParamId};

fn heads(sizes: &UnetSizes, grid: ImageGrid, shared: bool) -> AttentionHeads {
    AttentionHeads { images: grid.images, heads: sizes.heads, width: sizes.head_width, shared }
}

/// Projection behind an attention.
#[derive(Debug, Clone)]
struct Output {
    project: Linear,
    norm: GainNorm,
}

impl Output {
    fn new(builder: &mut ParamBuilder, name: &str, inner: usize, channels: usize) -> Self {
        Self {
            project: Linear::new(builder, &format!("{name}.to_out.0"), [inner, channels], false),
            norm: GainNorm::new(builder, &format!("{name}.to_out.1"), channels),
        }
    }

    fn forward(&self, pass: Pass<'_>, x: Tensor<2>) -> Tensor<2> {
        let x = self.project.forward(pass.params, x);
        self.norm.forward(pass, x)
    }
}

/// Attention of pixels to the time tokens; every head has keys and values of its own, and all share one pair that belongs
/// to no token.
#[derive(Debug, Clone)]
pub(super) struct CrossAttention {
    name: String,
    null: ParamId,
    norm: GainNorm,
    to_q: Linear,
    to_kv: Linear,
    output: Output,
    sizes: UnetSizes,
}

impl CrossAttention {
    pub fn new(builder: &mut ParamBuilder, name: String, channels: usize, sizes: &UnetSizes) -> Self {
        let (path, inner) = (format!("{name}.fn"), sizes.inner());
        Self {
            null: builder.add(format!("{path}.null_kv"), &[2, sizes.head_width], Init::Normal),
            norm: GainNorm::new(builder, &format!("{path}.norm"), channels),
            to_q: Linear::new(builder, &format!("{path}.to_q"), [channels, inner], false),
            to_kv: Linear::new(builder, &format!("{path}.to_kv"), [sizes.dim, 2 * inner], false),
            output: Output::new(builder, &path, inner, channels),
            name,
            sizes: sizes.clone(),
        }
    }

    pub fn forward(&self, pass: Pass<'_>, x: Tensor<2>, tokens: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
        let q = self.to_q.forward(pass.params, self.norm.forward(pass, x));
        let kv = self.to_kv.forward(pass.params, tokens);
        // The null key and value of every head, in one row.
        let null = pass.get(self.null).repeat_dim(1, self.sizes.heads).reshape([1, 2 * self.sizes.inner()]);
        let kv = stack(vec![repeated(null, grid.images), kv], grid.images);
        let y = self.output.forward(pass, ops::attention(q, kv, heads(&self.sizes, grid, false)));
        pass.keep(&format!("{}.fn", self.name), &y);
        pass.keep(&self.name, &y);
        y
    }
}

/// Attention of the pixels of an image to each other, to the time tokens where there are any, and to a key that is no pixel;
/// the heads share keys and values (multi-query attention).
#[derive(Debug, Clone)]
pub(super) struct SelfAttention {
    name: String,
    null: ParamId,
    norm: GainNorm,
    to_q: Linear,
    to_kv: Linear,
    to_context: Option<(RowNorm, Linear)>,
    output: Output,
    sizes: UnetSizes,
}

impl SelfAttention {
    pub fn new(
        builder: &mut ParamBuilder,
        name: String,
        channels: usize,
        sizes: &UnetSizes,
        context: bool,
    ) -> Self {
        let (inner, width) = (sizes.inner(), sizes.head_width);
        Self {
            null: builder.add(format!("{name}.null_kv"), &[2, width], Init::Normal),
            norm: GainNorm::new(builder, &format!("{name}.norm"), channels),
            to_q: Linear::new(builder, &format!("{name}.to_q"), [channels, inner], false),
            to_kv: Linear::new(builder, &format!("{name}.to_kv"), [channels, 2 * width], false),
            to_context: context.then(|| {
                let norm = RowNorm::new(builder, &format!("{name}.to_context.0"), sizes.dim);
                let layer =
                    Linear::new(builder, &format!("{name}.to_context.1"), [sizes.dim, 2 * width], true);
                (norm, layer)
            }),
            output: Output::new(builder, &name, inner, channels),
            name,
            sizes: sizes.clone(),
        }
    }

    pub fn forward(
        &self,
        pass: Pass<'_>,
        x: Tensor<2>,
        tokens: Option<Tensor<2>>,
        grid: ImageGrid,
    ) -> Tensor<2> {
        let x = self.norm.forward(pass, x);
        let q = self.to_q.forward(pass.params, x.clone());
        let null = pass.get(self.null).reshape([1, 2 * self.sizes.head_width]);
        let mut kv = vec![repeated(null, grid.images), self.to_kv.forward(pass.params, x)];
        if let (Some((norm, layer)), Some(tokens)) = (&self.to_context, tokens) {
            kv.insert(0, layer.forward(pass.params, norm.forward(pass, tokens)));
        }
        let kv = stack(kv, grid.images);
        let y = self.output.forward(pass, ops::attention(q, kv, heads(&self.sizes, grid, true)));
        pass.keep(&self.name, &y);
        y
    }
}

/// Linear attention of pixels to each other and to the time tokens; queries, keys and values pass a convolution of 3×3
/// pixels, channel by channel.
#[derive(Debug, Clone)]
pub(super) struct LinearAttention {
    name: String,
    norm: GainNorm,
    /// Of queries, keys and values: a layer of pixels, then kernels; and what dropout calls it.
    projections: [(Linear, ParamId, String); 3],
    to_context: (RowNorm, Linear),
    output: Output,
    sizes: UnetSizes,
}

impl LinearAttention {
    pub fn new(builder: &mut ParamBuilder, name: String, channels: usize, sizes: &UnetSizes) -> Self {
        let inner = sizes.inner();
        let norm = GainNorm::new(builder, &format!("{name}.norm"), channels);
        let projections = ["to_q", "to_k", "to_v"].map(|part| {
            let layer = Linear::new(builder, &format!("{name}.{part}.1"), [channels, inner], false);
            let kernels = builder.add(format!("{name}.{part}.2.weight"), &[inner, 1, 3, 3], Init::FanIn(9));
            (layer, kernels, format!("{name}.{part}"))
        });
        let context = format!("{name}.to_context");
        let to_context = (
            RowNorm::new(builder, &format!("{context}.0"), sizes.dim),
            Linear::new(builder, &format!("{context}.1"), [sizes.dim, 2 * inner], false),
        );
        let output = Output::new(builder, &name, inner, channels);
        Self { name, norm, projections, to_context, output, sizes: sizes.clone() }
    }

    pub fn forward(&self, pass: Pass<'_>, x: Tensor<2>, tokens: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
        let x = self.norm.forward(pass, x);
        let [q, k, v] = self.projections.each_ref().map(|(layer, kernels, name)| {
            let x = pass.without_dropped(x.clone(), name);
            ops::depthwise(layer.forward(pass.params, x), pass.get(*kernels), grid)
        });
        let (norm, layer) = &self.to_context;
        let context = layer.forward(pass.params, norm.forward(pass, tokens));
        let inner = self.sizes.inner();
        let with = |x: Tensor<2>, from| stack(vec![x, context.clone().narrow(1, from, inner)], grid.images);
        let y = ops::linear_attention(q, with(k, 0), with(v, inner), heads(&self.sizes, grid, false));
        let y = self.output.forward(pass, activation::silu(y));
        pass.keep(&self.name, &y);
        y
    }
}

#[derive(Debug, Clone)]
enum Mixing {
    Pixels(SelfAttention),
    Linear(LinearAttention),
}

/// An attention and two layers of each pixel, both added to what comes in.
#[derive(Debug, Clone)]
pub(super) struct AttentionBlock {
    name: String,
    mixing: Mixing,
    norms: [GainNorm; 2],
    layers: [Linear; 2],
}

impl AttentionBlock {
    pub fn new(
        builder: &mut ParamBuilder,
        name: String,
        channels: usize,
        sizes: &UnetSizes,
        linear: bool,
    ) -> Self {
        let (first, second) = (format!("{name}.layers.0.0"), format!("{name}.layers.0.1"));
        let mixing = match linear {
            true => Mixing::Linear(LinearAttention::new(builder, first, channels, sizes)),
            false => {
                Mixing::Pixels(SelfAttention::new(builder, format!("{first}.fn"), channels, sizes, true))
            }
        };
        let hidden = 2 * channels;
        Self {
            mixing,
            norms: [
                GainNorm::new(builder, &format!("{second}.0"), channels),
                GainNorm::new(builder, &format!("{second}.3"), hidden),
            ],
            layers: [
                Linear::new(builder, &format!("{second}.1"), [channels, hidden], false),
                Linear::new(builder, &format!("{second}.4"), [hidden, channels], false),
            ],
            name,
        }
    }

    pub fn forward(&self, pass: Pass<'_>, x: Tensor<2>, tokens: &Tensor<2>, grid: ImageGrid) -> Tensor<2> {
        let mixed = match &self.mixing {
            Mixing::Pixels(attention) => {
                let mixed = attention.forward(pass, x.clone(), Some(tokens.clone()), grid);
                pass.keep(&format!("{}.layers.0.0", self.name), &mixed);
                mixed
            }
            Mixing::Linear(attention) => attention.forward(pass, x.clone(), tokens.clone(), grid),
        };
        let x = mixed + x;
        let h = self.layers[0].forward(pass.params, self.norms[0].forward(pass, x.clone()));
        let h = self.norms[1].forward(pass, ops::gelu(h));
        let h = self.layers[1].forward(pass.params, h);
        pass.keep(&format!("{}.layers.0.1", self.name), &h);
        let y = h + x;
        pass.keep(&self.name, &y);
        y
    }
}
