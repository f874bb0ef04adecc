//! What a request is answered with, before its numbers are known.

use std::sync::OnceLock;

use druse_crystal::{Composition, Element, SpaceGroup, Template};
use druse_nn::Params;
use serde_json::Value;

use super::candidates::{All, Candidates};
use super::config::Begin;
use super::imagined::Imagined;
use super::judge::Ballot;
use super::model::Orbit;
use super::proposal::Proposal;
use crate::process::Noise;
use crate::{ModelError, SampleRequest};

/// So many templates come from substitution alone; behind them those of exchanges site by site take turns with its others.
const SUBSTITUTED_FIRST: usize = 12;

/// The property that says what is unusual about a structure.
const REMARK: &str = "remark";

/// A template, and what its numbers may begin with.
pub(super) struct Answer {
    pub template: Template,
    pub proposal: Option<Proposal>,
    /// What is said of the structure.
    pub properties: Vec<(&'static str, Value)>,
}

impl Answer {
    /// For a composition the candidate at the place of the request; for sites a template that has them; for anything else a
    /// draw.
    pub fn new(
        model: &Orbit,
        params: &Params,
        request: &SampleRequest,
        noise: &mut Noise,
    ) -> Result<Self, ModelError> {
        let conditions = &request.conditions;
        let mut answer = match (&conditions.composition, &conditions.sites) {
            (Some(composition), _) => candidate(model, params, request, composition)?,
            (None, Some(_)) => on_sites(model, request, noise)?,
            (None, None) => imagined(model.imagined(params, request, noise)?),
        };
        let elements: Vec<Element> = answer.template.composition().elements().collect();
        if let Some(unseen) = model.remark_on(elements) {
            let said = answer.properties.iter_mut().find(|(name, _)| *name == REMARK);
            match said {
                Some((_, Value::String(remark))) => remark.push_str(&format!("; {unseen}")),
                _ => answer.properties.push((REMARK, unseen.into())),
            }
        }
        Ok(answer)
    }
}

/// A known crystal on the sites that are asked for, at the place of the request among those of this structure type; beyond them
/// the sites alone, whose numbers the flow draws.
fn on_sites(model: &Orbit, request: &SampleRequest, noise: &mut Noise) -> Result<Answer, ModelError> {
    let template = model.template(&request.conditions, noise)?;
    if model.sampling.begin == Begin::Anywhere {
        return Ok(Answer { template, proposal: None, properties: Vec::new() });
    }
    let known = model.with_sites_of(&template);
    let mut place = usize::try_from(request.nth).unwrap_or(usize::MAX);
    // Letters that are drawn are others for each structure.
    let drawn = request.conditions.sites.iter().flatten().any(|site| site.wyckoff.is_none());
    if drawn && !known.is_empty() {
        place %= known.len();
    }
    let proposal = known.get(place).cloned();
    let properties =
        proposal.iter().flat_map(|p| [("distance", p.distance.into()), ("parent", p.parent.clone().into())]);
    Ok(Answer { properties: properties.collect(), template, proposal })
}

fn imagined(imagined: Imagined) -> Answer {
    let Imagined { template, proposal, parent, log_probability } = imagined;
    let mut properties = vec![("log_probability", log_probability.into()), ("parent", parent.into())];
    properties.extend(proposal.iter().map(|proposal| ("distance", proposal.distance.into())));
    Answer { template, proposal, properties }
}

/// The template that comes at the place of the request: those that known crystals become when elements are exchanged, the
/// likeliest first, and those of exchanges site by site.
fn candidate(
    model: &Orbit,
    params: &Params,
    request: &SampleRequest,
    composition: &Composition,
) -> Result<Answer, ModelError> {
    let group = request.conditions.space_group;
    let asked = (model.judge.fingerprint(params)?, composition.clone(), group);
    let found = model.candidates.try_get(asked, || vote(model, params, composition, group))?;
    let place = usize::try_from(request.nth).unwrap_or(usize::MAX);
    let rank = ("rank", (request.nth + 1).into());
    let of_known = |proposal: Proposal, log_probability: f64| {
        let properties = vec![
            rank.clone(),
            ("log_probability", log_probability.into()),
            ("distance", proposal.distance.into()),
            ("parent", proposal.parent.clone().into()),
        ];
        Answer { template: proposal.template.clone(), proposal: Some(proposal), properties }
    };
    if place < SUBSTITUTED_FIRST
        && let Some((proposal, log_probability)) = proposals(model, &found).nth(place)
    {
        return Ok(of_known(proposal, log_probability));
    }
    let all = found.all.get_or_init(|| {
        let known: Vec<(Proposal, f64)> = proposals(model, &found).collect();
        let templates: Vec<Template> = known.iter().map(|(proposal, _)| proposal.template.clone()).collect();
        let library = model.known.library();
        All { further: model.exchanges.further(library, composition, group, &templates), known }
    });
    let first = all.known.len().min(SUBSTITUTED_FIRST);
    let turn = place
        .checked_sub(first)
        .and_then(|behind| nth_of_turns(all.further.len(), all.known.len() - first, behind));
    match turn {
        Some(Turn::First(k)) => {
            let (found, mut properties) = (&all.further[k], vec![rank]);
            let proposal = model.proposal_site_by_site(found);
            properties.extend(proposal.iter().flat_map(|proposal| {
                [("distance", proposal.distance.into()), ("parent", proposal.parent.clone().into())]
            }));
            let template = proposal.as_ref().map_or(&found.template, |proposal| &proposal.template).clone();
            Ok(Answer { template, proposal, properties })
        }
        Some(Turn::Second(k)) => {
            let (proposal, log_probability) = &all.known[first + k];
            Ok(of_known(proposal.clone(), *log_probability))
        }
        None => {
            let there = all.known.len() + all.further.len();
            let in_p1 = there == 0 && group.is_none_or(|group| group == 1);
            match in_p1 && !model.sampling.templates_only {
                true => atom_by_atom(model, composition, rank),
                false => Err(exhausted(composition, there, &found)),
            }
        }
    }
}

/// Counts the votes on a composition.
fn vote(
    model: &Orbit,
    params: &Params,
    composition: &Composition,
    group: Option<u16>,
) -> Result<Candidates, ModelError> {
    let ballot = Ballot::new(model.known.library(), composition, group, None, None, model.config.judge.among);
    let mut counted = match &ballot {
        Ok(ballot) => ballot.counted(&model.judge, params)?,
        // Exchanges site by site are left.
        Err(_) => Vec::new(),
    };
    counted.truncate(model.sampling.proposals);
    Ok(Candidates { ballot, counted, all: OnceLock::new() })
}

/// What known crystals become, with the logarithms of their probabilities.
fn proposals<'a>(model: &'a Orbit, found: &'a Candidates) -> impl Iterator<Item = (Proposal, f64)> + 'a {
    let near = found.ballot.as_ref().map(|ballot| ballot.near.as_slice()).unwrap_or_default();
    found.counted.iter().filter_map(move |&(k, log_probability)| {
        model.proposal(near.get(k)?, k).map(|proposal| (proposal, log_probability))
    })
}

/// P1, each atom a site of its own.
fn atom_by_atom(
    model: &Orbit,
    composition: &Composition,
    rank: (&'static str, Value),
) -> Result<Answer, ModelError> {
    let (atoms, largest) = (composition.num_atoms(), model.statistics.max_atoms);
    if atoms > largest {
        let formula = composition.formula();
        return Err(ModelError::Condition(format!(
            "{formula} has {atoms} atoms; crystals without a template have at most {largest}, as in the training set"
        )));
    }
    let remark = "no known crystal has a template for this composition: every atom is drawn by itself";
    let properties = vec![rank, (REMARK, remark.into())];
    Ok(Answer { template: every_atom(composition)?, proposal: None, properties })
}

/// The error of a request for more candidates than there are.
fn exhausted(composition: &Composition, there: usize, found: &Candidates) -> ModelError {
    let formula = composition.formula();
    ModelError::Condition(match (there, &found.ballot) {
        (0, Err(why)) => format!("no template for {formula}: {why}"),
        (0, Ok(_)) => format!("no template for {formula} in this space group is in the training set"),
        _ => format!("no further template for {formula}: there are {there} in all"),
    })
}

/// P1 with every atom on its general position.
fn every_atom(composition: &Composition) -> Result<Template, ModelError> {
    let wrong = |e: &dyn std::fmt::Display| ModelError::Condition(e.to_string());
    let p1 = SpaceGroup::new(1).map_err(|e| wrong(&e))?;
    let atoms = composition.iter().flat_map(|(element, n)| std::iter::repeat_n((element, 'a'), n as usize));
    Template::new(p1, atoms.collect()).map_err(|e| wrong(&e))
}

/// Whose turn it is, and at which place of its list.
#[derive(Debug, PartialEq)]
enum Turn {
    First(usize),
    Second(usize),
}

/// What comes at a place (from 0) where two lists take turns, the first one first, until both are used up.
fn nth_of_turns(first: usize, second: usize, place: usize) -> Option<Turn> {
    let both = 2 * first.min(second);
    if place < both {
        let k = place / 2;
        return Some(if place.is_multiple_of(2) { Turn::First(k) } else { Turn::Second(k) });
    }
    let k = place - both / 2;
    match first > second {
        true => (k < first).then_some(Turn::First(k)),
        false => (k < second).then_some(Turn::Second(k)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_turns() {
        let all = |first: &[u8], second: &[char]| -> String {
            let nth = |place| match nth_of_turns(first.len(), second.len(), place)? {
                Turn::First(k) => Some(first[k].to_string()),
                Turn::Second(k) => Some(second[k].to_string()),
            };
            (0..).map_while(nth).collect()
        };
        assert_eq!(all(&[1, 2, 3, 4], &['a', 'b']), "1a2b34");
        assert_eq!(all(&[1], &['a', 'b', 'c']), "1abc");
        assert_eq!(all(&[], &['a']), "a");
        assert_eq!(all(&[], &[]), "");
    }
}
