//! The training objective: the noise of positions in the given cell, and the noise of the cell beside noisy positions
//! (Sultanov et al. 2023, Figure 1), each crystal at levels of its own.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Structure};
use druse_nn::Params;
use druse_nn::blocks::dimenet::EdgeGeometry;
use druse_nn::graph::SymmetricGraph;
use druse_nn::ops::matrix;

use super::corruption::{MovedCell, MovedSites, checked_edges};
use super::crystals::species;
use super::model::{Adaptive, unusable};
use super::scores::{CELL, Directions};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// A micro-batch with everything that needs no weights: first all crystals with moved sites, then those with deformed cells.
pub(super) struct PreparedMicroBatch<'a> {
    model: &'a Adaptive,
    crystals: usize,
    geometry: EdgeGeometry,
    species: Vec<Element>,
    /// Of each crystal of the graph.
    levels: Vec<u32>,
    directions: Directions,
    positions: Targets,
    cells: Targets,
}

/// What predictions are compared with.
struct Targets {
    /// Row by row.
    values: Vec<f32>,
    columns: usize,
    /// Weight of each row's squared error.
    weights: Vec<f32>,
}

impl Targets {
    fn new(columns: usize) -> Self {
        Self { values: Vec::new(), columns, weights: Vec::new() }
    }

    /// The weighted sum of squared errors; zero where nothing is predicted.
    fn error(&self, predicted: Option<Tensor<2>>, params: &Params) -> Tensor<1> {
        let device = params.device();
        let Some(predicted) = predicted else { return Tensor::zeros([1], device) };
        let difference = predicted - matrix(self.values.clone(), self.columns, device);
        (difference.clone() * difference * matrix(self.weights.clone(), 1, device)).sum()
    }
}

impl<'a> PreparedMicroBatch<'a> {
    pub fn new(model: &'a Adaptive, batch: &[&Structure], keys: &[NoiseKey]) -> Result<Self, ModelError> {
        let config = &model.config;
        let (noise_config, joined) = (&config.noise, model.joined());
        let mut directions = Directions::default();
        let (mut positions, mut cells) = (Targets::new(3), Targets::new(CELL));
        let (mut edges, mut species_of, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        let mut deformed = Vec::new();
        for (s, key) in batch.iter().zip(keys) {
            let reduced = model.reduced.get(s, &config.symmetry);
            let crystal = reduced.as_ref().as_ref().map_err(|e| unusable(s, &e.0))?;
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);

            let level = noise.below(noise_config.levels);
            let sigma = model.levels.positions.sigma(level);
            let moved = MovedSites::new(crystal, sigma, noise_config.on_positions, &mut noise);
            let found = checked_edges(crystal.group(), crystal.lattice(), &moved.frac, joined)
                .map_err(|e| unusable(s, &e.0))?;
            directions.push_positions(&found, moved.projections.as_deref());
            let target = moved.target(crystal, sigma, noise_config.position_target);
            positions
                .values
                .extend(target.iter().flat_map(|t| t.iter().map(|&x| x as f32).collect::<Vec<_>>()));
            // Without a direction to move in there is nothing to learn.
            let weight = if moved.freedom > 0 { 1.0 / moved.freedom as f32 } else { 0.0 };
            positions.weights.extend(std::iter::repeat_n(weight, target.len()));
            edges.push(found);
            species_of.extend(species(crystal));
            levels.push(level as u32);

            let level = noise.below(noise_config.levels);
            let sigma = model.levels.positions.sigma(level);
            let moved = MovedSites::new(crystal, sigma, noise_config.on_positions, &mut noise);
            let sigma = model.levels.cells.sigma(level);
            // A cell that has become none is left out, and the crystal's error counts as zero.
            if let Ok(cell) = MovedCell::new(crystal, &moved.frac, sigma, joined, &mut noise) {
                deformed.push((reduced.clone(), cell, level as u32));
            }
        }
        for (reduced, cell, level) in deformed {
            let Ok(crystal) = reduced.as_ref() else { continue };
            if directions.push_cell(&cell.edges, crystal.group(), &cell.free).is_err() {
                continue;
            }
            let dof = cell.noise.len();
            cells.values.extend(cell.noise.iter().map(|&x| x as f32));
            cells.values.extend(std::iter::repeat_n(0.0, CELL - dof));
            cells.weights.push(1.0 / dof as f32);
            edges.push(cell.edges);
            species_of.extend(species(crystal));
            levels.push(level);
        }
        let graph = Arc::new(SymmetricGraph::join(&edges));
        debug_assert!(directions.fits(&graph), "directions of all edges");
        let geometry = model.network.geometry(graph, config.angles);
        let crystals = batch.len();
        Ok(Self { model, crystals, geometry, species: species_of, levels, directions, positions, cells })
    }
}

impl Prepared for PreparedMicroBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let outputs = self.model.network.forward(params, &self.geometry, &self.species, &self.levels);
        let position = self.positions.error(self.directions.of_positions(&outputs), params);
        let cell = self.cells.error(self.directions.of_cells(&outputs), params);
        let (w, count) = (&self.model.config.weights, self.crystals as f64);
        Ok(vec![
            LossTerm { name: "position", sum: position, count, weight: w.position },
            LossTerm { name: "cell", sum: cell, count, weight: w.cell },
        ])
    }
}
