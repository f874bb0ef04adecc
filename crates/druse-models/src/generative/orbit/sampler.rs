//! Sampling: Euler steps towards the predicted end.

use druse_crystal::{Composition, Lattice, SpaceGroup, Structure, Template, wrap_unit};
use druse_nn::Params;
use druse_nn::memory::to_host;
use nalgebra::Vector3;
use serde_json::Value;

use super::cell::{self, COORDINATES};
use super::config::Begin;
use super::judge::Ballot;
use super::model::Orbit;
use super::objective::{anywhere, beside, earlier};
use super::pairs::Pairs;
use super::proposal::Proposal;
use super::tokens::{Earlier, Frame, Origin, Place, Tokens, parameters_of};
use crate::process::Noise;
use crate::{InFlight, ModelError, SampleRequest};

/// Times that a start is drawn.
const TRIES: usize = 100;

/// One crystal on its way.
pub struct State {
    template: Template,
    frame: Frame,
    /// Standardized numbers of the cell.
    cell: [f64; COORDINATES],
    /// Free parameters of the sites.
    parameters: Vec<[f64; 3]>,
    /// What these are: conventional cell, fractional coordinates, what sites see of each other.
    lattice: Lattice,
    frac: Vec<[f64; 3]>,
    pairs: Pairs,
    earlier: Option<Earlier>,
    /// The known crystal that it began at.
    origin: Option<Origin>,
    /// What is said of it.
    properties: Vec<(&'static str, Value)>,
}

/// Time before a step: later steps are shorter.
fn time(step: usize, steps: usize) -> f64 {
    1.0 - (1.0 - step as f64 / steps as f64).powf(1.5)
}

/// Cell, fractional coordinates and pairs of the numbers of a crystal.
fn placed(
    model: &Orbit,
    frame: &Frame,
    numbers: [f64; COORDINATES],
    parameters: &[[f64; 3]],
) -> Result<(Lattice, Vec<[f64; 3]>, Pairs), ModelError> {
    let system = frame.group.lattice_system();
    let lattice = cell::cell(system, model.restored(frame, numbers))
        .map_err(|e| ModelError::Output(format!("the cell became none: {e}")))?;
    let frac: Vec<[f64; 3]> =
        frame.positions.iter().zip(parameters).map(|(w, u)| w.point(&u[..w.freedom()])).collect();
    let pairs = model.radial.pairs(frame.group, &lattice, &frame.positions, &frac);
    let pairs = pairs.ok_or_else(|| {
        let p = lattice.parameters().map(|x| format!("{x:.2}")).join(", ");
        ModelError::Output(format!("the cell became too flat or long: {p}"))
    })?;
    Ok((lattice, frac, pairs))
}

/// What a request is answered with, before its numbers are known.
struct Answer {
    template: Template,
    proposal: Option<Proposal>,
    properties: Vec<(&'static str, Value)>,
}

/// So many templates come from substitution alone; behind them those of exchanges site by site take turns with its others.
const SUBSTITUTED_FIRST: usize = 12;

/// The template that comes at the place of the request: those that known crystals become when elements are exchanged, the
/// likeliest first, and those of exchanges site by site.
fn answer(
    model: &Orbit,
    params: &Params,
    request: &SampleRequest,
    noise: &mut Noise,
) -> Result<Answer, ModelError> {
    let conditions = &request.conditions;
    let Some(composition) = &conditions.composition else {
        let template = model.template(conditions, noise)?;
        return Ok(Answer { template, proposal: None, properties: Vec::new() });
    };
    let (group, among) = (conditions.space_group, model.config.judge.among);
    let ballot = Ballot::new(model.known.library(), composition, group, None, None, among);
    let mut counted = match &ballot {
        Ok(ballot) => ballot.counted(&model.judge, params)?,
        // Exchanges site by site are left.
        Err(_) => Vec::new(),
    };
    counted.truncate(model.sampling.proposals);
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
    let mut known = Vec::new();
    for (k, log_probability) in counted {
        let near = ballot.as_ref().map(|ballot| &ballot.near[k]);
        let Some(proposal) = near.ok().and_then(|near| model.proposal(near, k)) else { continue };
        if known.len() == place && place < SUBSTITUTED_FIRST {
            return Ok(of_known(proposal, log_probability));
        }
        known.push((proposal, log_probability));
    }
    let templates: Vec<Template> = known.iter().map(|(proposal, _)| proposal.template.clone()).collect();
    let others = known.split_off(known.len().min(SUBSTITUTED_FIRST));
    let behind = place - known.len();
    let library = model.known.library();
    let further = model.exchanges.further(library, composition, group, &templates, behind.saturating_add(1));
    let all = templates.len() + further.len();
    match nth_of_turns(further, others, behind) {
        Some(Turn::First(found)) => {
            let mut properties = vec![rank];
            let proposal = model.proposal_site_by_site(&found);
            properties.extend(proposal.iter().flat_map(|proposal| {
                [("distance", proposal.distance.into()), ("parent", proposal.parent.clone().into())]
            }));
            let template = proposal.as_ref().map_or(found.template, |proposal| proposal.template.clone());
            Ok(Answer { template, proposal, properties })
        }
        Some(Turn::Second((proposal, log_probability))) => Ok(of_known(proposal, log_probability)),
        None if all == 0 && group.is_none_or(|group| group == 1) && !model.sampling.templates_only => {
            let (atoms, largest) = (composition.num_atoms(), model.statistics.max_atoms);
            if atoms > largest {
                let formula = composition.formula();
                return Err(ModelError::Condition(format!(
                    "{formula} has {atoms} atoms; crystals without a template have at most {largest}, as in the training set"
                )));
            }
            let remark =
                "no known crystal has a template for this composition: every atom is drawn by itself";
            let properties = vec![rank, ("remark", remark.into())];
            Ok(Answer { template: every_atom(composition)?, proposal: None, properties })
        }
        None => {
            let formula = composition.formula();
            Err(ModelError::Condition(match (all, ballot) {
                (0, Err(why)) => format!("no template for {formula}: {why}"),
                (0, Ok(_)) => format!("no template for {formula} in this space group is in the training set"),
                (all, _) => format!("no further template for {formula}: there are {all} in all"),
            }))
        }
    }
}

/// P1 with every atom on its general position.
fn every_atom(composition: &Composition) -> Result<Template, ModelError> {
    let wrong = |e: &dyn std::fmt::Display| ModelError::Condition(e.to_string());
    let p1 = SpaceGroup::new(1).map_err(|e| wrong(&e))?;
    let atoms = composition.iter().flat_map(|(element, n)| std::iter::repeat_n((element, 'a'), n as usize));
    Template::new(p1, atoms.collect()).map_err(|e| wrong(&e))
}

/// Whose turn it is.
#[derive(Debug, PartialEq)]
enum Turn<A, B> {
    First(A),
    Second(B),
}

/// What comes at a place (from 0) where two lists take turns, the first one first, until both are used up.
fn nth_of_turns<A, B>(mut first: Vec<A>, mut second: Vec<B>, place: usize) -> Option<Turn<A, B>> {
    let both = 2 * first.len().min(second.len());
    if place < both {
        let k = place / 2;
        return Some(match place % 2 {
            0 => Turn::First(first.swap_remove(k)),
            _ => Turn::Second(second.swap_remove(k)),
        });
    }
    let k = place - both / 2;
    match first.len() > second.len() {
        true => (k < first.len()).then(|| Turn::First(first.swap_remove(k))),
        false => (k < second.len()).then(|| Turn::Second(second.swap_remove(k))),
    }
}

impl State {
    pub(super) fn start(model: &Orbit, params: &Params, request: &SampleRequest) -> Result<Self, ModelError> {
        let mut noise = Noise::new(request.seed, request.index);
        let Answer { template, proposal, properties } = answer(model, params, request, &mut noise)?;
        let frame = Frame::new(&template);
        let begin = model.sampling.begin;
        let proposal = proposal.filter(|_| begin != Begin::Anywhere);
        let spread = if begin == Begin::Stays { 0.0 } else { model.config.flow.known_noise };
        let mut failure = None;
        for _ in 0..TRIES {
            let (cell, parameters) = match &proposal {
                Some(known) => beside(model, &frame, known, spread, &mut noise),
                None => anywhere(&frame, &mut noise),
            };
            match placed(model, &frame, cell, &parameters) {
                Ok((lattice, frac, pairs)) => {
                    return Ok(Self {
                        origin: proposal.map(|p| p.origin),
                        earlier: None,
                        properties,
                        template,
                        frame,
                        cell,
                        parameters,
                        lattice,
                        frac,
                        pairs,
                    });
                }
                Err(e) => failure = Some(e),
            }
        }
        Err(failure.unwrap_or_else(|| ModelError::Output("no start was found".into())))
    }

