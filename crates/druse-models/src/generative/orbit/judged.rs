//! The objective of the judge: the probability of the own template of each training structure, which is left out of the vote.

use burn::tensor::{Tensor, activation};
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::graph::Index;
use druse_nn::ops::{self, matrix};

use super::judge::Facts;
use super::model::{Orbit, unusable};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// The score of who is not there.
const NOBODY: f32 = -1e9;

/// Votes on the structures of a micro-batch.
pub(super) struct PreparedVotes<'a> {
    model: &'a Orbit,
    structures: usize,
    facts: Facts,
    /// Rows of scores, as many for each structure as the longest list has; behind the last row where there are fewer.
    rows: Index,
    longest: usize,
    /// Added to the scores: zero for those that vote for the own template.
    others: Vec<f32>,
}

impl<'a> PreparedVotes<'a> {
    pub fn new(model: &'a Orbit, batch: &[&Structure], keys: &[NoiseKey]) -> Result<Self, ModelError> {
        let share = model.config.judge.kept;
        let mut ballots = Vec::with_capacity(batch.len());
        for (s, key) in batch.iter().zip(keys) {
            let described = model.described(s);
            let described = described.as_ref().as_ref().map_err(|reason| unusable(s, reason))?;
            let ballot = model.own_ballot(s, &described.crystal.template());
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            // As though fewer crystals were known: what is learned shall not hang on single ones.
            let kept: Vec<usize> = (0..ballot.near.len()).filter(|_| noise.uniform() < share).collect();
            let is_own = |&k: &usize| Some(ballot.template[k]) == ballot.own;
            // Where nobody votes for the own template, or everybody does, there is nothing to tell.
            if kept.iter().any(is_own) && !kept.iter().all(is_own) {
                ballots.push((ballot, kept));
            }
        }
        let facts = Facts::new(ballots.iter().map(|(b, kept)| (&b.composition, &*b.near, &**kept)));
        let longest = ballots.iter().map(|(_, kept)| kept.len()).max().unwrap_or(0);
        let (mut rows, mut others, mut first) = (Vec::new(), Vec::new(), 0);
        for (ballot, kept) in &ballots {
            rows.extend((0..longest).map(|i| if i < kept.len() { first + i } else { facts.rows() } as u32));
            let is_own = |i: usize| kept.get(i).is_some_and(|&k| Some(ballot.template[k]) == ballot.own);
            others.extend((0..longest).map(|i| if is_own(i) { 0.0 } else { NOBODY }));
            first += kept.len();
        }
        Ok(Self { model, structures: batch.len(), facts, rows: rows.into_iter().collect(), longest, others })
    }

    /// Σ over the structures of -ln p(own template).
    fn surprise(&self, params: &Params) -> Tensor<1> {
        let device = params.device();
        let scores = self.model.judge.forward(params, &self.facts);
        let scores = Tensor::cat(vec![scores, Tensor::full([1, 1], NOBODY, device)], 0);
        let scores = ops::gather(scores, &self.rows).reshape([self.rows.len() / self.longest, self.longest]);
        let likely = activation::log_softmax(scores, 1);
        let own = likely + matrix(self.others.clone(), self.longest, device);
        // ln Σ exp over those that vote for the own template.
        let most = own.clone().detach().max_dim(1);
        let sum = (own - most.clone()).exp().sum_dim(1).log() + most;
        -sum.sum()
    }
}

impl Prepared for PreparedVotes<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let (judge, count) = (&self.model.config.judge, self.structures as f64);
        let [names, layers] = self.model.judge.sizes(params);
        let surprise = match self.longest {
            // Zero, but of the parameters.
            0 => names.clone().mul_scalar(0.0),
            _ => self.surprise(params),
        };
        let term = |name, sum: Tensor<1>, weight| LossTerm { name, sum, count, weight };
        Ok(vec![
            term("template", surprise, 1.0),
            term("names", names.mul_scalar(count), judge.names_decay),
            term("layers", layers.mul_scalar(count), judge.layers_decay),
        ])
    }
}
