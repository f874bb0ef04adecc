//! Sampling: annealed Langevin dynamics of positions and cells in turns (Sultanov et al. 2023, Algorithm 1; steps as in the
//! published code).

use std::sync::Arc;

use druse_crystal::{
    DistinctSite, Element, Lattice, SettleTolerances, SpaceGroup, Structure, SymmetricStructure,
    WyckoffPosition, wrap_unit,
};
use druse_nn::Params;
use druse_nn::graph::{SymmetricEdges, SymmetricGraph};
use druse_nn::memory::to_host;
use nalgebra::{Matrix3, Vector3};

use super::config::Letters;
use super::corruption::{checked_edges, projections};
use super::crystals::NoEdges;
use super::model::Adaptive;
use super::scores::{CELL, Directions};
use crate::process::{Noise, cell_coordinates};
use crate::{InFlight, ModelError, SampleRequest};

/// Standard deviation of the cell coordinates of angles at the start: angles of about 70 to 110°.
const ANGLE_START: f64 = 0.3;
/// Times that a cell is drawn at the start.
const START_TRIES: usize = 100;

/// One crystal on its way from noise.
pub struct State {
    group: &'static SpaceGroup,
    species: Vec<Element>,
    /// Of each site, where it was asked for.
    positions: Vec<Option<&'static WyckoffPosition>>,
    /// Free cell coordinates.
    free: Vec<f64>,
    /// The conventional cell.
    cell: Lattice,
    /// Fractional coordinates in it.
    frac: Vec<[f64; 3]>,
    /// Edges of the sites as they are.
    edges: SymmetricEdges,
    noise: Noise,
}

/// What a step moves.
#[derive(Clone, Copy, PartialEq)]
enum Moves {
    Sites,
    Cell,
}

/// What a step moves, and at which level.
fn turn(model: &Adaptive, step: usize) -> (Moves, usize) {
    let moves = if step.is_multiple_of(2) { Moves::Sites } else { Moves::Cell };
    let done = step / 2 / model.sampling.steps_per_level;
    (moves, model.config.noise.levels - 1 - done)
}

fn lost(error: NoEdges) -> ModelError {
    ModelError::Output(error.0)
}

impl State {
    pub(super) fn start(model: &Adaptive, request: &SampleRequest) -> Result<Self, ModelError> {
        let condition = |e: &dyn std::fmt::Display| ModelError::Condition(e.to_string());
        let (Some(number), Some(sites)) = (request.conditions.space_group, &request.conditions.sites) else {
            return Err(ModelError::Condition("a space group and sites are needed".into()));
        };
        let group = SpaceGroup::new(number).map_err(|e| condition(&e))?;
        let mut noise = Noise::new(request.seed, request.index);
        let mut letters: Vec<Option<char>> = sites.iter().map(|site| site.wyckoff).collect();
        if model.sampling.letters == Letters::Drawn && letters.iter().all(Option::is_none) {
            letters = model.statistics.positions.drawn_letters(number, sites.len(), &mut noise);
        }
        let positions = letters
            .into_iter()
            .map(|letter| letter.map(|letter| group.wyckoff(letter)).transpose())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| condition(&e))?;
        let system = group.lattice_system();
        let mut failure = NoEdges(String::new());
        for _ in 0..START_TRIES {
            let free: Vec<f64> = system
                .free_parameters()
                .iter()
                .map(|&i| if i < 3 { model.sampling.cell_start } else { ANGLE_START } * noise.normal())
                .collect();
            let frac: Vec<[f64; 3]> = positions
                .iter()
                .map(|position| {
                    let drawn: [f64; 3] = std::array::from_fn(|_| noise.uniform());
                    match position {
                        Some(position) => position.point(&drawn[..position.freedom()]),
                        None => drawn,
                    }
                })
                .collect();
            match place(model, group, &free, &frac) {
                Ok((cell, edges)) => {
                    let species = sites.iter().map(|site| site.element).collect();
                    return Ok(Self { group, species, positions, free, cell, frac, edges, noise });
                }
                Err(e) => failure = e,
            }
        }
        Err(lost(failure))
    }

    pub(super) fn species(&self) -> &[Element] {
        &self.species
    }

    /// Onto the position of each site; absent where no site has one.
    fn projections(&self) -> Option<Vec<Matrix3<f64>>> {
        let any = self.positions.iter().any(Option::is_some);
        any.then(|| projections(&self.cell, self.positions.iter().copied()))
    }

    /// Whether no site can move.
    fn is_fixed(&self) -> bool {
        self.positions.iter().all(|position| position.is_some_and(WyckoffPosition::is_fixed))
    }

    /// `x ← x - e/2 ε/σ + √e z` for the sites; eps has three numbers for each.
    fn move_sites(&mut self, model: &Adaptive, level: usize, eps: &[f32]) -> Result<(), ModelError> {
        let (levels, sampling) = (&model.levels.positions, &model.sampling);
        let sigma = levels.sigma(level);
        let step = sampling.position_step * (sigma / levels.sigma(0)).powi(2);
        let projections = self.projections();
        let mut frac = self.frac.clone();
        for (i, (f, eps)) in frac.iter_mut().zip(eps.chunks_exact(3)).enumerate() {
            let drift = Vector3::from_fn(|k, _| f64::from(eps[k])) * (-0.5 * step / sigma);
            let mut change = drift + Vector3::from_fn(|_, _| self.noise.normal()) * step.sqrt();
            if let Some(projections) = &projections {
                change = projections[i] * change;
            }
            let change = self.cell.to_fractional(change.into());
            *f = std::array::from_fn(|k| f[k] + change[k]);
            *f = match self.positions[i] {
                // Whole cells are taken off at the end: the position's own subspace need not pass through all cells.
                Some(position) => position.project(*f),
                None => f.map(wrap_unit),
            };
        }
        let (cell, edges) = place(model, self.group, &self.free, &frac).map_err(lost)?;
        (self.cell, self.edges, self.frac) = (cell, edges, frac);
        Ok(())
    }

    /// `u ← u - e/2 ε/σ + λ √e z` for the free cell coordinates, drawn again where that leaves no cell.
    fn move_cell(&mut self, model: &Adaptive, level: usize, eps: &[f32]) -> Result<(), ModelError> {
        let (levels, sampling) = (&model.levels.cells, &model.sampling);
        let sigma = levels.sigma(level);
        let step = sampling.cell_step * (sigma / levels.sigma(0)).powi(2);
        let mut failure = NoEdges(String::new());
        for _ in 0..=sampling.retries {
            let mut free = self.free.clone();
            for (u, &eps) in free.iter_mut().zip(eps) {
                *u += -0.5 * step / sigma * f64::from(eps)
                    + step.sqrt() * sampling.cell_noise * self.noise.normal();
            }
            match place(model, self.group, &free, &self.frac) {
                Ok((cell, edges)) => {
                    (self.cell, self.edges, self.free) = (cell, edges, free);
                    return Ok(());
                }
                Err(e) => failure = e,
            }
        }
        Err(lost(failure))
    }

    /// The primitive cell with all atoms: sites that were asked for with a letter are on their positions, others move onto
    /// the special positions that they have come close to.
    pub(super) fn finish(self, model: &Adaptive) -> Result<Structure, ModelError> {
        let s = &model.sampling;
        let tolerances = SettleTolerances { merge: s.merge, special: s.special, consistency: s.consistency };
        let letters: Option<Vec<char>> =
            self.positions.iter().map(|position| position.map(WyckoffPosition::letter)).collect();
        let structure = match letters {
            Some(letters) => {
                let sites = self.species.iter().zip(letters).zip(&self.frac);
                let sites = sites.map(|((&element, letter), &frac)| DistinctSite { element, letter, frac });
                SymmetricStructure::new(self.group, &self.cell, sites.collect())
            }
            None => {
                let sites: Vec<(Element, [f64; 3])> =
                    self.species.iter().copied().zip(self.frac.iter().copied()).collect();
                SymmetricStructure::settle(self.group, &self.cell, &sites, tolerances)
            }
        };
        structure.map(|s| s.primitive()).map_err(|e| ModelError::Output(e.to_string()))
    }
}

