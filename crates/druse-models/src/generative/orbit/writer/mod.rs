//! Templates that are written: a space group, then the place of each site, one after the other, each by its probability.
//!
//! Where [the judge](super::judge) chooses among what known crystals become, the writer gives any template of a composition a
//! probability. Atoms come out right because no place is offered that leaves atoms over. What known crystals vote for is its
//! first guess at every step, so that what it has to learn is where they are wrong.

use std::sync::Arc;

use druse_crystal::{Composition, Structure, Template};
use druse_data::substitution::Library;
use druse_nn::{ParamBuilder, Params};

use super::config::WriterConfig;
use super::judge::Ballot;
use super::model::Orbit;
use super::proposal::Proposal;
use super::site_by_site::{self, MOST_VOTES, SiteBySite};
use crate::ModelError;

mod beam;
mod draft;
mod network;
mod objective;
mod places;
mod votes;

pub(super) use beam::Written;
pub(super) use draft::{Asked, Draft};
pub(super) use objective::PreparedDrafts;
pub(super) use votes::Votes;

use network::{Network, Options};
use places::{GROUPS, PLACES, Places};

/// Most choices of letters for a draft that known crystals are looked for with.
const MOST_LETTERED: usize = 12;

/// The network, and how it is trained.
pub(super) struct Writer {
    pub config: WriterConfig,
    network: Network,
}

/// What is known of a composition before anything is written.
#[derive(Debug)]
pub(super) struct Ground {
    pub asked: Asked,
    pub votes: Votes,
    /// Space groups that hold the atoms of each element.
    holds: Vec<bool>,
}

impl Writer {
    /// Registers its tensors below `prefix`, which ends with a dot.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &WriterConfig) -> Self {
        Self { config: config.clone(), network: Network::new(builder, prefix, config.width) }
    }
}

impl Ground {
    pub fn new(asked: Asked, votes: Votes) -> Self {
        let table = Places::get();
        let holds = |group: u16| asked.elements.iter().all(|&(_, n)| table.hold(group, 0, 0, n));
        let holds = (1..=GROUPS as u16).map(holds).collect();
        Self { asked, votes, holds }
    }

    /// For a request: who votes, and exchanges site by site, the nearest first.
    pub fn of_request(
        library: &Library,
        composition: &Composition,
        ballot: Option<&Ballot>,
        nearest: &[SiteBySite],
    ) -> Self {
        let asked = Asked::new(composition);
        let votes = Votes::new(library, &asked, ballot, &nearest[..nearest.len().min(MOST_VOTES)]);
        Self::new(asked, votes)
    }

    /// Whether a space group holds the atoms of each element.
    pub fn holds(&self, group: u16) -> bool {
        self.holds[usize::from(group) - 1]
    }
}

impl Options {
    /// Lists of places, a line for each question.
    fn new(lists: &[Vec<usize>]) -> Self {
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let line = |list: &Vec<usize>| {
            let rest = longest - list.len();
            list.clone().into_iter().chain(std::iter::repeat_n(PLACES, rest))
        };
        Self { places: lists.iter().flat_map(line).collect(), longest }
    }
}

/// The places that the next site may have: the atoms of its element that are left fit on it and behind it.
fn options(asked: &Asked, group: u16, written: &[u16]) -> Vec<usize> {
    let table = Places::get();
    let mut steps = asked.steps(written);
    let last = written.iter().zip(&mut steps).last();
    let Some(next) = steps.next() else { return Vec::new() };
    // Places of one element come in one order alone.
    let from = match last {
        Some((&place, step)) if step.element == next.element => usize::from(place),
        _ => 0,
    };
    let fits = |&number: &usize| {
        let place = table.place(number);
        let used = written.iter().filter(|&&w| usize::from(w) == number).count();
        number >= from
            && place.atoms <= next.left
            && used < place.most
            && table.hold(group, number, used + 1, next.left - place.atoms)
    };
    table.of(group).filter(fits).collect()
}

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

    /// How many templates come from substitution alone, before others are among the candidates.
    pub(super) fn substituted_first(&self) -> usize {
        if self.writer.is_some() { 8 } else { 12 }
    }

    /// What tells the values of the parameters that candidates depend on from others.
    pub(super) fn fingerprint(&self, params: &Params) -> Result<[u8; 32], ModelError> {
        let judge = self.judge.fingerprint(params)?;
        let Some(writer) = &self.writer else { return Ok(judge) };
        let mut hash = blake3::Hasher::new();
        hash.update(&judge);
        writer.network.hash(params, &mut hash)?;
        Ok(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests;
