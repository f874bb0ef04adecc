//! Sampling: latents to elements, numbers of atoms and cells, then annealed Langevin dynamics of the positions (Luo et al.
//! 2023, section 3.4 and Algorithm 1).

use druse_crystal::{Element, Lattice, Structure};
use druse_nn::Params;
use druse_nn::graph::CutoffSearch;
use druse_nn::memory::to_host;
use druse_nn::ops::{self, matrix};

use super::model::Symat;
use super::score::ScoreInput;
use crate::autoencoder::{cell_parameters, element, largest};
use crate::process::{Noise, centering};
use crate::{InFlight, ModelError, SampleRequest};

/// One crystal on its way from noise.
pub struct State {
    species: Vec<Element>,
    /// Around the middle of the cell.
    frac: Vec<[f64; 3]>,
    /// The cell with what the neighbor search knows of it.
    search: CutoffSearch,
    /// What the latent adds to the edges; does not change on the way.
    projection: Vec<f32>,
    noise: Noise,
}

/// The elements of the k largest logits, k being the class of the number of elements plus one, by atomic number. Where
/// others are equal to the k-th they are taken, too.
fn present(num_elements: &[f32], logits: &[f32]) -> Result<Vec<Element>, ModelError> {
    let count = (largest(num_elements) + 1).min(logits.len());
    let mut sorted = logits.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let least = sorted[count - 1];
    (0..logits.len()).filter(|&i| logits[i] >= least).map(element).collect()
}

impl State {
    pub(super) fn start(model: &Symat, params: &Params, request: &SampleRequest) -> Result<Self, ModelError> {
        let (given, width) = (&request.conditions, model.config.latent);
        let mut noise = Noise::new(request.seed, request.index);
        let latent = match &given.latent {
            Some(latent) => latent.clone(),
            None => {
                let t = model.temperatures();
                let parts = [t.composition, t.position, t.lattice];
                let draw = |i: usize| (parts[i / width] * noise.normal()) as f32;
                (0..model.latent_width()).map(draw).collect()
            }
        };
        let z = matrix(latent, model.latent_width(), params.device());
        let species = match given.species() {
            Some(species) => species,
            None => params.scope(|| Self::atoms(model, params, &z))?,
        };
        if species.is_empty() {
            return Err(ModelError::Output("the latent stands for a cell without atoms".into()));
        }
        let (cell, projection) = params.scope(|| {
            let [_, position, cell] = model.parts(&z);
            (model.heads.cell(params, cell), model.score.latent_projection(params, position))
        });
        let cell = cell_parameters(&model.statistics.lattice, &to_host(cell)?, species.len());
        let lattice = Lattice::from_parameters(cell).map_err(|e| ModelError::Output(e.to_string()))?;
        let mut frac: Vec<[f64; 3]> =
            species.iter().map(|_| std::array::from_fn(|_| noise.uniform() - 0.5)).collect();
        centering::center(&mut frac);
        let search = model.config.score.search(lattice);
        Ok(Self { species, frac, search, projection: to_host(projection)?, noise })
    }

    /// The atoms that a latent (1, 3 · latent) stands for, by atomic number.
    fn atoms(
        model: &Symat,
        params: &Params,
        z: &burn::tensor::Tensor<2>,
    ) -> Result<Vec<Element>, ModelError> {
        let [composition, ..] = model.parts(z);
        let num_elements = to_host(model.heads.num_elements(params, composition.clone()))?;
        let logits = to_host(model.heads.presence(params, composition.clone()))?;
        if num_elements.iter().chain(&logits).any(|x| !x.is_finite()) {
            return Err(ModelError::Output("a composition that is not finite".into()));
        }
        let elements = present(&num_elements, &logits)?;
        let rows = ops::gather(composition, &vec![0; elements.len()].into());
        let embeddings = model.encoder.backbone.elements(params, &elements);
        let counts = to_host(model.heads.num_atoms(params, rows, embeddings))?;
        let counts = counts.chunks_exact(model.config.max_atoms).map(|logits| largest(logits) + 1);
        Ok(elements.into_iter().zip(counts).flat_map(|(e, n)| std::iter::repeat_n(e, n)).collect())
    }

    pub(super) fn species(&self) -> &[Element] {
        &self.species
    }

    fn advance(&mut self, model: &Symat, step: usize, scores: &[f32]) -> Result<(), ModelError> {
        if scores.iter().any(|x| !x.is_finite()) {
            return Err(ModelError::Output(format!("a number that is not finite at step {step}")));
        }
        let norms = &model.statistics.score_norm;
        // The dynamics start at the largest level, the norms at the smallest.
        let norm = norms[norms.len() - 1 - model.langevin.level(step)];
        let factors = [norm, model.temperatures().noise];
        model.langevin.displace(
            step,
            self.search.lattice(),
            &mut self.frac,
            scores,
            factors,
            &mut self.noise,
        );
        centering::center(&mut self.frac);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Structure, ModelError> {
        Structure::new(*self.search.lattice(), self.species, self.frac)
            .map_err(|e| ModelError::Output(e.to_string()))
    }
}

/// One network call for crystals that may be at different steps. When it fails, no crystal has moved.
pub(super) fn step(
    model: &Symat,
    params: &Params,
    crystals: &mut [InFlight<State>],
) -> Result<(), ModelError> {
    let states = || crystals.iter().map(|crystal| &crystal.state);
    let searches: Vec<_> = states().map(|s| (&s.search, s.frac.as_slice())).collect();
    let input = ScoreInput::new(&searches);
    let species: Vec<Element> = states().flat_map(|s| &s.species).copied().collect();
    let projection: Vec<f32> = states().flat_map(|s| &s.projection).copied().collect();
    let projection = matrix(projection, model.config.score.head, params.device());
    let vectors = match input.scored().is_empty() {
        true => vec![0.0; 3 * species.len()],
        false => to_host(
            params.scope(|| input.to_atoms(model.score.forward(params, &input, &species, projection))),
        )?,
    };
    let mut vectors = vectors.as_slice();
    for crystal in crystals {
        let (own, others) = vectors.split_at(3 * crystal.state.species.len());
        vectors = others;
        if let Err(error) = crystal.state.advance(model, crystal.step, own) {
            crystal.fail(error);
        }
    }
    Ok(())
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
