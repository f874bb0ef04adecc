//! Sampling: latents to elements, numbers of atoms and cells, then annealed Langevin dynamics of the positions (Luo et al.
//! 2023, section 3.4 and Algorithm 1).

use burn::tensor::Tensor;
use druse_crystal::{Element, Structure};
use druse_nn::Params;
use druse_nn::memory::to_host;
use druse_nn::ops::{self, matrix};

use super::model::Symat;
use super::score::ScoreInput;
use crate::autoencoder::{
    Gathered, LatentSpace, MovingAtoms, advance_each, cell_parameters, decoded_lattice, element, largest,
    latent_of,
};
use crate::process::{Noise, centering};
use crate::{InFlight, ModelError, Reverse, SampleRequest};

/// The elements of the k largest logits, k being the class of the number of elements plus one, by atomic number. Where
/// others are equal to the k-th they are taken, too.
fn present(num_elements: &[f32], logits: &[f32]) -> Result<Vec<Element>, ModelError> {
    let count = (largest(num_elements) + 1).min(logits.len());
    let mut sorted = logits.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let least = sorted[count - 1];
    (0..logits.len()).filter(|&i| logits[i] >= least).map(element).collect()
}

impl Symat {
    /// The atoms that a latent (1, 3 · latent) stands for, by atomic number.
    fn decoded_atoms(&self, params: &Params, z: &Tensor<2>) -> Result<Vec<Element>, ModelError> {
        let [composition, ..] = self.parts(z);
        let num_elements = to_host(self.heads.num_elements(params, composition.clone()))?;
        let logits = to_host(self.heads.presence(params, composition.clone()))?;
        if num_elements.iter().chain(&logits).any(|x| !x.is_finite()) {
            return Err(ModelError::Output("a composition that is not finite".into()));
        }
        let elements = present(&num_elements, &logits)?;
        let rows = ops::gather(composition, &vec![0; elements.len()].into());
        let embeddings = self.encoder.backbone.elements(params, &elements);
        let counts = to_host(self.heads.num_atoms(params, rows, embeddings))?;
        let counts = counts.chunks_exact(self.config.max_atoms).map(|logits| largest(logits) + 1);
        Ok(elements.into_iter().zip(counts).flat_map(|(e, n)| std::iter::repeat_n(e, n)).collect())
    }
}

impl Reverse for Symat {
    /// The atoms are around the middle of the cell.
    type State = MovingAtoms;

    fn total_steps(&self) -> usize {
        self.langevin.total_steps()
    }

    fn start(&self, params: &Params, request: &SampleRequest) -> Result<MovingAtoms, ModelError> {
        let mut noise = Noise::new(request.seed, request.index);
        let t = &self.temperatures;
        let spreads = [t.composition, t.position, t.lattice].into_iter();
        let spreads = spreads.flat_map(|spread| std::iter::repeat_n(spread, self.config.latent));
        let latent = latent_of(request, spreads, &mut noise);
        let z = matrix(latent, self.width(), params.device());
        let given = request.conditions.species();
        let species_given = given.is_some();
        let species = match given {
            Some(species) => species,
            None => params.scope(|| self.decoded_atoms(params, &z))?,
        };
        if species.is_empty() {
            return Err(ModelError::Output("the latent stands for a cell without atoms".into()));
        }
        let (cell, projection) = params.scope(|| {
            let [_, position, cell] = self.parts(&z);
            (self.heads.cell(params, cell), self.score.latent_projection(params, position))
        });
        let cell = cell_parameters(&self.statistics.lattice, &to_host(cell)?, species.len());
        let lattice = decoded_lattice(cell, species.len())?;
        let mut frac: Vec<[f64; 3]> =
            species.iter().map(|_| std::array::from_fn(|_| noise.uniform() - 0.5)).collect();
        centering::center(&mut frac);
        let search = self.config.score.search(lattice);
        Ok(MovingAtoms { species, species_given, frac, search, projection: to_host(projection)?, noise })
    }

    fn species<'s>(&self, state: &'s MovingAtoms) -> &'s [Element] {
        &state.species
    }

    fn step(&self, params: &Params, crystals: &mut [InFlight<MovingAtoms>]) -> Result<(), ModelError> {
        let Gathered { searches, species, projection } = Gathered::new(crystals);
        let input = ScoreInput::new(&searches);
        let projection = matrix(projection, self.config.score.head, params.device());
        let scores = match input.scored().is_empty() {
            true => vec![0.0; 3 * species.len()],
            false => to_host(
                params.scope(|| input.to_atoms(self.score.forward(params, &input, &species, projection))),
            )?,
        };
        advance_each(crystals, [(&scores, 3)], |state, step, [scores]| {
            let norms = &self.statistics.score_norm;
            // The dynamics start at the largest level, the norms at the smallest.
            let norm = norms[norms.len() - 1 - self.langevin.level(step)];
            let (factors, cell) = ([norm, self.temperatures.noise], state.search.lattice());
            self.langevin.displace(step, cell, &mut state.frac, scores, factors, &mut state.noise);
            centering::center(&mut state.frac);
            Ok(())
        });
        Ok(())
    }

    fn finish(&self, _: &Params, state: MovingAtoms) -> Result<Structure, ModelError> {
        state.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_those_of_the_largest_logits() {
        let z = |elements: Vec<Element>| elements.iter().map(|e| e.z()).collect::<Vec<_>>();
        let mut logits = vec![-5.0; 100];
        (logits[7], logits[37], logits[21]) = (0.5, 2.0, 1.0);
        // Class 1 stands for two elements.
        assert_eq!(z(present(&[0.0, 3.0, 1.0], &logits).unwrap()), [22, 38]);
        assert_eq!(z(present(&[0.0, 3.0, 4.0], &logits).unwrap()), [8, 22, 38]);
        // Ties add elements.
        logits[3] = 0.5;
        assert_eq!(z(present(&[0.0, 3.0, 4.0], &logits).unwrap()), [4, 8, 22, 38]);
    }
}
