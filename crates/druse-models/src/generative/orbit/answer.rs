//! What a request is answered with, before its numbers are known.

use std::collections::HashMap;
use std::sync::OnceLock;

use druse_crystal::{Composition, Element, SpaceGroup, Template};
use druse_nn::Params;
use serde_json::Value;

use super::candidates::{Candidate, Candidates};
use super::config::Begin;
use super::imagined::Imagined;
use super::judge::Ballot;
use super::model::Orbit;
use super::proposal::Proposal;
use super::writer::{Draft, Ground, Written};
use crate::process::Noise;
use crate::{ModelError, SampleRequest};

/// Most candidates of substitution and of exchanges site by site that the writer compares with its own.
const MOST_READ: usize = 150;
/// What a template with other letters for the places of an earlier candidate falls behind it by, as a logarithm.
const REPEATED: f64 = 1.5;

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
/// likeliest first, behind the first ones those of exchanges site by site and those that are written, too.
fn candidate(
    model: &Orbit,
    params: &Params,
    request: &SampleRequest,
    composition: &Composition,
) -> Result<Answer, ModelError> {
    let group = request.conditions.space_group;
    let asked = (model.fingerprint(params)?, composition.clone(), group);
    let found = model.candidates.try_get(asked, || vote(model, params, composition, group))?;
    let place = usize::try_from(request.nth).unwrap_or(usize::MAX);
    let rank = ("rank", (request.nth + 1).into());
    if place < model.substituted_first()
        && let Some((proposal, log_probability)) = proposals(model, &found).nth(place)
    {
        return Ok(of_known(rank, proposal, log_probability));
    }
    let all = match found.all.get() {
        Some(all) => all,
        None => {
            let known: Vec<(Proposal, f64)> = proposals(model, &found).collect();
            let made = ordered(model, params, (composition, group), (&found, known))?;
            found.all.get_or_init(|| made)
        }
    };
    match all.get(place) {
        Some(Candidate::Known(proposal, log_probability)) => {
            Ok(of_known(rank, proposal.clone(), *log_probability))
        }
        Some(Candidate::Exchanged(found, log_probability)) => {
            let proposal = model.proposal_site_by_site(found);
            Ok(of_sites(rank, found.template.clone(), proposal, *log_probability))
        }
        Some(Candidate::Written(draft, log_probability)) => {
            let Some((template, proposal)) = model.lettered(composition, draft) else {
                return Err(exhausted(composition, all.len(), &found));
            };
            Ok(of_sites(rank, template, proposal, Some(*log_probability)))
        }
        None => {
            let in_p1 = all.is_empty() && group.is_none_or(|group| group == 1);
            match in_p1 && !model.sampling.templates_only {
                true => atom_by_atom(model, composition, rank),
                false => Err(exhausted(composition, all.len(), &found)),
            }
        }
    }
}

