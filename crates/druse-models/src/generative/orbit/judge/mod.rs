//! Which template a composition has: known crystals with the same numbers of atoms vote.
//!
//! A known crystal k votes with weight exp(s_k) for the template that it becomes with the elements asked for; the probability
//! of a template is its share of the weights. The score s_k falls with the distance of the elements that take each other's
//! places, in a space that is learned (neighborhood component analysis: Goldberger et al. 2004), and a small network corrects
//! it. What is learned is a few thousand numbers, so that some thousand crystals are enough.

use burn::tensor::Tensor;
use druse_crystal::Element;
use druse_nn::blocks::Linear;
use druse_nn::memory::to_host;
use druse_nn::ops::{self, Activation};
use druse_nn::{Init, ParamBuilder, ParamId, Params};

use super::config::JudgeConfig;
use super::trunk::silent;
use crate::ModelError;

mod facts;
mod votes;

pub(super) use facts::{Facts, NUMBERS as ELEMENT_NUMBERS, element_numbers};
pub(super) use votes::Ballot;

use facts::NUMBERS;

/// Added to the square of a distance, so that it has a derivative at zero.
const SOFT: f64 = 1e-6;

/// Scores of known crystals.
pub(super) struct Judge {
    /// What is learned of an element beside its numbers: (elements + 1, width), row 0 for none.
    names: ParamId,
    /// From the numbers of an element: (width, [`NUMBERS`]).
    numbers: Linear,
    /// Of the distance by which known crystals are ordered: its logarithm.
    scale: ParamId,
    straight: Linear,
    hidden: Linear,
    read: Linear,
}

impl Judge {
    /// Registers its tensors below `prefix`, which ends with a dot.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &JudgeConfig) -> Self {
        let (width, input) = (config.width, facts::KNOWN + 3 * config.width);
        let name = |part: &str| format!("{prefix}{part}");
        Self {
            names: builder.add(name("names"), &[usize::from(Element::MAX_Z) + 1, width], Init::Zeros),
            numbers: Linear::with_init(builder, &name("numbers"), [NUMBERS, width], Init::Uniform(0.5), None),
            scale: builder.add(name("scale"), &[1], Init::Zeros),
            straight: silent(builder, &name("straight"), [facts::KNOWN, 1]),
            hidden: Linear::new(builder, &name("hidden"), [input, config.hidden], true),
            read: silent(builder, &name("read"), [config.hidden, 1]),
        }
    }

    /// The description of each element, by atomic number from 0 (none) on, row by row.
    pub fn elements(&self, params: &Params) -> Result<Vec<f32>, ModelError> {
        let numbers = self.numbers.forward(params, element_numbers(params.device()));
        Ok(to_host(params.get(self.names) + numbers)?)
    }

    /// What tells the values of its parameters from others.
    pub fn fingerprint(&self, params: &Params) -> Result<[u8; 32], ModelError> {
        let mut hash = blake3::Hasher::new();
        let values =
            [params.get(self.names), params.get(self.scale), self.numbers.weight(params)].into_iter();
        let layers = [&self.straight, &self.hidden, &self.read];
        let weights = layers.map(|layer| layer.weight(params));
        let biases = layers.map(|layer| layer.bias(params));
        for tensor in values.chain(weights).chain(biases) {
            to_host(tensor)?.iter().for_each(|x| _ = hash.update(&x.to_le_bytes()));
        }
        Ok(hash.finalize().into())
    }

    /// The score of each known crystal: (rows, 1).
    pub fn forward(&self, params: &Params, facts: &Facts) -> Tensor<2> {
        let device = params.device();
        let elements = params.get(self.names) + self.numbers.forward(params, element_numbers(device));
        let width = elements.dims()[1];
        let (rows, pairs) = (facts.rows(), facts.pairs());
        let old = ops::gather(elements.clone(), facts.old());
        let difference = (old - ops::gather(elements, facts.new_elements())).reshape([rows, pairs, width]);
        let there = facts.there(device).reshape([rows, pairs, 1]);
        let squares = (difference.clone() * difference.clone()).sum_dim(2).add_scalar(SOFT);
        let distance = (squares.sqrt() * there).sum_dim(1).reshape([rows, 1]);
        let magnitude = difference.clone().abs();
        let shares = facts.shares(device).reshape([rows, pairs, 1]);
        let known = facts.known(device);
        let joined = Tensor::cat(
            vec![
                known.clone(),
                magnitude.clone().sum_dim(1).reshape([rows, width]),
                (difference * shares).sum_dim(1).reshape([rows, width]),
                magnitude.max_dim(1).reshape([rows, width]),
            ],
            1,
        );
        let hidden = self.hidden.activated(params, joined, Activation::Silu);
        let ordered = facts.distances(device) * params.get(self.scale).exp().mul_scalar(0.5);
        self.straight.forward(params, known) + self.read.forward(params, hidden) - distance - ordered
    }

    /// What keeps the learned numbers small: Σ of the squares of what is learned of elements, and of the network's weights.
    pub fn sizes(&self, params: &Params) -> [Tensor<1>; 2] {
        let square = |x: Tensor<2>| (x.clone() * x).sum();
        let layers = square(self.hidden.weight(params)) + square(self.read.weight(params));
        [square(params.get(self.names)), layers]
    }
}

#[cfg(test)]
mod tests;
