//! Known crystals that vote, and what for.

use std::collections::HashMap;

use druse_crystal::{Composition, Template};
use druse_data::substitution::{Arrangement, Library, Near, NoParent};
use druse_nn::Params;
use druse_nn::memory::to_host;

use super::Judge;
use super::facts::Facts;
use crate::ModelError;

/// The known crystals that vote on the template of a composition, the nearest first.
#[derive(Debug, Default)]
pub(in super::super) struct Ballot {
    pub composition: Composition,
    pub near: Vec<Near>,
    /// Which template each becomes: numbers from 0 in the order of their first appearance.
    pub template: Vec<usize>,
    /// The template of the structure that the ballot is about, if it is among them.
    pub own: Option<usize>,
}

impl Ballot {
    /// The `among` nearest crystals of a library for a composition, in a space group where one is given; never the one at the
    /// place `but`. `own` is the template of the structure that the ballot is about.
    pub fn new(
        library: &Library,
        composition: &Composition,
        space_group: Option<u16>,
        but: Option<usize>,
        own: Option<&Template>,
        among: usize,
    ) -> Result<Self, NoParent> {
        let own = own.map(Arrangement::of);
        let mut near = library.nearest(composition)?;
        let parents = library.parents();
        let in_group =
            |n: &Near| space_group.is_none_or(|group| parents[n.place].arrangement().group() == group);
        near.retain(|n| Some(n.place) != but && in_group(n));
        near.truncate(among);
        let mut numbers: HashMap<Arrangement, usize> = HashMap::new();
        let mut number = |n: &Near| {
            let next = numbers.len();
            *numbers.entry(parents[n.place].arrangement().exchanged(&n.exchange)).or_insert(next)
        };
        let template = near.iter().map(&mut number).collect();
        let own = own.and_then(|own| numbers.get(&own).copied());
        Ok(Self { composition: composition.clone(), near, template, own })
    }

    /// The crystals that would become the structure's own template, the nearest first.
    pub fn own_crystals(&self) -> impl Iterator<Item = (usize, &Near)> {
        let is_own = |&k: &usize| Some(self.template[k]) == self.own;
        (0..self.near.len()).filter(is_own).map(|k| (k, &self.near[k]))
    }

    /// Each template with the known crystal that has the largest weight for it and the logarithm of its probability, the
    /// likeliest first.
    pub fn counted(&self, judge: &Judge, params: &Params) -> Result<Vec<(usize, f64)>, ModelError> {
        if self.near.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<usize> = (0..self.near.len()).collect();
        let facts = Facts::new([(&self.composition, &*self.near, &*all)]);
        let scores = to_host(params.scope(|| judge.forward(params, &facts)))?;
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let templates = self.template.iter().max().map_or(0, |last| last + 1);
        let mut found: Vec<(usize, f32, f64)> = vec![(0, f32::NEG_INFINITY, 0.0); templates];
        for ((k, &template), &score) in self.template.iter().enumerate().zip(&scores) {
            let entry = &mut found[template];
            entry.2 += f64::from(score - most).exp();
            if score > entry.1 {
                (entry.0, entry.1) = (k, score);
            }
        }
        let sum: f64 = found.iter().map(|entry| entry.2).sum();
        let mut counted: Vec<_> = found.iter().map(|&(k, _, weight)| (k, (weight / sum).ln())).collect();
        // Stable: equal ones stay in the order of their distances.
        counted.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(counted)
    }
}
