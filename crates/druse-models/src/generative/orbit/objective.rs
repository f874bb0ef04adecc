//! The training objective: the end of the path that leads from a random start to the crystal (conditional flow matching:
//! Lipman et al. 2023), each crystal at a time of its own.

use druse_crystal::{Structure, Template, WyckoffPosition};
use druse_nn::Params;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;

use super::cell::{self, COORDINATES};
use super::model::{Orbit, unusable};
use super::paths::{Parameters, directions};
use super::proposal::Proposal;
use super::tokens::{Earlier, Frame, Place, Tokens};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// Times that a start is drawn before a crystal counts as its own end.
const TRIES: usize = 20;
/// Latest time in training: at the end itself there is nothing left to tell.
const LATEST: f64 = 0.999;

/// A micro-batch with everything that needs no weights.
pub(super) struct PreparedMicroBatch<'a> {
    model: &'a Orbit,
    tokens: Tokens,
    crystals: usize,
    /// Whether each crystal sees an earlier prediction.
    conditioned: Vec<bool>,
    cells: Vec<f32>,
    cell_weights: Vec<f32>,
    displacements: Vec<f32>,
    displacement_weights: Vec<f32>,
}

/// Half uniform, half with more of the end, where details are decided: the logistic function of N(0.3, 1).
fn drawn_time(noise: &mut Noise) -> f64 {
    let uniform = noise.uniform() < 0.5;
    let (u, z) = (noise.uniform(), noise.normal());
    let t = if uniform { u } else { 1.0 / (1.0 + (-(0.3 + z)).exp()) };
    t.min(LATEST)
}

/// Numbers of a start: of the cell, standardized, and free parameters of the sites.
pub(super) type Start = ([f64; COORDINATES], Vec<Parameters>);

/// A start that tells nothing of the end.
pub(super) fn anywhere(frame: &Frame, noise: &mut Noise) -> Start {
    let mut numbers = [0.0; COORDINATES];
    cell::free(frame.group.lattice_system()).iter().for_each(|&i| numbers[i] = noise.normal());
    let site =
        |w: &&WyckoffPosition| std::array::from_fn(|i| if i < w.freedom() { noise.uniform() } else { 0.0 });
    (numbers, frame.positions.iter().map(site).collect())
}

/// A start beside a known crystal.
pub(super) fn beside(
    model: &Orbit,
    frame: &Frame,
    parent: &Proposal,
    spread: f64,
    noise: &mut Noise,
) -> Start {
    let mut numbers = model.normalized(frame, parent.cell);
    cell::free(frame.group.lattice_system()).iter().for_each(|&i| numbers[i] += spread * noise.normal());
    let lengths = cell::cell(frame.group.lattice_system(), parent.cell).map(|lattice| {
        let scale = (lattice.volume() / (frame.atoms() * frame.group.centring().order()) as f64).cbrt();
        let columns = lattice.matrix().transpose();
        move |w: &WyckoffPosition, i: usize| (columns * directions(w)).column(i).norm() / scale
    });
    let site = |(w, &frac): (&&WyckoffPosition, &[f64; 3])| {
        let own = w.parameters(frac);
        std::array::from_fn(|i| match (own.get(i), &lengths) {
            (Some(u), Ok(length)) => u + spread * noise.normal() / length(w, i),
            (Some(u), Err(_)) => *u,
            (None, _) => 0.0,
        })
    };
    (numbers, frame.positions.iter().zip(&parent.frac).map(site).collect())
}

/// One of the known crystals that have the template of a structure, the nearer ones more often: by the inverse of their place
/// among them.
fn known(model: &Orbit, s: &Structure, template: &Template, noise: &mut Noise) -> Option<Proposal> {
    let ballot = model.own_ballot(s, template);
    let own: Vec<_> = ballot.own_crystals().collect();
    let weight = |i: usize| 1.0 / (i + 1) as f64;
    let mut left = noise.uniform() * (0..own.len()).map(weight).sum::<f64>();
    let drawn = (0..own.len()).find(|&i| {
        left -= weight(i);
        left < 0.0
    });
    let &(place, near) = own.get(drawn?)?;
    model.proposal(near, place).filter(|proposal| proposal.template == *template)
}

