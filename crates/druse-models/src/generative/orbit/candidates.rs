//! Candidates of the compositions met so far.

use std::sync::OnceLock;

use druse_crystal::Composition;
use druse_data::substitution::NoParent;

use super::judge::Ballot;
use super::proposal::Proposal;
use super::recent::Recent;
use super::site_by_site::SiteBySite;
use super::writer::Draft;

/// The vote on a composition, and what it leads to.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Who votes; why nobody does.
    pub ballot: Result<Ballot, NoParent>,
    /// As [`Ballot::counted`].
    pub counted: Vec<(usize, f64)>,
    /// All of them in their order, made when more than the first ones are asked for.
    pub all: OnceLock<Vec<Candidate>>,
}

/// A template for a composition.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub source: Source,
    /// The logarithm of its probability, where one is known.
    pub log_probability: Option<f64>,
}

/// Where a template comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// From substitution.
    Known(Proposal),
    /// From an exchange site by site.
    Exchanged(SiteBySite),
    /// Written.
    Written(Draft),
}

/// Parameters of the judge and of the writer, composition, space group.
type Asked = ([u8; 32], Composition, Option<u16>);

/// Candidates of compositions.
pub(super) type FoundCandidates = Recent<Asked, Candidates>;
