//! Sampling: latents to aggregate quantities, then annealed Langevin dynamics (spec 1.9, Algorithm 1 of the paper).

use burn::tensor::activation;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::Params;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::device::is_host;
use druse_nn::graph::CutoffSearch;
use druse_nn::memory::{ComputeError, to_host};
use druse_nn::ops::{matrix, with_idle_threads};
use rayon::prelude::*;

use super::decoder::DecoderInput;
use super::model::Cdvae;
use crate::engine::{in_micro_batches, too_large};
use crate::process::Noise;
use crate::{
    Condition, Generator, LatentCondition, MicroBatchLimit, ModelError, SampleRequest, Sampled, Sampler,
};

/// One crystal on its way from noise.
struct State {
    ticket: u64,
    species: Vec<Element>,
    /// Whether the species are given and stay.
    species_given: bool,
    frac: Vec<[f64; 3]>,
    /// The cell with what the neighbour search knows of it.
    search: CutoffSearch,
    /// What the latent adds to the embedding of each atom; does not change on the way.
    projection: Vec<f32>,
    noise: Noise,
    /// Steps made.
    step: usize,
    failure: Option<ModelError>,
}

/// Whole numbers of atoms for shares of elements that add up to `atoms`: shares rounded to even, the rest drawn from
/// what rounding lost, all in random order (CDVAE's rule).
pub(crate) fn draw_composition(shares: &[f64], atoms: usize, noise: &mut Noise) -> Vec<usize> {
    let counts: Vec<f64> = shares.iter().map(|p| (p * atoms as f64).round_ties_even()).collect();
    let mut drawn: Vec<usize> =
        counts.iter().enumerate().flat_map(|(i, &n)| std::iter::repeat_n(i, n as usize)).collect();
    if drawn.len() < atoms {
        let lost: Vec<f64> =
            shares.iter().zip(&counts).map(|(p, n)| (p - n / atoms as f64).max(0.0)).collect();
        let total: f64 = lost.iter().sum();
        while drawn.len() < atoms {
            let mut rest = noise.uniform() * total;
            let index = lost.iter().position(|w| {
                rest -= w;
                rest < 0.0
            });
            // Rounding errors may leave the end of the list; the element that lost most is then as good.
            let largest = || (0..lost.len()).max_by(|&a, &b| lost[a].total_cmp(&lost[b])).unwrap_or(0);
            drawn.push(index.unwrap_or_else(largest));
        }
    }
    for i in (1..drawn.len()).rev() {
        drawn.swap(i, noise.below(i + 1));
    }
    drawn.truncate(atoms);
    drawn
}

fn largest(values: &[f32]) -> usize {
    // The first of equal ones.
    (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0)
}

fn element(index: usize) -> Result<Element, ModelError> {
    Element::from_z(index as i64 + 1).map_err(|e| ModelError::Output(e.to_string()))
}

impl State {
    fn start(
        model: &Cdvae,
        params: &Params,
        ticket: u64,
        request: &SampleRequest,
    ) -> Result<Self, ModelError> {
        model.check(request)?;
        let mut noise = Noise::new(request.seed, request.index);
        let given = match &request.condition {
            Condition::Latent(given) => given.clone(),
            _ => LatentCondition::new((0..model.config.latent).map(|_| noise.normal() as f32).collect()),
        };
        let z = matrix(given.latent, model.config.latent, params.device());
        let (said, projection) = params
            .scope(|| (model.aggregates(params, &z), model.decoder.latent_projection(params, z.clone())));
        let atoms = match (&given.species, given.atoms) {
            (Some(species), _) => species.len(),
            (None, Some(atoms)) => atoms,
            (None, None) => largest(&to_host(said.num_atoms)?),
        };
        if atoms == 0 {
            return Err(ModelError::Output("the latent stands for a cell without atoms".into()));
        }
        let cell = model.cell_parameters(&to_host(said.lattice)?, atoms);
        let lattice = Lattice::from_parameters(cell).map_err(|e| ModelError::Output(e.to_string()))?;
        let composition = to_host(activation::softmax(said.composition, 1))?;
        if composition.iter().any(|p| !p.is_finite()) {
            return Err(ModelError::Output("a composition that is not finite".into()));
        }
        let shares: Vec<f64> = composition.iter().map(|&p| f64::from(p)).collect();
        let species_given = given.species.is_some();
        let species = match given.species {
            Some(species) => species,
            None => draw_composition(&shares, atoms, &mut noise)
                .into_iter()
                .map(element)
                .collect::<Result<_, _>>()?,
        };
        let frac = species.iter().map(|_| std::array::from_fn(|_| noise.uniform())).collect();
        Ok(Self {
            ticket,
            species,
            species_given,
            frac,
            search: model.config.decoder.search(lattice),
            projection: to_host(projection)?,
            noise,
            step: 0,
            failure: None,
        })
    }

    fn in_flight(&self, model: &Cdvae) -> bool {
        self.failure.is_none() && self.step < model.langevin.total_steps()
    }

    fn advance(&mut self, model: &Cdvae, scores: &[f32], logits: &[f32]) -> Result<(), ModelError> {
        let step = self.step;
        self.step += 1;
        if scores.iter().chain(logits).any(|x| !x.is_finite()) {
            return Err(ModelError::Output(format!("a number that is not finite at step {step}")));
        }
        model.langevin.advance(step, self.search.lattice(), &mut self.frac, scores, &mut self.noise);
        if !self.species_given {
            for (species, logits) in self.species.iter_mut().zip(logits.chunks_exact(MAX_ELEMENT.into())) {
                *species = element(largest(logits))?;
            }
        }
        Ok(())
    }

