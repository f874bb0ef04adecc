//! Templates that are written: a space group, then the place of each site, one after the other, each by its probability.
//!
//! Where [the judge](super::judge) chooses among what known crystals become, the writer gives any template of a composition a
//! probability. Atoms come out right because no place is offered that leaves atoms over. What known crystals vote for is its
//! first guess at every step, so that what it has to learn is where they are wrong.

use druse_crystal::Composition;
use druse_data::substitution::Library;
use druse_nn::{ParamBuilder, Params};

use super::config::WriterConfig;
use super::judge::Ballot;
use super::site_by_site::{MOST_VOTES, SiteBySite};
use crate::ModelError;

mod beam;
mod draft;
mod network;
mod places;
mod votes;

pub(super) use beam::Written;
pub(super) use draft::{Asked, Draft};
pub(super) use network::{Kept, Options, Question, Subject};
pub(super) use votes::Votes;

use network::Network;
use places::{GROUPS, PLACES, Places};

/// The network, and how it is trained.
pub(super) struct Writer {
    pub config: WriterConfig,
    pub network: Network,
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

    /// Hashes values that every update changes.
    pub fn hash(&self, params: &Params, hash: &mut blake3::Hasher) -> Result<(), ModelError> {
        self.network.hash(params, hash)
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
    pub fn new(lists: &[Vec<usize>]) -> Self {
        let longest = lists.iter().map(Vec::len).max().unwrap_or(0).max(1);
        let line = |list: &Vec<usize>| {
            let rest = longest - list.len();
            list.clone().into_iter().chain(std::iter::repeat_n(PLACES, rest))
        };
        Self { places: lists.iter().flat_map(line).collect(), longest }
    }
}

/// The places that the next site may have: the atoms of its element that are left fit on it and behind it.
pub(super) fn options(asked: &Asked, group: u16, written: &[u16]) -> Vec<usize> {
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

#[cfg(test)]
mod tests;
