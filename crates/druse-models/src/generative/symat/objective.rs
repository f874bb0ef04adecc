//! The training objective: the parts of the variational bound, and distances denoised (Luo et al. 2023, Equations 2, 8 and 9;
//! weights and what the paper leaves open as in the published code).

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::graph::Index;
use druse_nn::ops::{self, matrix};

use super::config::ScoreLoss;
use super::corruption::{Centered, Noisy};
use super::model::{EncoderInput, Symat, element_counts};
use super::score::ScoreInput;
use crate::autoencoder::{LatentSpace, binary_cross_entropy, cross_entropy, property_targets, squared_error};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

const ELEMENTS: usize = MAX_ELEMENT as usize;

/// A micro-batch of a batch with everything that needs no weights.
pub(super) struct PreparedMicroBatch<'a> {
    model: &'a Symat,
    encoder: EncoderInput,
    crystals: usize,
    /// Noise of the latents (B, 3 · latent).
    latent_noise: Vec<f32>,
    /// Which number of elements each crystal has (B, max_atoms), and which elements (B, 100): 1 or 0.
    num_elements: Vec<f32>,
    presence: Vec<f32>,
    /// The elements of all crystals, each crystal's by atomic number: the crystal, the element, and in the column of its
    /// number of atoms the weight of the row (rows, max_atoms).
    crystal_of_element: Index,
    elements: Vec<druse_crystal::Element>,
    num_atoms: Vec<f32>,
    /// Standardized property (B, 1).
    property: Option<Vec<f32>>,
    score: ScoreInput,
    /// Change of the length of each scored edge, by the norm of the level (edges, 1).
    changes: Vec<f32>,
    /// Weight of each atom (N, 1) or scored edge (edges, 1): squared errors so weighted add up to those of the crystals.
    weights: Vec<f32>,
}

impl<'a> PreparedMicroBatch<'a> {
    pub fn new(model: &'a Symat, batch: &[&Structure], keys: &[NoiseKey]) -> Result<Self, ModelError> {
        let (config, classes) = (&model.config, model.config.max_atoms);
        let encoder = model.encoder_input(batch)?;
        let mut latent_noise = Vec::with_capacity(batch.len() * model.width());
        let mut noisy = Vec::with_capacity(batch.len());
        let mut norms = Vec::with_capacity(batch.len());
        for (s, key) in batch.iter().zip(keys) {
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            latent_noise.extend((0..model.width()).map(|_| noise.normal() as f32));
            let level = noise.below(config.noise.levels);
            norms.push(model.statistics.score_norm[level]);
            let sigma = model.levels.sigma(level);
            let crystal = Centered::new(s)?;
            let search = config.score.search(crystal.lattice);
            noisy.push(Noisy::new(search, &crystal, sigma, &mut noise));
        }

        let mut num_elements = vec![0f32; batch.len() * classes];
        let mut presence = vec![0f32; batch.len() * ELEMENTS];
        let (mut crystal_of_element, mut elements, mut num_atoms) = (Vec::new(), Vec::new(), Vec::new());
        for (i, s) in batch.iter().enumerate() {
            let counts = element_counts(&s.species);
            num_elements[i * classes + counts.len() - 1] = 1.0;
            for &(element, count) in &counts {
                presence[i * ELEMENTS + usize::from(element.z()) - 1] = 1.0;
                crystal_of_element.push(i as u32);
                elements.push(element);
                let row = num_atoms.len();
                num_atoms.resize(row + classes, 0f32);
                num_atoms[row + count - 1] = 1.0 / counts.len() as f32;
            }
        }

        let (name, scaler) = (config.property.as_deref(), model.statistics.property.as_ref());
        let property = property_targets(name, scaler, batch)?;

        let searches: Vec<_> = noisy.iter().map(|n| (&n.search, n.frac.as_slice())).collect();
        let score = ScoreInput::new(&searches);
        let graph = score.graph();
        let mut edges = vec![0f32; batch.len()];
        let mut changes = Vec::with_capacity(score.scored().len());
        for &e in score.scored().iter() {
            let crystal = graph.crystal_of_atom[graph.target[e as usize] as usize] as usize;
            let first_atom = graph.atom_ptr[crystal] as usize;
            changes.push((noisy[crystal].change(graph, e as usize, first_atom) / norms[crystal]) as f32);
            edges[crystal] += 1.0;
        }
        let weights = match config.noise.loss {
            ScoreLoss::PerNode => {
                batch.iter().flat_map(|s| vec![1.0 / (3 * s.len()) as f32; s.len()]).collect()
            }
            ScoreLoss::PerEdge => {
                let of = |&e: &u32| graph.crystal_of_atom[graph.target[e as usize] as usize] as usize;
                score.scored().iter().map(|e| 1.0 / edges[of(e)]).collect()
            }
        };
        Ok(Self {
            model,
            encoder,
            crystals: batch.len(),
            latent_noise,
            num_elements,
            presence,
            crystal_of_element: crystal_of_element.into(),
            elements,
            num_atoms,
            property,
            score,
            changes,
            weights,
        })
    }