fn of_known(rank: (&'static str, Value), proposal: Proposal, log_probability: f64) -> Answer {
    let properties = vec![
        rank,
        ("log_probability", log_probability.into()),
        ("distance", proposal.distance.into()),
        ("parent", proposal.parent.clone().into()),
    ];
    Answer { template: proposal.template.clone(), proposal: Some(proposal), properties }
}

fn of_sites(
    rank: (&'static str, Value),
    template: Template,
    proposal: Option<Proposal>,
    log_probability: Option<f64>,
) -> Answer {
    let mut properties = vec![rank];
    properties.extend(log_probability.map(|likely| ("log_probability", likely.into())));
    properties.extend(proposal.iter().flat_map(|proposal| {
        [("distance", proposal.distance.into()), ("parent", proposal.parent.clone().into())]
    }));
    let template = proposal.as_ref().map_or(template, |proposal| proposal.template.clone());
    Answer { template, proposal, properties }
}

/// All candidates in their order: the likeliest of substitution first. Behind them all others by the probabilities of the
/// writer; without one exchanges site by site take turns with the rest of substitution.
fn ordered(
    model: &Orbit,
    params: &Params,
    (composition, group): (&Composition, Option<u16>),
    (found, known): (&Candidates, Vec<(Proposal, f64)>),
) -> Result<Vec<Candidate>, ModelError> {
    let library = model.known.library();
    let templates: Vec<Template> = known.iter().map(|(proposal, _)| proposal.template.clone()).collect();
    let further = model.exchanges.further(library, composition, group, &templates);
    let mut known = known.into_iter().map(|(proposal, likely)| Candidate::Known(proposal, likely));
    let mut all: Vec<Candidate> = known.by_ref().take(model.substituted_first()).collect();
    let Some(writer) = &model.writer else {
        let exchanged = further.into_iter().map(|found| Candidate::Exchanged(found, None));
        all.extend(in_turns(exchanged, known));
        return Ok(all);
    };
    let nearest = model.exchanges.all(library, composition, group);
    let ground = Ground::of_request(library, composition, found.ballot.as_ref().ok(), &nearest);
    let rest: Vec<Candidate> =
        known.chain(further.into_iter().map(|found| Candidate::Exchanged(found, None))).collect();
    all.extend(behind(&ground, &all, rest, |drafts| Written::new(writer, params, &ground, group, drafts))?);
    Ok(all)
}

/// The rest of what is known and what is written, by the writer's probabilities.
fn behind(
    ground: &Ground,
    first: &[Candidate],
    rest: Vec<Candidate>,
    written: impl FnOnce(&[Draft]) -> Result<Written, ModelError>,
) -> Result<Vec<Candidate>, ModelError> {
    let template = |candidate: &Candidate| match candidate {
        Candidate::Known(proposal, _) => Some(proposal.template.clone()),
        Candidate::Exchanged(found, _) => Some(found.template.clone()),
        Candidate::Written(..) => None,
    };
    let draft = |candidate: &Candidate| template(candidate).and_then(|t| ground.asked.own(&t));
    let mut times: HashMap<Draft, usize> = HashMap::new();
    let mut again = |draft: &Draft| {
        let times = times.entry(draft.clone()).or_default();
        *times += 1;
        *times - 1
    };
    first.iter().filter_map(draft).for_each(|draft| _ = again(&draft));
    // Those that the writer reads, and those behind, which nobody asks for in practice.
    let drafts: Vec<Option<Draft>> = rest.iter().take(MOST_READ).map(draft).collect();
    let read: Vec<Draft> = drafts.iter().flatten().cloned().collect();
    let Written { best, others } = written(&read)?;
    let mut others = others.into_iter();
    let (mut scored, mut unread) = (Vec::new(), Vec::new());
    for (i, mut candidate) in rest.into_iter().enumerate() {
        let Some(draft) = drafts.get(i).and_then(Option::as_ref) else {
            unread.push(candidate);
            continue;
        };
        let likely = others.next().unwrap_or(f64::NEG_INFINITY);
        if let Candidate::Exchanged(_, log_probability) = &mut candidate {
            *log_probability = likely.is_finite().then_some(likely);
        }
        scored.push((likely - REPEATED * again(draft) as f64, candidate));
    }
    for (draft, likely) in best {
        if again(&draft) == 0 {
            scored.push((likely, Candidate::Written(draft, likely)));
        }
    }
    // Stable: equal ones stay in their order.
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(scored.into_iter().map(|(_, candidate)| candidate).chain(unread).collect())
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

/// Two lists that take turns, the first one first, until both are used up.
fn in_turns<T>(first: impl Iterator<Item = T>, second: impl Iterator<Item = T>) -> Vec<T> {
    let (mut first, mut second) = (first.fuse(), second.fuse());
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(first.next());
        all.extend(second.next());
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_turns() {
        let all =
            |first: &str, second: &str| in_turns(first.chars(), second.chars()).iter().collect::<String>();
        assert_eq!(all("1234", "ab"), "1a2b34");
        assert_eq!(all("1", "abc"), "1abc");
        assert_eq!(all("", "a"), "a");
        assert_eq!(all("", ""), "");
    }
}