    pub(super) fn species(&self) -> &[druse_crystal::Element] {
        &self.frame.elements
    }

    /// Whether it is what it began as.
    fn stays(&self, model: &Orbit) -> bool {
        self.origin.is_some() && model.sampling.begin == Begin::Stays
    }

    fn place(&self, time: f64) -> Place<'_> {
        let (frame, origin) = (&self.frame, self.origin.as_ref());
        Place { frame, origin, cell: self.cell, frac: &self.frac, time, pairs: &self.pairs }
    }

    /// A step towards a predicted end; the last one goes there.
    fn advance(&mut self, model: &Orbit, step: usize, end: Earlier) -> Result<(), ModelError> {
        if end.cell.iter().chain(end.displacements.iter().flatten()).any(|x| !x.is_finite()) {
            return Err(ModelError::Output(format!("a number that is not finite at step {step}")));
        }
        let steps = model.sampling.evaluations;
        let (now, next) = (time(step, steps), time(step + 1, steps));
        let part = |push: f64| match step + 1 == steps {
            true => 1.0,
            false => ((next - now) / (1.0 - now) * (1.0 + push * now)).min(1.0),
        };
        let (cells, positions) = (part(model.sampling.cell_push), part(model.sampling.position_push));
        let mut numbers = self.cell;
        for &i in cell::free(self.frame.group.lattice_system()) {
            numbers[i] += cells * (f64::from(end.cell[i]) - numbers[i]);
        }
        let mut parameters = self.parameters.clone();
        for ((u, w), d) in parameters.iter_mut().zip(&self.frame.positions).zip(&end.displacements) {
            let d = Vector3::from(d.map(f64::from)) * self.pairs.scale;
            let change = parameters_of(w, &self.lattice, d);
            *u = std::array::from_fn(|i| wrap_unit(u[i] + positions * change[i]));
        }
        let (lattice, frac, pairs) = placed(model, &self.frame, numbers, &parameters)?;
        (self.cell, self.parameters, self.lattice, self.frac, self.pairs) =
            (numbers, parameters, lattice, frac, pairs);
        self.earlier = Some(end);
        Ok(())
    }