    /// The part of the positions.
    fn coordinate(&self, params: &Params, position: Tensor<2>) -> Tensor<1> {
        let device = params.device();
        if self.changes.is_empty() {
            return Tensor::zeros([1], device);
        }
        let network = &self.model.score;
        let projection = network.latent_projection(params, position);
        let scalars = network.forward(params, &self.score, &self.encoder.species, projection);
        let difference = scalars - matrix(self.changes.clone(), 1, device);
        // Both ways from edges to atoms are linear, so the difference can take it at once.
        let difference = match self.model.config.noise.loss {
            ScoreLoss::PerNode => self.score.to_atoms(difference),
            ScoreLoss::PerEdge => difference,
        };
        (difference.clone() * difference * matrix(self.weights.clone(), 1, device)).sum()
    }
}

impl Prepared for PreparedMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let (model, device) = (self.model, params.device());
        let posterior = model.posterior(params, &self.encoder);
        let z = posterior.sample(matrix(self.latent_noise.clone(), model.width(), device));
        let [composition, position, cell] = model.parts(&z);
        let (heads, classes) = (&model.heads, model.config.max_atoms);
        let given = |values: &[f32], columns: usize| matrix(values.to_vec(), columns, device);

        let num_elements = cross_entropy(
            heads.num_elements(params, composition.clone()),
            given(&self.num_elements, classes),
        );
        let presence = binary_cross_entropy(
            heads.presence(params, composition.clone()),
            given(&self.presence, ELEMENTS),
        );
        // The true elements, not those that the latent says.
        let embeddings = model.encoder.backbone.elements(params, &self.elements);
        let rows = ops::gather(composition, &self.crystal_of_element);
        let num_atoms =
            cross_entropy(heads.num_atoms(params, rows, embeddings), given(&self.num_atoms, classes));
        let lattice = squared_error(heads.cell(params, cell), given(&self.encoder.cells, 6));

        let w = &model.config.weights;
        let count = self.crystals as f64;
        let term = |name, sum, weight| LossTerm { name, sum, count, weight };
        let mut terms = vec![
            term("num_elements", num_elements, w.num_elements),
            term("presence", presence.div_scalar(ELEMENTS as f32), w.presence),
            term("num_atoms", num_atoms, w.num_atoms),
            term("lattice", lattice.div_scalar(6.0), w.lattice),
            term("coordinate", self.coordinate(params, position), w.coordinate),
            term("kl", posterior.divergence(), w.kl),
        ];
        if let Some((target, predicted)) = self.property.as_ref().zip(heads.property(params, z)) {
            terms.push(term("property", squared_error(predicted, given(target, 1)), w.property));
        }
        Ok(terms)
    }
}
