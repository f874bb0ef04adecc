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
use crate::autoencoder::{draw_composition, element, largest};
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