    /// As a failure, where the device computed nothing for this crystal.
    fn refuse(&mut self, e: ModelError) {
        let alone = matches!(e, ModelError::Compute(ComputeError::OutOfMemory(_)));
        self.failure = Some(if alone { too_large(&self.species) } else { e });
    }

    fn finish(self) -> Sampled {
        let result = match self.failure {
            Some(e) => Err(e),
            None => Structure::new(*self.search.lattice(), self.species, self.frac)
                .map_err(|e| ModelError::Output(e.to_string())),
        };
        Sampled { ticket: self.ticket, result }
    }
}

/// The dynamics of the crystals in flight.
pub(crate) struct CdvaeSampler<'a> {
    model: &'a Cdvae,
    params: &'a Params,
    limit: &'a MicroBatchLimit,
    states: Vec<State>,
    /// Requests that failed before their first step.
    stillborn: Vec<Sampled>,
}

impl<'a> CdvaeSampler<'a> {
    pub fn new(model: &'a Cdvae, params: &'a Params, limit: &'a MicroBatchLimit) -> Self {
        Self { model, params, limit, states: Vec::new(), stillborn: Vec::new() }
    }
}

/// One network call for crystals in flight, which may be at different steps. When it fails, no crystal has moved.
fn step_together(model: &Cdvae, params: &Params, states: &mut [State]) -> Result<(), ModelError> {
    let crystals: Vec<_> = states.iter().map(|s| (&s.search, s.frac.as_slice())).collect();
    let input = DecoderInput::from_searches(&model.config.decoder, &crystals);
    let species: Vec<Element> = states.iter().flat_map(|s| &s.species).copied().collect();
    let projection: Vec<f32> = states.iter().flat_map(|s| &s.projection).copied().collect();
    let projection = matrix(projection, model.config.decoder.hidden, params.device());
    let output = params.scope(|| model.decoder.forward(params, &input, &species, projection));
    let (vectors, logits) = (to_host(output.vectors)?, to_host(output.logits)?);
    let (mut vectors, mut logits) = (vectors.as_slice(), logits.as_slice());
    for state in states {
        let (v, other_vectors) = vectors.split_at(3 * state.species.len());
        let (l, other_logits) = logits.split_at(usize::from(MAX_ELEMENT) * state.species.len());
        (vectors, logits) = (other_vectors, other_logits);
        if let Err(e) = state.advance(model, v, l) {
            state.failure = Some(e);
        }
    }
    Ok(())
}

impl Sampler for CdvaeSampler<'_> {
    fn total_steps(&self) -> usize {
        self.model.langevin.total_steps()
    }

    fn add(&mut self, ticket: u64, request: &SampleRequest) -> Result<(), ModelError> {
        self.model.check(request)?;
        match State::start(self.model, self.params, ticket, request) {
            Ok(state) => self.states.push(state),
            Err(e) => self.stillborn.push(Sampled { ticket, result: Err(e) }),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.states.len() + self.stillborn.len()
    }

    fn atoms(&self) -> usize {
        self.states.iter().map(|s| s.species.len()).sum()
    }

    fn step(&mut self) -> Vec<Sampled> {
        let (model, params) = (self.model, self.params);
        if is_host(params.device()) {
            // Rows of a product do not depend on each other: a crystal's numbers are the same whatever is beside it.
            let micro_batches = self.limit.cut(self.states.iter().map(|s| s.species.len()));
            let mut rest = self.states.as_mut_slice();
            let mut work = Vec::with_capacity(micro_batches.len());
            for micro_batch in micro_batches {
                let (states, others) = rest.split_at_mut(micro_batch.len());
                work.push(states);
                rest = others;
            }
            work.into_par_iter().for_each(|states| {
                if let Err(e) = with_idle_threads(|| step_together(model, params, states)) {
                    states.iter_mut().for_each(|s| s.failure = Some(e.clone()));
                }
            });
        } else {
            let work = |states: &mut [State]| step_together(model, params, states);
            in_micro_batches(&mut self.states, self.limit, |s| s.species.len(), work, State::refuse);
        }
        let done = self.states.extract_if(.., |s| !s.in_flight(model)).map(State::finish);
        self.stillborn.drain(..).chain(done).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compositions_keep_whole_numbers_and_draw_the_rest() {
        let mut noise = Noise::new(1, 0);
        let mut all = draw_composition(&[0.2, 0.2, 0.6], 5, &mut noise);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 2, 2]);
        // 2.5 rounds to the even 2, so one of six is drawn from the two that lost.
        let mut seen = [0; 3];
        for i in 0..600 {
            let drawn = draw_composition(&[0.5, 0.5, 0.0], 5, &mut Noise::new(7, i));
            let first = drawn.iter().filter(|&&e| e == 0).count();
            assert!(drawn.len() == 5 && (first == 2 || first == 3), "{drawn:?}");
            seen[first - 2] += 1;
        }
        assert!((seen[0] as f64 - 300.0).abs() < 75.0, "{seen:?}");
        // Rounding up may give too many; they are cut after shuffling.
        assert_eq!(draw_composition(&[0.36, 0.32, 0.32], 5, &mut noise).len(), 5);
    }

    #[test]
    fn the_first_of_equal_values_is_the_largest() {
        assert_eq!(largest(&[0.0, 2.0, 2.0, 1.0]), 1);
    }
}
