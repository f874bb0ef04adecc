//! What a request is answered with, before its numbers are known.

use std::collections::HashMap;
use std::sync::OnceLock;

use druse_crystal::{Composition, Element, SpaceGroup, Template};
use druse_nn::Params;
use serde_json::Value;

use super::candidates::{Candidate, Candidates, Source};
use super::config::Begin;
use super::imagined::Imagined;
use super::judge::Ballot;
use super::model::Orbit;
use super::proposal::Proposal;
use super::writer::{Asked, Draft, Ground, Written};
use crate::process::Noise;
use crate::{ModelError, SampleRequest};

/// So many templates come from substitution alone; behind them those of exchanges site by site take turns with its others.
const SUBSTITUTED_FIRST: usize = 12;
/// Most candidates of substitution and of exchanges site by site that the writer compares with its own.
const MOST_READ: usize = 150;
/// Weight of the writer's probability beside the judge's. Of 0 to 1 in steps of 0.1 the one with the most validation templates
/// at the first place.
const WRITER: f64 = 0.6;
/// Candidates before those that are likely and those that are near take turns.
const LIKELIEST_FIRST: usize = 5;
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
/// likeliest first, and those of exchanges site by site and those that are written.
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
    if model.writer.is_none()
        && place < SUBSTITUTED_FIRST
        && let Some((proposal, log_probability)) = proposals(model, &found).nth(place)
    {
        return Ok(answer(rank, proposal.template.clone(), Some(proposal), Some(log_probability)));
    }
    let all = match found.all.get() {
        Some(all) => all,
        None => {
            let known: Vec<(Proposal, f64)> = proposals(model, &found).collect();
            let made = ordered(model, params, (composition, group), (&found, known))?;
            found.all.get_or_init(|| made)
        }
    };
    let Some(Candidate { source, log_probability }) = all.get(place) else {
        let in_p1 = all.is_empty() && group.is_none_or(|group| group == 1);
        return match in_p1 && !model.sampling.templates_only {
            true => atom_by_atom(model, composition, rank),
            false => Err(exhausted(composition, all.len(), &found)),
        };
    };
    let (template, proposal) = match source {
        Source::Known(proposal) => (proposal.template.clone(), Some(proposal.clone())),
        Source::Exchanged(found) => (found.template.clone(), model.proposal_site_by_site(found)),
        Source::Written(draft) => match model.lettered(composition, draft) {
            Some(found) => found,
            None => return Err(exhausted(composition, all.len(), &found)),
        },
    };
    Ok(answer(rank, template, proposal, *log_probability))
}

