//! The score network: how distances to near atoms should change, and with them positions (Luo et al. 2023, section 3.3;
//! graph and network as in the published code).

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use druse_crystal::{Element, Lattice};
use druse_nn::blocks::Linear;
use druse_nn::blocks::dimenet::SizeError;
use druse_nn::blocks::spherenet::{DistanceNet, DistanceNetConfig};
use druse_nn::graph::{CutoffRule, CutoffSearch, DirectedGraph, Index, Symmetrization};
use druse_nn::ops::{self, Activation, matrix};
use druse_nn::{ParamBuilder, Params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Sizes of the score network and the rule of its graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreConfig {
    /// The network of the messages.
    pub network: DistanceNetConfig,
    /// Width of the hidden layer that reads the messages.
    pub head: usize,
    /// Longest edge in Å.
    pub radius: f64,
    /// Most neighbors of an atom.
    pub neighbors: usize,
}

impl Default for ScoreConfig {
    /// The published sizes, for MP-20.
    fn default() -> Self {
        Self { network: DistanceNetConfig::default(), head: 256, radius: 5.0, neighbors: 5 }
    }
}

impl ScoreConfig {
    /// Checks that the numbers describe a network that can be built.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key below `score`, the value and what was expected.
    pub fn validate(&self) -> Result<(), ModelError> {
        let wrong = |key: &str, value: &dyn std::fmt::Display, expected: &str| {
            Err(ModelError::Config(format!("score.{key} = {value}, expected {expected}")))
        };
        for (key, value) in [("head", self.head), ("neighbors", self.neighbors)] {
            if value == 0 {
                return wrong(key, &value, "at least 1");
            }
        }
        if !(self.radius.is_finite() && self.radius > 0.0) {
            return wrong("radius", &self.radius, "a positive number");
        }
        self.network.validate().map_err(|e| ModelError::Config(format!("score.network.{e}")))
    }

    /// A search for the edges of crystals in a cell, to be kept while the cell does not change.
    pub fn search(&self, lattice: Lattice) -> CutoffSearch {
        let rule = CutoffRule {
            cutoff: self.radius,
            neighbors: self.neighbors,
            symmetrization: Symmetrization::ByIndex,
        };
        CutoffSearch::new(lattice, rule)
    }
}

/// Geometry of a batch as the network sees it: all that needs no weights.
pub(crate) struct ScoreInput {
    graph: Arc<DirectedGraph>,
    /// Edges between different atoms: an atom and its own images have no score.
    scored: Index,
    /// Where each of them leads.
    target: Index,
    /// Unit vectors of the scored edges, from the source to the target, divided by the number of edges with the same ends:
    /// (edges, 3).
    directions: Vec<f32>,
}

impl ScoreInput {
    /// Finds the nearest neighbors in crystals, given as searches and fractional coordinates in [-1/2, 1/2).
    pub fn new(crystals: &[(&CutoffSearch, &[[f64; 3]])]) -> Self {
        let edges = crystals.iter().map(|&(search, frac)| search.found(frac)).collect();
        let cells: Vec<_> = crystals.iter().map(|&(search, frac)| (*search.lattice(), frac)).collect();
        let graph = DirectedGraph::from_edges(&cells, edges);
        let scored: Vec<u32> = (0..graph.num_edges() as u32)
            .filter(|&e| graph.source[e as usize] != graph.target[e as usize])
            .collect();
        let ends = |e: u32| (graph.source[e as usize], graph.target[e as usize]);
        // Edges are sorted by their ends, so parallel ones follow each other.
        let mut directions = Vec::with_capacity(3 * scored.len());
        for parallel in scored.chunk_by(|&a, &b| ends(a) == ends(b)) {
            for &e in parallel {
                let scale = 1.0 / (graph.lengths[e as usize] * parallel.len() as f64);
                directions.extend(graph.vectors[e as usize].map(|x| (x * scale) as f32));
            }
        }
        Self {
            directions,
            target: scored.iter().map(|&e| graph.target[e as usize]).collect(),
            scored: scored.into(),
            graph: Arc::new(graph),
        }
    }

    /// The edges to the nearest neighbors.
    pub fn graph(&self) -> &Arc<DirectedGraph> {
        &self.graph
    }

    /// Numbers of the edges that have scores.
    pub fn scored(&self) -> &Index {
        &self.scored
    }

    /// Numbers of the scored edges (edges, 1) to vectors of the atoms (N, 3): the mean over edges between the same two
    /// atoms along their directions, summed over neighbors.
    pub fn to_atoms(&self, scalars: Tensor<2>) -> Tensor<2> {
        let directions = matrix(self.directions.clone(), 3, &scalars.device());
        ops::weighted_sum(scalars, directions, &self.target, self.graph.num_atoms)
    }
}

/// The score network.
#[derive(Debug, Clone)]
pub(crate) struct ScoreNetwork {
    pub network: DistanceNet,
    first: Linear,
    second: Linear,
    latent: usize,
}

impl ScoreNetwork {
    /// Registers `coordgen.backbone.*` and `coordgen.fc_score` for latents of positions of width `latent`.
    ///
    /// # Errors
    /// [`SizeError`] for sizes that make no network.
    pub fn new(builder: &mut ParamBuilder, config: &ScoreConfig, latent: usize) -> Result<Self, SizeError> {
        let network = DistanceNet::new(builder, "coordgen.backbone", &config.network)?;
        let shape = [config.network.hidden + latent, config.head];
        Ok(Self {
            network,
            first: Linear::new(builder, "coordgen.fc_score.0", shape, true),
            second: Linear::new(builder, "coordgen.fc_score.2", [config.head, 1], true),
            latent,
        })
    }

    /// What latents of positions (B, latent) add to all edges of their crystals, (B, head): does not change while a crystal
    /// is sampled.
    pub fn latent_projection(&self, params: &Params, position: Tensor<2>) -> Tensor<2> {
        let weight = self.first.slice(params, self.network.config().hidden, self.latent);
        ops::dense(position, weight, Activation::Identity) + self.first.bias(params)
    }

    /// A number for each scored edge (edges, 1), given [`ScoreNetwork::latent_projection`].
    pub fn forward(
        &self,
        params: &Params,
        input: &ScoreInput,
        species: &[Element],
        projection: Tensor<2>,
    ) -> Tensor<2> {
        let messages = self.network.forward(params, &input.graph, species);
        self.of_messages(params, input, messages, projection)
    }

    /// [`ScoreNetwork::forward`] from the last messages (E, H).
    pub fn of_messages(
        &self,
        params: &Params,
        input: &ScoreInput,
        messages: Tensor<2>,
        projection: Tensor<2>,
    ) -> Tensor<2> {
        let graph = &input.graph;
        let crystal: Index = graph.target.iter().map(|&a| graph.crystal_of_atom[a as usize]).collect();
        let weight = self.first.slice(params, 0, self.network.config().hidden);
        let hidden = ops::dense(messages, weight, Activation::Identity) + ops::gather(projection, &crystal);
        let scalars = self.second.forward(params, activation::relu(hidden));
        if input.scored.len() == graph.num_edges() { scalars } else { ops::gather(scalars, &input.scored) }
    }
}