impl<'a> PreparedMicroBatch<'a> {
    pub fn new(model: &'a Orbit, batch: &[&Structure], keys: &[NoiseKey]) -> Result<Self, ModelError> {
        let flow = &model.config.flow;
        let mut prepared = Vec::with_capacity(batch.len());
        let mut conditioned = Vec::with_capacity(batch.len());
        for (s, key) in batch.iter().zip(keys) {
            let described = model.described(s);
            let described = described.as_ref().as_ref().map_err(|reason| unusable(s, reason))?;
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            let template = described.crystal.template();
            let frame = Frame::new(&template);
            let system = frame.group.lattice_system();
            let end = model.normalized(&frame, described.cell);
            let time = drawn_time(&mut noise);
            conditioned.push(noise.uniform() < flow.self_conditioning);
            let parent = match noise.uniform() < flow.from_known {
                true => known(model, s, &template, &mut noise),
                false => None,
            };
            let mut drawn = None;
            for _ in 0..TRIES {
                let (start, starts) = match &parent {
                    Some(parent) => beside(model, &frame, parent, flow.known_noise, &mut noise),
                    None => anywhere(&frame, &mut noise),
                };
                let path = described.path(&starts);
                let now: [f64; COORDINATES] =
                    std::array::from_fn(|i| (1.0 - time) * start[i] + time * end[i]);
                let frac: Vec<[f64; 3]> = frame
                    .positions
                    .iter()
                    .zip(starts.iter().zip(&path))
                    .map(|(w, (u, step))| {
                        let u: [f64; 3] = std::array::from_fn(|i| u[i] + time * step[i]);
                        w.point(&u[..w.freedom()])
                    })
                    .collect();
                let Ok(lattice) = cell::cell(system, model.restored(&frame, now)) else { continue };
                let pairs = model.radial.pairs(frame.group, &lattice, &frame.positions, &frac);
                if let Some(pairs) = pairs {
                    drawn = Some((now, frac, path, lattice, pairs));
                    break;
                }
            }
            let drawn = drawn.ok_or_else(|| unusable(s, "no start with a cell was found"))?;
            prepared.push((frame, parent.map(|p| p.origin), end, time, drawn));
        }
        let places: Vec<Place<'_>> = prepared
            .iter()
            .map(|(frame, origin, _, time, (now, frac, _, _, pairs))| Place {
                frame,
                origin: origin.as_ref(),
                cell: *now,
                frac,
                time: *time,
                pairs,
            })
            .collect();
        let tokens = Tokens::new(&places, &model.config.network);
        let mut this = Self {
            model,
            tokens,
            crystals: batch.len(),
            conditioned,
            cells: Vec::new(),
            cell_weights: Vec::new(),
            displacements: Vec::new(),
            displacement_weights: Vec::new(),
        };
        for (frame, _, end, time, (_, _, path, lattice, pairs)) in &prepared {
            let weight = (1.0 - time).powi(-2).min(flow.most_weight);
            let free = cell::free(frame.group.lattice_system());
            this.cells.extend(end.iter().map(|&x| x as f32));
            let of_number = |i| if free.contains(&i) { (weight / free.len() as f64) as f32 } else { 0.0 };
            this.cell_weights.extend((0..COORDINATES).map(of_number));
            let to_cartesian = lattice.matrix().transpose();
            for (w, step) in frame.positions.iter().zip(path) {
                let rest: nalgebra::Vector3<f64> = nalgebra::Vector3::from(*step) * (1.0 - time);
                let d = to_cartesian * (directions(w) * rest) / pairs.scale;
                this.displacements.extend(d.iter().map(|&x| x as f32));
                let atoms = w.primitive_multiplicity() as f64;
                let moves = if w.is_fixed() { 0.0 } else { weight * atoms / frame.atoms() as f64 };
                this.displacement_weights.push(moves as f32);
            }
            this.displacements.extend([0.0; 3]);
            this.displacement_weights.push(0.0);
        }
        Ok(this)
    }

    /// The tokens with a first prediction beside what is known, for the crystals that see one.
    fn conditioned(&self, params: &Params) -> Result<Tokens, ModelError> {
        let ends = self.model.network.forward(params, &self.tokens);
        let (cells, displacements) = (to_host(ends.cells)?, to_host(ends.displacements)?);
        let earlier = earlier(&self.tokens, &cells, &displacements);
        let mut tokens = self.tokens.clone();
        tokens.set_earlier(earlier.iter().zip(&self.conditioned).map(|(e, &seen)| seen.then_some(e)));
        Ok(tokens)
    }
}

/// Predictions, crystal by crystal.
pub(super) fn earlier(tokens: &Tokens, cells: &[f32], displacements: &[f32]) -> Vec<Earlier> {
    let mut token = 0;
    let of_crystal = |(cell, &size): (&[f32], &u32)| {
        let sites = size as usize - 1;
        let own = displacements[3 * token..][..3 * sites].chunks_exact(3);
        token += sites + 1;
        Earlier {
            cell: std::array::from_fn(|i| cell[i]),
            displacements: own.map(|d| [d[0], d[1], d[2]]).collect(),
        }
    };
    cells.chunks_exact(COORDINATES).zip(tokens.sets.sizes()).map(of_crystal).collect()
}

impl Prepared for PreparedMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let conditioned;
        let tokens = if self.conditioned.contains(&true) {
            conditioned = self.conditioned(params)?;
            &conditioned
        } else {
            &self.tokens
        };
        let ends = self.model.network.forward(params, tokens);
        let device = params.device();
        let error = |values: &[f32], columns: usize, predicted: burn::tensor::Tensor<2>| {
            let difference = predicted - matrix(values.to_vec(), columns, device);
            difference.clone() * difference
        };
        let cell = error(&self.cells, COORDINATES, ends.cells)
            * matrix(self.cell_weights.clone(), COORDINATES, device);
        let position = error(&self.displacements, 3, ends.displacements)
            * matrix(self.displacement_weights.clone(), 1, device);
        let (w, count) = (&self.model.config.weights, self.crystals as f64);
        Ok(vec![
            LossTerm { name: "position", sum: position.sum(), count, weight: w.position },
            LossTerm { name: "cell", sum: cell.sum(), count, weight: w.cell },
        ])
    }
}
