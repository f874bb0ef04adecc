//! Sampling: latents to aggregate quantities, then annealed Langevin dynamics (Algorithm 1 of the paper).

use burn::tensor::activation;
use druse_crystal::{Element, Structure};
use druse_nn::Params;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;

use super::decoder::DecoderInput;
use super::model::Cdvae;
use crate::autoencoder::{
    Gathered, MovingAtoms, advance_each, decoded_lattice, draw_composition, element, largest, latent_of,
};
use crate::process::Noise;
use crate::{InFlight, ModelError, Reverse, SampleRequest};

impl Reverse for Cdvae {
    type State = MovingAtoms;

    fn total_steps(&self) -> usize {
        self.langevin.total_steps()
    }

    fn start(&self, params: &Params, request: &SampleRequest) -> Result<MovingAtoms, ModelError> {
        let (given, width) = (&request.conditions, self.config.latent);
        let mut noise = Noise::new(request.seed, request.index);
        let latent = latent_of(request, std::iter::repeat_n(1.0, width), &mut noise);
        let z = matrix(latent, width, params.device());
        let (decoded, projection) =
            params.scope(|| (self.aggregates(params, &z), self.decoder.latent_projection(params, z.clone())));
        let given_species = given.species();
        let atoms = match (&given_species, given.num_atoms) {
            (Some(species), _) => species.len(),
            (None, Some(atoms)) => atoms,
            (None, None) => largest(&to_host(decoded.num_atoms)?),
        };
        if atoms == 0 {
            return Err(ModelError::Output("the latent stands for a cell without atoms".into()));
        }
        let cell = self.cell_parameters(&to_host(decoded.lattice)?, atoms);
        let lattice = decoded_lattice(cell, atoms)?;
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
        let search = self.config.decoder.search(lattice);
        Ok(MovingAtoms { species, species_given, frac, search, projection: to_host(projection)?, noise })
    }

    fn species<'s>(&self, state: &'s MovingAtoms) -> &'s [Element] {
        &state.species
    }

    fn step(&self, params: &Params, crystals: &mut [InFlight<MovingAtoms>]) -> Result<(), ModelError> {
        let Gathered { searches, species, projection } = Gathered::new(crystals);
        let input = DecoderInput::from_searches(&self.config.decoder, &searches);
        let projection = matrix(projection, self.config.decoder.hidden, params.device());
        let output = params.scope(|| self.decoder.forward(params, &input, &species, projection));
        let (scores, logits) = (to_host(output.vectors)?, to_host(output.logits)?);
        let elements = usize::from(MAX_ELEMENT);
        advance_each(crystals, [(&scores, 3), (&logits, elements)], |state, step, [scores, logits]| {
            self.langevin.advance(step, state.search.lattice(), &mut state.frac, scores, &mut state.noise);
            if !state.species_given {
                for (species, logits) in state.species.iter_mut().zip(logits.chunks_exact(elements)) {
                    *species = element(largest(logits))?;
                }
            }
            Ok(())
        });
        Ok(())
    }

    fn finish(&self, _: &Params, state: MovingAtoms) -> Result<Structure, ModelError> {
        state.finish()
    }
}