/// The conventional cell with these coordinates and the edges of sites in it.
fn place(
    model: &Adaptive,
    group: &SpaceGroup,
    free: &[f64],
    frac: &[[f64; 3]],
) -> Result<(Lattice, SymmetricEdges), NoEdges> {
    let cell = cell_coordinates::cell(group.lattice_system(), free).map_err(|e| NoEdges(e.to_string()))?;
    let edges = checked_edges(group, &cell, frac, model.joined())?;
    Ok((cell, edges))
}

/// One network call for crystals that may be at different steps. When it fails, no crystal has moved.
pub(super) fn step(
    model: &Adaptive,
    params: &Params,
    crystals: &mut [InFlight<State>],
) -> Result<(), ModelError> {
    let mut directions = Directions::default();
    let (mut edges, mut species, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    let mut moving = Vec::with_capacity(crystals.len());
    for crystal in crystals.iter_mut() {
        let (moves, level) = turn(model, crystal.step);
        let state = &crystal.state;
        match moves {
            // Sites that cannot move need no network.
            Moves::Sites if state.is_fixed() => {
                moving.push(None);
                continue;
            }
            Moves::Sites => directions.push_positions(&state.edges, state.projections().as_deref()),
            Moves::Cell => {
                if let Err(e) = directions.push_cell(&state.edges, state.group, &state.free) {
                    crystal.fail(ModelError::Output(e.to_string()));
                    moving.push(None);
                    continue;
                }
            }
        }
        edges.push(state.edges.clone());
        species.extend_from_slice(&state.species);
        levels.push(level as u32);
        moving.push(Some((moves, level)));
    }
    if edges.is_empty() {
        return Ok(());
    }
    let geometry = model.network.geometry(Arc::new(SymmetricGraph::join(&edges)), model.config.angles);
    let outputs = params.scope(|| model.network.forward(params, &geometry, &species, &levels));
    let host = |noise: Option<burn::tensor::Tensor<2>>| noise.map_or(Ok(Vec::new()), to_host);
    let (positions, cells) = (host(directions.of_positions(&outputs))?, host(directions.of_cells(&outputs))?);
    let (mut positions, mut cells) = (positions.as_slice(), cells.as_slice());
    for (crystal, moving) in crystals.iter_mut().zip(moving) {
        let Some((moves, level)) = moving else { continue };
        let state = &mut crystal.state;
        let (rest, count) = match moves {
            Moves::Sites => (&mut positions, 3 * state.species.len()),
            Moves::Cell => (&mut cells, CELL),
        };
        let (own, others) = rest.split_at(count);
        *rest = others;
        let moved = match moves {
            _ if own.iter().any(|x| !x.is_finite()) => {
                Err(ModelError::Output(format!("a number that is not finite at step {}", crystal.step)))
            }
            Moves::Sites => state.move_sites(model, level, own),
            Moves::Cell => state.move_cell(model, level, own),
        };
        if let Err(error) = moved {
            crystal.fail(error);
        }
    }
    Ok(())
}
