//! The network: a transformer over the distinct sites of a crystal and its cell, biased and gated by what sites see of each
//! other, that tells the end of a path.

use burn::tensor::Tensor;
use druse_nn::blocks::Linear;
use druse_nn::ops::{self, Activation};
use druse_nn::{Init, ParamBuilder, ParamId, Params};

use super::cell;
use super::config::NetworkConfig;
use super::tokens::{TIME, TOKEN, Tokens};

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

pub(super) struct Network {
    config: NetworkConfig,
    element: ParamId,
    group: ParamId,
    token: Linear,
    time: [Linear; 2],
    modulation: Linear,
    pair: [Linear; 2],
    layers: Vec<Layer>,
    last: ParamId,
    cell: Linear,
    /// Of the token that moves, of the other, of the pair.
    moves: [Linear; 3],
    along: Linear,
    absolute: Option<Linear>,
}

/// What the network tells of the end.
pub(super) struct Ends {
    /// Standardized numbers of each crystal's cell: (crystals, 6).
    pub cells: Tensor<2>,
    /// Displacement of each token, Cartesian, in units of ℓ, along its free directions: (tokens, 3).
    pub displacements: Tensor<2>,
}

impl Network {
    pub fn new(builder: &mut ParamBuilder, config: &NetworkConfig) -> Self {
        let (d, p, radial) = (config.width, config.pair_width, config.radial);
        let small = Init::Uniform(0.05);
        let mut linear = |name: &str, shape: [usize; 2], bias: bool| Linear::new(builder, name, shape, bias);
        let token = linear("token", [TOKEN, d], true);
        let time = [linear("time.0", [TIME, d], true), linear("time.1", [d, d], true)];
        let pair = [linear("pair.0", [radial, p], true), linear("pair.1", [p, p], true)];
        let moves = [
            linear("move.from", [d, p], true),
            linear("move.to", [d, p], false),
            linear("move.pair", [p, p], false),
        ];
        // Layers begin as the identity: what they add, and what they see of pairs, is zero (Peebles and Xie 2023).
        let zero = |builder: &mut ParamBuilder, name: &str, shape: [usize; 2]| {
            Linear::with_init(builder, name, shape, Init::Zeros, Some(Init::Zeros))
        };
        let layers = (0..config.layers)
            .map(|i| Layer {
                modulation: builder.add(format!("layer.{i}.modulation"), &[MODULATIONS * d], Init::Zeros),
                qkv: Linear::new(builder, &format!("layer.{i}.qkv"), [d, 3 * d], true),
                bias: zero(builder, &format!("layer.{i}.bias"), [p, config.heads]),
                gate: zero(builder, &format!("layer.{i}.gate"), [p, d]),
                mixed: Linear::new(builder, &format!("layer.{i}.mixed"), [d, d], true),
                wide: Linear::new(builder, &format!("layer.{i}.wide"), [d, 4 * d], true),
                narrow: Linear::new(builder, &format!("layer.{i}.narrow"), [4 * d, d], true),
            })
            .collect();
        Self {
            element: builder.add("element", &[ELEMENTS, d], small),
            group: builder.add("group", &[GROUPS, d], small),
            modulation: zero(builder, "modulation", [d, MODULATIONS * d]),
            last: builder.add("last.gain", &[d], Init::Constant(1.0)),
            cell: zero(builder, "cell", [d, cell::COORDINATES]),
            along: zero(builder, "along", [p, radial]),
            absolute: config.absolute_head.then(|| zero(builder, "absolute", [d, 3])),
            config: config.clone(),
            token,
            time,
            pair,
            layers,
            moves,
        }
    }

    pub fn forward(&self, params: &Params, tokens: &Tokens) -> Ends {
        let device = params.device();
        let d = self.config.width;
        let (ones, zeros) = (Tensor::ones([1, d], device), Tensor::zeros([1, d], device));
        let normalized = |x: Tensor<2>| ops::layer_norm(x, ones.clone(), zeros.clone());

        let groups = ops::gather(params.get(self.group), &tokens.groups);
        let time = self.time[0].activated(params, tokens.times(device), Activation::Silu);
        let crystal = self.time[1].activated(params, time + groups.clone(), Activation::Silu);
        let shared = self.modulation.forward(params, crystal);
        let seen = self.pair[0].activated(params, tokens.scalars(device), Activation::Silu);
        let seen = self.pair[1].activated(params, seen, Activation::Silu);

        let mut h = self.token.forward(params, tokens.features(device))
            + ops::gather(params.get(self.element), &tokens.elements)
            + ops::gather(groups, &tokens.crystals);
        for layer in &self.layers {
            let modulation = shared.clone() + params.get(layer.modulation).reshape([1, MODULATIONS * d]);
            let modulation = ops::gather(modulation, &tokens.crystals);
            let part = |i: usize| modulation.clone().narrow(1, i * d, d);
            let x = normalized(h.clone()) * (part(0) + 1.0) + part(1);
            let x = ops::pair_attention(
                layer.qkv.forward(params, x),
                layer.bias.forward(params, seen.clone()),
                layer.gate.forward(params, seen.clone()) + 1.0,
                &tokens.sets,
            );
            h = h + layer.mixed.forward(params, x) * (part(2) + 1.0);
            let x = normalized(h.clone()) * (part(3) + 1.0) + part(4);
            let x = layer.wide.activated(params, x, Activation::Silu);
            h = h + layer.narrow.forward(params, x) * (part(5) + 1.0);
        }
        let gain = params.get(self.last).reshape([1, d]);
        let h = ops::layer_norm(h, gain, zeros);
        let cells = self.cell.forward(params, ops::gather(h.clone(), &tokens.cells));
        Ends { cells, displacements: self.displacements(params, tokens, h, seen) }
    }

    /// Equivariant by construction: sums of directions to other atoms, and of the site's own free directions.
    fn displacements(&self, params: &Params, tokens: &Tokens, h: Tensor<2>, seen: Tensor<2>) -> Tensor<2> {
        let device = params.device();
        let [from, to, pair] = &self.moves;
        let joined = ops::merge_edges(
            from.forward(params, h.clone()),
            to.forward(params, h.clone()),
            pair.forward(params, seen),
            &tokens.first,
            &tokens.second,
            Activation::Silu,
        );
        let weights = self.along.forward(params, joined);
        let along = contracted(weights, tokens.vectors(device));
        let along = ops::scatter_sum(along, &tokens.first, tokens.sets.tokens());
        match &self.absolute {
            Some(absolute) => along + contracted(absolute.forward(params, h), tokens.directions(device)),
            None => along,
        }
    }
}

/// `Σ_c w_c v_c` of each row: w is (rows, n), v is (rows, 3 n), the result (rows, 3).
fn contracted(weights: Tensor<2>, vectors: Tensor<2>) -> Tensor<2> {
    let [rows, n] = weights.dims();
    let products = weights.reshape([rows, n, 1]) * vectors.reshape([rows, n, 3]);
    products.sum_dim(1).reshape([rows, 3])
}