fn answer(
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

/// All candidates in their order.
fn ordered(
    model: &Orbit,
    params: &Params,
    (composition, group): (&Composition, Option<u16>),
    (found, known): (&Candidates, Vec<(Proposal, f64)>),
) -> Result<Vec<Candidate>, ModelError> {
    let library = model.known.library();
    let templates: Vec<Template> = known.iter().map(|(proposal, _)| proposal.template.clone()).collect();
    let further = model.exchanges.further(library, composition, group, &templates);
    let mut known = known.into_iter().map(|(proposal, likely)| Candidate {
        source: Source::Known(proposal),
        log_probability: Some(likely),
    });
    let exchanged = further
        .into_iter()
        .map(|found| Candidate { source: Source::Exchanged(found), log_probability: None });
    let mut given: Vec<Candidate> = known.by_ref().take(SUBSTITUTED_FIRST).collect();
    given.extend(in_turns(exchanged, known));
    // Of cells larger than any of the training set the writer knows nothing.
    let is_known_size = composition.num_atoms() <= model.statistics.max_atoms;
    let Some(writer) = model.writer.as_ref().filter(|_| is_known_size) else { return Ok(given) };
    let nearest = model.exchanges.all(library, composition, group);
    let ground = Ground::of_request(library, composition, found.ballot.as_ref().ok(), &nearest);
    let likely = mixed(&ground.asked, given, |drafts| Written::new(writer, params, &ground, group, drafts))?;
    Ok(spread(likely))
}

/// What is given and what is written, by the weighted mean of the probabilities of judge and writer, each with its place among
/// those given.
fn mixed(
    asked: &Asked,
    given: Vec<Candidate>,
    written: impl FnOnce(&[Draft]) -> Result<Written, ModelError>,
) -> Result<Vec<(Option<usize>, Candidate)>, ModelError> {
    let draft = |candidate: &Candidate| match &candidate.source {
        Source::Known(proposal) => asked.own(&proposal.template),
        Source::Exchanged(found) => asked.own(&found.template),
        Source::Written(draft) => Some(draft.clone()),
    };
    // Behind these are those which nobody asks for in practice.
    let drafts: Vec<Option<Draft>> = given.iter().take(MOST_READ).map(draft).collect();
    let read: Vec<Draft> = drafts.iter().flatten().cloned().collect();
    let Written { best, others } = written(&read)?;
    let mut probabilities: HashMap<Draft, f64> = HashMap::new();
    for (draft, likely) in best.iter().map(|(draft, likely)| (draft, *likely)).chain(read.iter().zip(others))
    {
        probabilities.insert(draft.clone(), WRITER * likely.exp());
    }
    for (candidate, draft) in given.iter().zip(&drafts) {
        if let (Some(judged), Some(draft)) = (candidate.log_probability, draft) {
            *probabilities.entry(draft.clone()).or_default() += (1.0 - WRITER) * judged.exp();
        }
    }
    let mut times: HashMap<Draft, usize> = HashMap::new();
    let (mut scored, mut unread) = (Vec::new(), Vec::new());
    let written = best.into_iter().map(|(draft, _)| {
        let candidate = Candidate { source: Source::Written(draft.clone()), log_probability: None };
        (None, candidate, Some(draft))
    });
    let drafts = drafts.into_iter().chain(std::iter::repeat(None));
    let given =
        given.into_iter().zip(drafts).enumerate().map(|(i, (candidate, draft))| (Some(i), candidate, draft));
    for (place, mut candidate, draft) in given.chain(written) {
        let Some(draft) = draft else {
            unread.push((place, candidate));
            continue;
        };
        let likely = probabilities.get(&draft).copied().unwrap_or_default().ln();
        let times = times.entry(draft).or_default();
        // What is written is no other template than what was given.
        if place.is_none() && *times > 0 {
            continue;
        }
        candidate.log_probability = likely.is_finite().then_some(likely);
        scored.push((likely - REPEATED * *times as f64, (place, candidate)));
        *times += 1;
    }
    // Stable: equal ones stay in their order.
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(scored.into_iter().map(|(_, candidate)| candidate).chain(unread).collect())
}

/// The likeliest first; behind these the ones given, in their own order, take turns with what is left: where probabilities are
/// small, the distance from a known crystal tells as much.
fn spread(likely: Vec<(Option<usize>, Candidate)>) -> Vec<Candidate> {
    let mut likely = likely.into_iter();
    let mut all: Vec<Candidate> =
        likely.by_ref().take(LIKELIEST_FIRST).map(|(_, candidate)| candidate).collect();
    let mut rest: Vec<(Option<usize>, Option<Candidate>)> =
        likely.map(|(place, c)| (place, Some(c))).collect();
    let mut given: Vec<usize> = (0..rest.len()).filter(|&i| rest[i].0.is_some()).collect();
    given.sort_by_key(|&i| rest[i].0);
    // Each once, and at each turn one that has not come before.
    let (mut given, mut others) = (given.into_iter(), 0..rest.len());
    let mut is_given = true;
    loop {
        let next = match is_given {
            true => given.find_map(|i| rest[i].1.take()),
            false => others.find_map(|i| rest[i].1.take()),
        };
        match next {
            Some(candidate) => all.push(candidate),
            None if !is_given => return all,
            None => {}
        }
        is_given = !is_given;
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
