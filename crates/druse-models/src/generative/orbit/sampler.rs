//! Sampling: Euler steps towards the predicted end.

use druse_crystal::{Lattice, Structure, Template, wrap_unit};
use druse_nn::Params;
use druse_nn::memory::to_host;
use nalgebra::Vector3;
use serde_json::Value;

use super::answer::Answer;
use super::cell::{self, COORDINATES};
use super::config::Begin;
use super::model::Orbit;
use super::objective::{anywhere, beside, earlier};
use super::pairs::Pairs;
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

impl State {
    pub(super) fn start(model: &Orbit, params: &Params, request: &SampleRequest) -> Result<Self, ModelError> {
        let mut noise = Noise::new(request.seed, request.index);
        let Answer { template, proposal, properties } = Answer::new(model, params, request, &mut noise)?;
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
