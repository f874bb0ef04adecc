//! What the networks share: a transformer over the distinct sites of a crystal and its cell, biased and gated by what sites see
//! of each other.

use burn::tensor::Tensor;
use druse_nn::blocks::Linear;
use druse_nn::ops::{self, Activation};
use druse_nn::{Init, ParamBuilder, ParamId, Params};

use super::config::NetworkConfig;
use super::tokens::{FACTS, TIME, TOKEN, Tokens};

/// Rows of the table of elements: one for cells, then by atomic number.
const ELEMENTS: usize = 119;
const GROUPS: usize = 230;
/// Modulations of a layer: scale, shift and gate of attention and of the perceptron.
const MODULATIONS: usize = 6;

struct Layer {
    /// Added to the modulations that all layers share.
    modulation: ParamId,
    qkv: Linear,
    bias: Linear,
    gate: Linear,
    mixed: Linear,
    wide: Linear,
    narrow: Linear,
}

/// Learned vectors of elements, of what they replace, and of space groups.
struct Names {
    element: ParamId,
    replaced: ParamId,
    group: ParamId,
}

/// The transformer without heads.
pub(super) struct Trunk {
    width: usize,
    names: Option<Names>,
    facts: Linear,
    token: Linear,
    time: [Linear; 2],
    modulation: Linear,
    pair: [Linear; 2],
    layers: Vec<Layer>,
    last: ParamId,
}

/// What a network knows of its crystals before the heads.
pub(super) struct Known {
    /// (tokens, width).
    pub tokens: Tensor<2>,
    /// (pairs, pair width).
    pub pairs: Tensor<2>,
}

/// A linear layer that begins as zero.
pub(super) fn silent(builder: &mut ParamBuilder, name: &str, shape: [usize; 2]) -> Linear {
    Linear::with_init(builder, name, shape, Init::Zeros, Some(Init::Zeros))
}

/// The table of a learned vector for each of some things.
fn table(builder: &mut ParamBuilder, name: &str, [rows, width]: [usize; 2]) -> ParamId {
    builder.add(name, &[rows, width], Init::Uniform(0.05))
}

impl Trunk {
    /// Registers its tensors below `prefix`, which ends with a dot or is empty.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &NetworkConfig) -> Self {
        let (d, p) = (config.width, config.pair_width);
        let mut linear =
            |name: &str, shape: [usize; 2]| Linear::new(builder, &format!("{prefix}{name}"), shape, true);
        let (token, facts) = (linear("token", [TOKEN, d]), linear("facts", [FACTS, d]));
        let time = [linear("time.0", [TIME, d]), linear("time.1", [d, d])];
        let pair = [linear("pair.0", [config.radial, p]), linear("pair.1", [p, p])];
        // Layers begin as those of a plain transformer: what pairs and the time change of them is zero (Peebles and Xie
        // 2023).
        let layers = (0..config.layers)
            .map(|i| {
                let name = |part: &str| format!("{prefix}layer.{i}.{part}");
                Layer {
                    modulation: builder.add(name("modulation"), &[MODULATIONS * d], Init::Zeros),
                    qkv: Linear::new(builder, &name("qkv"), [d, 3 * d], true),
                    bias: silent(builder, &name("bias"), [p, config.heads]),
                    gate: silent(builder, &name("gate"), [p, d]),
                    mixed: Linear::new(builder, &name("mixed"), [d, d], true),
                    wide: Linear::new(builder, &name("wide"), [d, 4 * d], true),
                    narrow: Linear::new(builder, &name("narrow"), [4 * d, d], true),
                }
            })
            .collect();
        Self {
            width: d,
            names: config.learned_names.then(|| Names {
                element: table(builder, &format!("{prefix}element"), [ELEMENTS, d]),
                replaced: table(builder, &format!("{prefix}replaced"), [ELEMENTS, d]),
                group: table(builder, &format!("{prefix}group"), [GROUPS, d]),
            }),
            modulation: silent(builder, &format!("{prefix}modulation"), [d, MODULATIONS * d]),
            last: builder.add(format!("{prefix}last.gain"), &[d], Init::Constant(1.0)),
            facts,
            token,
            time,
            pair,
            layers,
        }
    }

    pub fn forward(&self, params: &Params, tokens: &Tokens) -> Known {
        let device = params.device();
        let d = self.width;
        let (ones, zeros) = (Tensor::ones([1, d], device), Tensor::zeros([1, d], device));
        let normalized = |x: Tensor<2>| ops::layer_norm(x, ones.clone(), zeros.clone());

        let mut crystal = self.facts.forward(params, tokens.facts(device));
        if let Some(names) = &self.names {
            crystal = crystal + ops::gather(params.get(names.group), &tokens.groups);
        }
        let time = self.time[0].activated(params, tokens.times(device), Activation::Silu);
        let at = self.time[1].activated(params, time + crystal.clone(), Activation::Silu);
        let shared = self.modulation.forward(params, at);
        let seen = self.pair[0].activated(params, tokens.scalars(device), Activation::Silu);
        let seen = self.pair[1].activated(params, seen, Activation::Silu);

        let mut h =
            self.token.forward(params, tokens.features(device)) + ops::gather(crystal, &tokens.crystals);
        if let Some(names) = &self.names {
            h = h
                + ops::gather(params.get(names.element), &tokens.elements)
                + ops::gather(params.get(names.replaced), &tokens.replaced);
        }
        // Factors are learned as what they differ from one by: parts 0, 2, 3 and 5. Added once for each crystal, where the
        // parts still lie side by side.
        let ones = (0..MODULATIONS * d).map(|i| if matches!(i / d, 0 | 2 | 3 | 5) { 1.0 } else { 0.0 });
        let neutral = ops::matrix(ones.collect(), MODULATIONS * d, device);
        for layer in &self.layers {
            let modulation =
                shared.clone() + params.get(layer.modulation).reshape([1, MODULATIONS * d]) + neutral.clone();
            let modulation = ops::gather(modulation, &tokens.crystals);
            let part = |i: usize| modulation.clone().narrow(1, i * d, d);
            let x = normalized(h.clone()) * part(0) + part(1);
            let x = ops::pair_attention(
                layer.qkv.forward(params, x),
                layer.bias.forward(params, seen.clone()),
                layer.gate.forward(params, seen.clone()) + 1.0,
                &tokens.sets,
            );
            h = h + layer.mixed.forward(params, x) * part(2);
            let x = normalized(h.clone()) * part(3) + part(4);
            let x = layer.wide.activated(params, x, Activation::Silu);
            h = h + layer.narrow.forward(params, x) * part(5);
        }
        let gain = params.get(self.last).reshape([1, d]);
        Known { tokens: ops::layer_norm(h, gain, zeros), pairs: seen }
    }
}
