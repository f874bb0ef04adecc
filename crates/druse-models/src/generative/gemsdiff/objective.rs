//! The training objective (Algorithm 1): displacements and cells that the networks predict, against the clean crystals.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::ops::{self, matrix};

use super::config::{PositionLoss, Variant};
use super::model::{GemsDiff, NetworkInput, NoisyCrystal};
use super::network::Prediction;
use crate::error::no_graph;
use crate::process::{Noise, torus};
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// Number of items of the two parts of the objective: atoms and crystals.
pub(crate) fn counts(batch: &[&Structure]) -> [f64; 2] {
    [batch.iter().map(|s| s.len() as f64).sum(), batch.len() as f64]
}

/// Corrupted crystals with their graphs, and what the networks should make of them.
pub(crate) struct PreparedMicroBatch<'a> {
    model: &'a GemsDiff,
    input: NetworkInput,
    displacement: PositionTarget,
    /// Normalized lattice parameters (B, 6).
    lattice: Vec<f32>,
    counts: [f64; 2],
}

/// Displacements of the atoms to their clean positions.
enum PositionTarget {
    /// Fractional (N, 3).
    Fractional(Vec<f32>),
    /// In Å (N, 3), with the lattice vectors a, b, c of each atom (N, 3) that make fractional displacements Cartesian.
    Cartesian { target: Vec<f32>, vectors: [Vec<f32>; 3] },
}

impl<'a> PreparedMicroBatch<'a> {
    pub fn new(model: &'a GemsDiff, batch: &[&Structure], keys: &[NoiseKey]) -> Result<Self, ModelError> {
        let config = &model.config;
        let mut noisy = Vec::with_capacity(batch.len());
        let mut cells = Vec::with_capacity(batch.len());
        for (s, key) in batch.iter().zip(keys) {
            model.check_species(&s.species)?;
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            // The published code draws t from all steps but the last.
            let t = noise.below(config.steps - 1);
            noisy.push(torus::corrupt(&s.frac_coords, model.positions.sigma(t), &mut noise));
            let cell = match config.variant {
                Variant::Paper => model.corrupt_lattice(&s.lattice, t, &mut noise)?,
                Variant::Released => s.lattice,
            };
            cells.push((cell, t));
        }
        let crystals: Vec<_> = batch
            .iter()
            .zip(&noisy)
            .zip(&cells)
            .map(|((s, frac), &(cell, t))| NoisyCrystal { species: &s.species, frac, cell, t })
            .collect();
        let scaler = &model.statistics.scaler;
        Ok(Self {
            model,
            input: model.network_input(&crystals).map_err(|e| no_graph(batch, e))?,
            displacement: PositionTarget::new(config.position_loss, batch, &noisy),
            lattice: batch.iter().flat_map(|s| scaler.normalize(&s.lattice)).map(|x| x as f32).collect(),
            counts: counts(batch),
        })
    }

    /// Sum over atoms and mean over axes of the position loss.
    fn position_loss(&self, params: &Params, displacement: Tensor<2>) -> Tensor<1> {
        let device = params.device();
        match &self.displacement {
            PositionTarget::Fractional(target) => {
                let difference = displacement - matrix(target.clone(), 3, device);
                (difference.clone() * difference).sum()
            }
            PositionTarget::Cartesian { target, vectors } => {
                let cartesian = vectors
                    .iter()
                    .enumerate()
                    .map(|(k, v)| displacement.clone().narrow(1, k, 1) * matrix(v.clone(), 3, device))
                    .reduce(|a, b| a + b)
                    .expect("three axes");
                (cartesian - matrix(target.clone(), 3, device)).abs().sum().div_scalar(3.0)
            }
        }
    }

    /// Sum over crystals and mean over parameters of the normalized lattice loss (L1).
    fn lattice_loss(&self, params: &Params, cell: Tensor<2>) -> Tensor<1> {
        let device = params.device();
        let scaler = &self.model.statistics.scaler;
        let row = |values: [f64; 6]| matrix(values.map(|x| x as f32).to_vec(), 6, device);
        let predicted = (ops::lattice_parameters(cell) - row(scaler.mean)) / row(scaler.denominators());
        (predicted - matrix(self.lattice.clone(), 6, device)).abs().sum().div_scalar(6.0)
    }
}

impl PositionTarget {
    fn new(loss: PositionLoss, batch: &[&Structure], noisy: &[Vec<[f64; 3]>]) -> Self {
        let pairs = batch.iter().zip(noisy);
        match loss {
            PositionLoss::FractionalL2 => Self::Fractional(
                pairs
                    .flat_map(|(s, x)| s.frac_coords.iter().zip(x))
                    .flat_map(|(y, x)| [0, 1, 2].map(|i| ((y[i] - x[i]) - (y[i] - x[i]).round()) as f32))
                    .collect(),
            ),
            PositionLoss::CartesianL1 => {
                let target = pairs
                    .flat_map(|(s, x)| torus::shortest_paths(x, &s.frac_coords, &s.lattice))
                    .flat_map(|d| d.map(|x| x as f32))
                    .collect();
                let vectors = std::array::from_fn(|k| {
                    batch.iter().flat_map(|s| s.lattice.rows()[k].map(|x| x as f32).repeat(s.len())).collect()
                });
                Self::Cartesian { target, vectors }
            }
        }
    }
}

impl Prepared for PreparedMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let Prediction { displacement, cell } = self.model.predict(params, &self.input);
        let [atoms, crystals] = self.counts;
        Ok(vec![
            LossTerm {
                name: "position",
                sum: self.position_loss(params, displacement),
                count: atoms,
                weight: 1.0,
            },
            LossTerm { name: "lattice", sum: self.lattice_loss(params, cell), count: crystals, weight: 1.0 },
        ])
    }
}
