//! Residual blocks.

use burn::tensor::{Tensor, activation};

use super::attention::CrossAttention;
use super::layers::{Conv, Pass};
use super::sizes::UnetSizes;
use crate::blocks::Linear;
use crate::ops::{self, Activation, ImageGrid};
use crate::{Init, ParamBuilder, ParamId};

/// Group norm, SiLU, a 3×3 convolution.
#[derive(Debug, Clone)]
struct Block {
    name: String,
    gain: ParamId,
    bias: ParamId,
    groups: usize,
    project: Conv,
}

impl Block {
    fn new(builder: &mut ParamBuilder, name: String, channels: [usize; 2], groups: usize) -> Self {
        let norm = |part: &str| format!("{name}.groupnorm.{part}");
        Self {
            gain: builder.add(norm("weight"), &[channels[0]], Init::Constant(1.0)),
            bias: builder.add(norm("bias"), &[channels[0]], Init::Zeros),
            groups,
            project: Conv::new(builder, &format!("{name}.project"), channels, 3, false),
            name,
        }
    }

    fn forward(
        &self,
        pass: Pass<'_>,
        x: Tensor<2>,
        modulation: Option<Tensor<2>>,
        grid: ImageGrid,
    ) -> Tensor<2> {
        let (gain, bias) = (pass.get(self.gain), pass.get(self.bias));
        let x = match modulation {
            None => ops::group_norm_silu(x, gain, bias, grid, self.groups),
            Some(m) => ops::modulated_group_norm_silu(x, gain, bias, m, grid, self.groups),
        };
        let y = self.project.forward(pass, x, grid);
        pass.keep(&self.name, &y);
        y
    }
}

/// The gate of a global context: a number for each channel from a weighted mean over all pixels (Cao et al. 2019).
#[derive(Debug, Clone)]
struct GlobalContext {
    name: String,
    to_k: Linear,
    net: [Linear; 2],
}

impl GlobalContext {
    fn new(builder: &mut ParamBuilder, name: String, channels: usize) -> Self {
        let hidden = (channels / 2).max(3);
        Self {
            to_k: Linear::new(builder, &format!("{name}.to_k"), [channels, 1], true),
            net: [
                Linear::new(builder, &format!("{name}.net.0"), [channels, hidden], true),
                Linear::new(builder, &format!("{name}.net.2"), [hidden, channels], true),
            ],
            name,
        }
    }

    /// (images, channels)
    fn forward(&self, pass: Pass<'_>, x: Tensor<2>, grid: ImageGrid) -> Tensor<2> {
        let scores = self.to_k.forward(pass.params, x.clone());
        let pooled = ops::softmax_pool(x, scores, grid);
        let hidden = self.net[0].activated(pass.params, pooled, Activation::Silu);
        let gate = activation::sigmoid(self.net[1].forward(pass.params, hidden));
        pass.keep(&self.name, &gate);
        gate
    }
}

/// What a residual block has besides its two convolutions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    Nothing,
    Gate,
    CrossAttention,
}

/// What all residual blocks of a pass share.
#[derive(Clone, Copy)]
pub(super) struct Conditioning<'a> {
    /// SiLU of the time vector (images, width).
    pub time: &'a Tensor<2>,
    /// Time tokens (images · tokens, width).
    pub tokens: &'a Tensor<2>,
}

/// Two convolutions whose result is added to the input; in between, time scales and shifts the channels.
#[derive(Debug, Clone)]
pub(super) struct ResnetBlock {
    name: String,
    time: Linear,
    blocks: [Block; 2],
    cross_attention: Option<CrossAttention>,
    gate: Option<GlobalContext>,
    shortcut: Option<Linear>,
}

impl ResnetBlock {
    pub fn new(
        builder: &mut ParamBuilder,
        name: String,
        [input, output]: [usize; 2],
        sizes: &UnetSizes,
        extra: Extra,
    ) -> Self {
        let has = |what| extra == what;
        let time =
            Linear::new(builder, &format!("{name}.time_mlp.1"), [sizes.time_width(), 2 * output], true);
        let cross_attention = has(Extra::CrossAttention)
            .then(|| CrossAttention::new(builder, format!("{name}.cross_attn"), output, sizes));
        let first = Block::new(builder, format!("{name}.block1"), [input, output], sizes.groups);
        let second = Block::new(builder, format!("{name}.block2"), [output, output], sizes.groups);
        let gate = has(Extra::Gate).then(|| GlobalContext::new(builder, format!("{name}.gca"), output));
        let shortcut = (input != output)
            .then(|| Linear::new(builder, &format!("{name}.res_conv"), [input, output], true));
        Self { name, time, blocks: [first, second], cross_attention, gate, shortcut }
    }

    pub fn forward(
        &self,
        pass: Pass<'_>,
        x: Tensor<2>,
        conditioning: Conditioning<'_>,
        grid: ImageGrid,
    ) -> Tensor<2> {
        let modulation = self.time.forward(pass.params, conditioning.time.clone());
        let mut h = self.blocks[0].forward(pass, x.clone(), None, grid);
        if let Some(attention) = &self.cross_attention {
            h = attention.forward(pass, h.clone(), conditioning.tokens.clone(), grid) + h;
        }
        let h = self.blocks[1].forward(pass, h, Some(modulation), grid);
        let shortcut = match &self.shortcut {
            Some(layer) => layer.forward(pass.params, x),
            None => x,
        };
        let y = match &self.gate {
            Some(gate) => {
                let gate = gate.forward(pass, h.clone(), grid);
                ops::gated_sum(h, gate, shortcut, grid)
            }
            None => h + shortcut,
        };
        pass.keep(&self.name, &y);
        y
    }
}
