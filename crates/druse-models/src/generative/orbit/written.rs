//! The writer's part of a model: what it begins with, and crystals for what it has written.

use std::sync::Arc;

use druse_crystal::{Composition, Structure, Template};
use druse_nn::Params;

use super::model::Orbit;
use super::proposal::Proposal;
use super::site_by_site::{self, MOST_VOTES};
use super::writer::{Asked, Draft, Ground};
use crate::ModelError;

/// Most choices of letters for a draft that known crystals are looked for with.
const MOST_LETTERED: usize = 12;

impl Orbit {
    /// What is known of the composition of a training structure, itself left out; found once.
    pub(super) fn own_ground(&self, structure: &Structure, template: &Template) -> Arc<Ground> {
        self.grounds.get(structure, || {
            let composition = Composition::from_species(&structure.species);
            let ballot = self.own_ballot(structure, template);
            let library = self.known.library();
            let itself = self.place_of(structure);
            let further = site_by_site::ordered(library, &composition, None, itself, MOST_VOTES);
            Ground::of_request(library, &composition, Some(&ballot), &further)
        })
    }

    /// A template that a draft stands for: one whose sites a known crystal has, that with the nearest elements, where there is
    /// one.
    pub(super) fn lettered(
        &self,
        composition: &Composition,
        draft: &Draft,
    ) -> Option<(Template, Option<Proposal>)> {
        let templates = Asked::new(composition).templates(draft);
        let known = |t: &Template| self.with_sites_of(t).first().cloned();
        let nearest = templates.iter().take(MOST_LETTERED).filter_map(known);
        match nearest.min_by(|a, b| a.distance.total_cmp(&b.distance)) {
            Some(proposal) => Some((proposal.template.clone(), Some(proposal))),
            None => templates.into_iter().next().map(|template| (template, None)),
        }
    }

    /// What tells the values of the parameters that candidates depend on from others.
    pub(super) fn fingerprint(&self, params: &Params) -> Result<[u8; 32], ModelError> {
        let judge = self.judge.fingerprint(params)?;
        let Some(writer) = &self.writer else { return Ok(judge) };
        let mut hash = blake3::Hasher::new();
        hash.update(&judge);
        writer.hash(params, &mut hash)?;
        Ok(hash.finalize().into())
    }
}
