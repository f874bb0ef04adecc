//! Candidates of the compositions met so far: a request for many candidates of a composition asks as many times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use druse_crystal::Composition;
use druse_data::substitution::NoParent;

use super::judge::Ballot;
use super::proposal::Proposal;
use super::site_by_site::SiteBySite;

/// Most compositions that candidates are kept for.
const MOST_COMPOSITIONS: usize = 128;

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
#[derive(Debug, Default)]
pub(super) struct FoundCandidates(Mutex<HashMap<Asked, Arc<Candidates>>>);

impl FoundCandidates {
    /// What was found before, or what `find` finds now.
    pub fn get<E>(
        &self,
        asked: Asked,
        find: impl FnOnce() -> Result<Candidates, E>,
    ) -> Result<Arc<Candidates>, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().get(&asked) {
            return Ok(found.clone());
        }
        let found = Arc::new(find()?);
        let mut all = lock();
        if all.len() >= MOST_COMPOSITIONS {
            all.clear();
        }
        Ok(all.entry(asked).or_insert(found).clone())
    }
}
