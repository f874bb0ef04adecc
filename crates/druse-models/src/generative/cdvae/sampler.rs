//! Sampling: latents to aggregate quantities, then annealed Langevin dynamics (Algorithm 1 of the paper).

use burn::tensor::activation;
use druse_crystal::{Element, Lattice, Structure};
use druse_nn::Params;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::graph::CutoffSearch;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;

use super::decoder::DecoderInput;
use super::model::Cdvae;
use crate::process::Noise;
use crate::{InFlight, ModelError, SampleRequest};

/// One crystal on its way from noise.
pub struct State {
    species: Vec<Element>,
    /// Whether the species are given and stay.
    species_given: bool,
    frac: Vec<[f64; 3]>,
    /// The cell with what the neighbor search knows of it.
    search: CutoffSearch,
    /// What the latent adds to the embedding of each atom; does not change on the way.
    projection: Vec<f32>,
    noise: Noise,
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
    pub(super) fn start(model: &Cdvae, params: &Params, request: &SampleRequest) -> Result<Self, ModelError> {
        let (given, width) = (&request.conditions, model.config.latent);
        let mut noise = Noise::new(request.seed, request.index);
        let latent = match &given.latent {
            Some(latent) => latent.clone(),
            None => (0..width).map(|_| noise.normal() as f32).collect(),
        };
        let z = matrix(latent, width, params.device());
        let (decoded, projection) = params
            .scope(|| (model.aggregates(params, &z), model.decoder.latent_projection(params, z.clone())));
        let given_species = given.species();
        let atoms = match (&given_species, given.num_atoms) {
            (Some(species), _) => species.len(),
            (None, Some(atoms)) => atoms,
            (None, None) => largest(&to_host(decoded.num_atoms)?),
        };
        if atoms == 0 {
            return Err(ModelError::Output("the latent stands for a cell without atoms".into()));
        }
        let cell = model.cell_parameters(&to_host(decoded.lattice)?, atoms);
        let lattice = Lattice::from_parameters(cell).map_err(|e| ModelError::Output(e.to_string()))?;
        let composition = to_host(activation::softmax(decoded.composition, 1))?;
        if composition.iter().any(|p| !p.is_finite()) {
            return Err(ModelError::Output("a composition that is not finite".into()));
        }
        let shares: Vec<f64> = composition.iter().map(|&p| f64::from(p)).collect();
        let species_given = given_species.is_some();
        let species = match given_species {
            Some(species) => species,
            None => draw_composition(&shares, atoms, &mut noise)
                .into_iter()
                .map(element)
                .collect::<Result<_, _>>()?,
        };
        let frac = species.iter().map(|_| std::array::from_fn(|_| noise.uniform())).collect();
        Ok(Self {
            species,
            species_given,
            frac,
            search: model.config.decoder.search(lattice),
            projection: to_host(projection)?,
            noise,
        })
    }

    pub(super) fn species(&self) -> &[Element] {
        &self.species
    }

    fn advance(
        &mut self,
        model: &Cdvae,
        step: usize,
        scores: &[f32],
        logits: &[f32],
    ) -> Result<(), ModelError> {
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

    pub(super) fn finish(self) -> Result<Structure, ModelError> {
        Structure::new(*self.search.lattice(), self.species, self.frac)
            .map_err(|e| ModelError::Output(e.to_string()))
    }
}

/// One network call for crystals that may be at different steps. When it fails, no crystal has moved.
pub(super) fn step(
    model: &Cdvae,
    params: &Params,
    crystals: &mut [InFlight<State>],
) -> Result<(), ModelError> {
    let states = || crystals.iter().map(|crystal| &crystal.state);
    let searches: Vec<_> = states().map(|s| (&s.search, s.frac.as_slice())).collect();
    let input = DecoderInput::from_searches(&model.config.decoder, &searches);
    let species: Vec<Element> = states().flat_map(|s| &s.species).copied().collect();
    let projection: Vec<f32> = states().flat_map(|s| &s.projection).copied().collect();
    let projection = matrix(projection, model.config.decoder.hidden, params.device());
    let output = params.scope(|| model.decoder.forward(params, &input, &species, projection));
    let (vectors, logits) = (to_host(output.vectors)?, to_host(output.logits)?);
    let (mut vectors, mut logits) = (vectors.as_slice(), logits.as_slice());
    for crystal in crystals {
        let atoms = crystal.state.species.len();
        let (v, other_vectors) = vectors.split_at(3 * atoms);
        let (l, other_logits) = logits.split_at(usize::from(MAX_ELEMENT) * atoms);
        (vectors, logits) = (other_vectors, other_logits);
        if let Err(error) = crystal.state.advance(model, crystal.step, v, l) {
            crystal.fail(error);
        }
    }
    Ok(())
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