    /// The primitive cell with all atoms.
    pub(super) fn finish(self) -> Result<Structure, ModelError> {
        let own = self.frame.positions.iter().zip(&self.parameters);
        let coordinates: Vec<f64> = own.flat_map(|(w, u)| u[..w.freedom()].to_vec()).collect();
        let structure = self.template.structure(&self.lattice, &coordinates);
        let mut structure = structure.map_err(|e| ModelError::Output(e.to_string()))?.primitive();
        let said = self.properties.into_iter().map(|(name, value)| (name.to_owned(), value));
        structure.properties.extend(said);
        structure.properties.insert("template".to_owned(), self.template.to_string().into());
        Ok(structure)
    }
}

/// One network call for crystals that may be at different steps. When it fails, no crystal has moved.
pub(super) fn step(
    model: &Orbit,
    params: &Params,
    crystals: &mut [InFlight<State>],
) -> Result<(), ModelError> {
    let steps = model.sampling.evaluations;
    let mut moving: Vec<_> = crystals.iter_mut().filter(|c| !c.state.stays(model)).collect();
    if moving.is_empty() {
        return Ok(());
    }
    let places: Vec<Place<'_>> = moving.iter().map(|c| c.state.place(time(c.step, steps))).collect();
    let mut tokens = Tokens::new(&places, &model.config.network);
    tokens.set_earlier(moving.iter().map(|c| c.state.earlier.as_ref()));
    let ends = params.scope(|| model.network.forward(params, &tokens));
    let (cells, displacements) = (to_host(ends.cells)?, to_host(ends.displacements)?);
    let ends = earlier(&tokens, &cells, &displacements);
    for (crystal, end) in moving.iter_mut().zip(ends) {
        let step = crystal.step;
        if let Err(error) = crystal.state.advance(model, step, end) {
            crystal.fail(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_turns() {
        let all = |first: &[u8], second: &[char]| -> String {
            let nth = |place| match nth_of_turns(first.to_vec(), second.to_vec(), place)? {
                Turn::First(a) => Some(a.to_string()),
                Turn::Second(b) => Some(b.to_string()),
            };
            (0..).map_while(nth).collect()
        };
        assert_eq!(all(&[1, 2, 3, 4], &['a', 'b']), "1a2b34");
        assert_eq!(all(&[1], &['a', 'b', 'c']), "1abc");
        assert_eq!(all(&[], &['a']), "a");
        assert_eq!(all(&[], &[]), "");
    }
}
