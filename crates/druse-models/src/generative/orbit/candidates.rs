//! Candidates of the compositions met so far.

use std::sync::OnceLock;

use druse_crystal::Composition;
use druse_data::substitution::NoParent;

use super::judge::Ballot;
use super::proposal::Proposal;
use super::recent::Recent;
use super::site_by_site::SiteBySite;

/// The vote on a composition, and what it leads to.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Who votes; why nobody does.
    pub ballot: Result<Ballot, NoParent>,
    /// As [`Ballot::counted`].
    pub counted: Vec<(usize, f64)>,
    /// All of them, made when more than the first ones are asked for.
    pub all: OnceLock<All>,
}

/// All candidates of a composition.
#[derive(Debug)]
pub(super) struct All {
    /// From substitution, the likeliest first, with the logarithms of their probabilities.
    pub known: Vec<(Proposal, f64)>,
    /// From exchanges site by site, the nearest first, without those of the others.
    pub further: Vec<SiteBySite>,
}

/// Parameters of the judge, composition, space group.
type Asked = ([u8; 32], Composition, Option<u16>);

/// Candidates of compositions.
pub(super) type FoundCandidates = Recent<Asked, Candidates>;
