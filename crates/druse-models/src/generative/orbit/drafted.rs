//! The objective of the writer: the probability of the own template of each training structure, which is itself left out of
//! the votes.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::ops::matrix;
use rayon::prelude::*;

use super::model::{Orbit, unusable};
use super::writer::{Draft, Ground, Kept, Options, Question, Subject, Writer, options};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// A training structure: what is known of its composition, and its own template.
struct Example {
    ground: Arc<Ground>,
    draft: Draft,
    named: Vec<f32>,
    /// What is kept of the states of the group and of the sites.
    kept: [Kept; 2],
}

impl Example {
    fn subject(&self) -> Subject<'_> {
        Subject { asked: &self.ground.asked, votes: &self.ground.votes, named: self.named.clone() }
    }
}

/// Templates of the structures of a micro-batch.
pub(super) struct PreparedDrafts<'a> {
    writer: &'a Writer,
    structures: usize,
    examples: Vec<Example>,
    options: Options,
}

impl<'a> PreparedDrafts<'a> {
    pub fn new(
        (model, writer): (&'a Orbit, &'a Writer),
        batch: &[&Structure],
        keys: &[NoiseKey],
    ) -> Result<Self, ModelError> {
        let config = &writer.config;
        let example = |(s, key): (&&Structure, &NoiseKey)| -> Result<Option<Example>, ModelError> {
            let described = model.described(s);
            let described = described.as_ref().as_ref().map_err(|reason| unusable(s, reason))?;
            let template = described.crystal.template();
            let ground = model.own_ground(s, &template);
            // A cell that is not primitive has no template with all of its atoms.
            let Some(draft) = ground.asked.own(&template) else { return Ok(None) };
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            let named = ground.asked.elements.iter().map(|_| chance(&mut noise, config.named)).collect();
            let scale = (1.0 / (1.0 - config.dropout)) as f32;
            let mut kept = |rows: usize| -> Kept {
                [(); 2].map(|()| {
                    let kept = (0..rows * config.width).map(|_| chance(&mut noise, 1.0 - config.dropout));
                    kept.map(|k| k * scale).collect()
                })
            };
            let kept = [kept(1), kept(draft.places.len())];
            Ok(Some(Example { ground, draft, named, kept }))
        };
        let examples: Vec<Option<Example>> =
            batch.par_iter().zip(keys).map(example).collect::<Result<_, _>>()?;
        let examples: Vec<Example> = examples.into_iter().flatten().collect();
        let lists: Vec<Vec<usize>> = examples
            .iter()
            .flat_map(|e| {
                let (asked, draft) = (&e.ground.asked, &e.draft);
                (0..draft.places.len()).map(move |k| options(asked, draft.group, &draft.places[..k]))
            })
            .collect();
        Ok(Self { writer, structures: batch.len(), examples, options: Options::new(&lists) })
    }
}

/// 1 with a probability, 0 otherwise.
fn chance(noise: &mut Noise, probability: f64) -> f32 {
    if noise.uniform() < probability { 1.0 } else { 0.0 }
}

/// One behind the other.
fn joined(all: impl Iterator<Item = Kept> + Clone) -> Kept {
    [0, 1].map(|k| all.clone().flat_map(|kept| kept[k].clone()).collect())
}

/// Σ of the entries that are told by their numbers, one in each row.
fn chosen(x: Tensor<2>, of: impl Iterator<Item = Option<usize>>) -> Tensor<1> {
    let columns = x.dims()[1];
    let rows = of.flat_map(|k| (0..columns).map(move |i| if Some(i) == k { 1.0 } else { 0.0 })).collect();
    let device = x.device();
    (x * matrix(rows, columns, &device)).sum()
}

impl Prepared for PreparedDrafts<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let count = self.structures as f64;
        let term = |name, sum: Tensor<1>| LossTerm { name, sum, count, weight: 1.0 };
        let network = &self.writer.network;
        if self.examples.is_empty() {
            // Zero, but of the parameters.
            let zero = network.nothing(params);
            return Ok(vec![term("group", zero.clone()), term("sites", zero)]);
        }
        let subjects: Vec<Subject<'_>> = self.examples.iter().map(Example::subject).collect();
        let read = network.read(params, &subjects);
        let possible = |i: usize, group: u16| self.examples[i].ground.holds(group);
        let kept = |k: usize| Some(joined(self.examples.iter().map(move |e| e.kept[k].clone())));
        let groups = network.groups(params, &read, &subjects, &possible, kept(0));
        let group = chosen(groups, self.examples.iter().map(|e| Some(usize::from(e.draft.group) - 1)));
        let mut questions = Vec::new();
        for (subject, Example { draft, .. }) in self.examples.iter().enumerate() {
            let question = |k| Question { subject, group: draft.group, written: &draft.places[..k] };
            questions.extend((0..draft.places.len()).map(question));
        }
        let sites = network.sites(params, &read, &subjects, (&questions, &self.options), kept(1));
        let places = self.examples.iter().flat_map(|e| &e.draft.places);
        let own = places.zip(self.options.places.chunks(self.options.longest));
        let own = own.map(|(&place, options)| options.iter().position(|&o| o == usize::from(place)));
        Ok(vec![term("group", -group), term("sites", -chosen(sites, own))])
    }
}
