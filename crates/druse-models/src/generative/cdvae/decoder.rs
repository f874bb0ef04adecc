//! The decoder: GemNet-dT with scale factors, conditioned on the latent, which reads a noisy crystal and tells where its
//! atoms should move and what they should be (Xie et al. 2022, section 4 and appendices B.2 and B.3; the network is that of
//! Klicpera et al. 2021).

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use druse_crystal::{Element, Lattice};
use druse_nn::blocks::{
    AtomEmbedding, EdgeHead, GaussianBasis, GemNetSizes, Geometry, Linear, MAX_ELEMENT, ProjectedBasis,
    Receiver, ScaleFactors, Trunk, TrunkState,
};
use druse_nn::graph::{CutoffRule, CutoffSearch, Multigraph, Symmetrization, of_crystals};
use druse_nn::ops::{self, matrix};
use druse_nn::{ParamBuilder, Params};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;

/// Sizes of the decoder and the rule of its graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DecoderConfig {
    /// Width of atom and edge embeddings.
    pub hidden: usize,
    /// Width of the edge embedding inside the triplet interaction.
    pub triplet: usize,
    /// Width of the shared projections of the radial and of the angular basis.
    pub basis: usize,
    /// Output width of the bilinear layer of the triplet interaction.
    pub bilinear: usize,
    /// Number of Gaussian radial functions.
    pub num_radial: usize,
    /// Number of Legendre degrees of the angular basis (0 to `num_spherical` - 1).
    pub num_spherical: usize,
    /// Number of interaction blocks.
    pub blocks: usize,
    /// Longest edge in Å.
    pub cutoff: f64,
    /// Most neighbors that an atom looks for.
    pub neighbors: usize,
    /// Which of these become edges where two atoms disagree.
    pub symmetrization: Symmetrization,
    /// Fixed factors that keep the variance of activations; they belong to the sizes.
    pub scale_factors: ScaleFactors,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self::published()
    }
}

impl DecoderConfig {
    /// The sizes, the graph and the factors of the published decoder.
    pub fn published() -> Self {
        Self {
            hidden: 128,
            triplet: 64,
            basis: 16,
            bilinear: 64,
            num_radial: 128,
            num_spherical: 7,
            blocks: 3,
            cutoff: 7.0,
            neighbors: 20,
            symmetrization: Symmetrization::ByIndex,
            scale_factors: ScaleFactors::published(),
        }
    }

    /// Checks that the numbers describe a network that can be built.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the key below `decoder`, the value and what was expected.
    pub fn validate(&self) -> Result<(), ModelError> {
        let wrong = |key: &str, value: &dyn std::fmt::Display, expected: &str| {
            Err(ModelError::Config(format!("decoder.{key} = {value}, expected {expected}")))
        };
        let positive = [
            ("hidden", self.hidden),
            ("triplet", self.triplet),
            ("basis", self.basis),
            ("bilinear", self.bilinear),
            ("neighbors", self.neighbors),
        ];
        for (key, value) in positive {
            if value == 0 {
                return wrong(key, &value, "at least 1");
            }
        }
        if self.num_radial < 2 {
            return wrong("num_radial", &self.num_radial, "at least 2");
        }
        if !(1..=7).contains(&self.num_spherical) {
            return wrong("num_spherical", &self.num_spherical, "1 to 7");
        }
        if !(self.cutoff.is_finite() && self.cutoff > 0.0) {
            return wrong("cutoff", &self.cutoff, "a positive number");
        }
        self.scale_factors
            .validate(self.blocks)
            .map_err(|e| ModelError::Config(format!("decoder.scale_factors: {e}")))
    }

    /// A search for the edges of crystals in a cell, to be kept while the cell does not change.
    pub fn search(&self, lattice: Lattice) -> CutoffSearch {
        let Self { cutoff, neighbors, symmetrization, .. } = *self;
        CutoffSearch::new(lattice, CutoffRule { cutoff, neighbors, symmetrization })
    }

    fn sizes(&self) -> GemNetSizes {
        GemNetSizes {
            hidden: self.hidden,
            triplet: self.triplet,
            basis: self.basis,
            bilinear: self.bilinear,
            num_radial: self.num_radial,
            num_spherical: self.num_spherical,
        }
    }
}

/// Geometry of a batch as the decoder sees it: all that needs no weights.
pub struct DecoderInput {
    geometry: Geometry,
    basis: GaussianBasis,
    predicted: Option<PredictedEdges>,
}

/// Edges in predicted cells, (E, 3) each.
struct PredictedEdges {
    vectors: Tensor<2>,
    directions: Tensor<2>,
}

impl DecoderInput {
    /// Finds the edges of crystals, given as lattice and fractional coordinates in [0, 1).
    pub fn new(config: &DecoderConfig, crystals: &[(Lattice, &[[f64; 3]])]) -> Self {
        let edges = |&(lattice, frac): &(Lattice, &[[f64; 3]])| config.search(lattice).edges(frac);
        Self::from_graph(config, Multigraph::from_edges(crystals, of_crystals(crystals, edges)))
    }

    /// [`DecoderInput::new`] with searches that were prepared before ([`DecoderConfig::search`]).
    pub fn from_searches(config: &DecoderConfig, crystals: &[(&CutoffSearch, &[[f64; 3]])]) -> Self {
        let edges = |&(search, frac): &(&CutoffSearch, &[[f64; 3]])| search.edges(frac);
        let cells: Vec<_> = crystals.iter().map(|&(search, frac)| (*search.lattice(), frac)).collect();
        Self::from_graph(config, Multigraph::from_edges(&cells, of_crystals(crystals, edges)))
    }

    fn from_graph(config: &DecoderConfig, graph: Multigraph) -> Self {
        let geometry = Geometry::new(graph, config.num_spherical, Receiver::Source);
        let basis = GaussianBasis { count: config.num_radial, cutoff: config.cutoff };
        Self { geometry, basis, predicted: None }
    }

    /// Takes the vectors of the edges (E, 3), from [`ops::edge_vectors`], in place of those in the graph, which they must be
    /// up to rounding: gradients then flow through lengths, angles and directions to wherever the vectors come from.
    pub fn with_vectors(self, vectors: Tensor<2>) -> Self {
        let directions = ops::directions(vectors.clone());
        let geometry = self.geometry.with_directions(directions.clone());
        Self { geometry, predicted: Some(PredictedEdges { vectors, directions }), ..self }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Radial basis of the edges, (E, R).
    pub(crate) fn radial_basis(&self, device: &Device) -> Tensor<2> {
        match &self.predicted {
            None => self.basis.tensor(&self.graph().lengths, device),
            Some(edges) => ops::gaussians(edges.vectors.clone(), self.basis),
        }
    }

    /// Directions of the edges, from their source to their destination: (E, 3).
    fn directions(&self, device: &Device) -> Tensor<2> {
        if let Some(edges) = &self.predicted {
            return edges.directions.clone();
        }
        let edges = self.graph().vectors.iter().zip(&self.graph().lengths);
        matrix(edges.flat_map(|(v, d)| v.map(|x| (x / d) as f32)).collect(), 3, device)
    }

    /// The multigraph. An edge leaves the atom that receives its message and reaches the one that sends it.
    pub fn graph(&self) -> &Arc<Multigraph> {
        &self.geometry.graph
    }
}

/// Result of the decoder.
pub struct DecoderOutput {
    /// For each atom a vector towards its clean position, Cartesian, in units of the noise level: (N, 3).
    pub vectors: Tensor<2>,
    /// Logits of the elements, index Z - 1, for each atom: (N, 100).
    pub logits: Tensor<2>,
}

/// The score network and element classifier.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: DecoderConfig,
    embedding: AtomEmbedding,
    merge: Linear,
    trunk: Trunk,
    heads: Vec<EdgeHead>,
    elements: Linear,
    latent: usize,
}

impl Decoder {
    /// Registers `prefix.gemnet.*` and `prefix.fc_atom` for latents of width `latent`. The energy branch of the published
    /// network, on which no output depends, is left out.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &DecoderConfig, latent: usize) -> Self {
        let (gemnet, sizes) = (format!("{prefix}.gemnet"), config.sizes());
        let scales = &config.scale_factors;
        let embedding = AtomEmbedding::new(builder, &gemnet, config.hidden);
        let shape = [config.hidden + latent, config.hidden];
        let merge = Linear::new(builder, &format!("{gemnet}.atom_latent_emb"), shape, true);
        let trunk = Trunk::new(builder, &gemnet, sizes, config.blocks, scales);
        let heads = (0..=config.blocks)
            .map(|i| {
                let name = format!("{gemnet}.out_blocks.{i}");
                EdgeHead::new(builder, &name, sizes, scales.edge_head(i))
            })
            .collect();
        let shape = [config.hidden, usize::from(MAX_ELEMENT)];
        let elements = Linear::new(builder, &format!("{prefix}.fc_atom"), shape, true);
        Self { config: config.clone(), embedding, merge, trunk, heads, elements, latent }
    }

    /// What latents (B, latent) add to the embeddings of their atoms, (B, hidden): does not change while a crystal is
    /// sampled.
    pub fn latent_projection(&self, params: &Params, latents: Tensor<2>) -> Tensor<2> {
        let weight = self.merge.slice(params, self.config.hidden, self.latent);
        ops::dense(latents, weight, ops::Activation::Identity) + self.merge.bias(params)
    }

    /// Evaluates the network; `projection` comes from [`Decoder::latent_projection`], `species` has an element for every
    /// atom of the input.
    ///
    /// # Panics
    /// When the numbers of atoms or crystals differ, or an element lies beyond [`MAX_ELEMENT`].
    pub fn forward(
        &self,
        params: &Params,
        input: &DecoderInput,
        species: &[Element],
        projection: Tensor<2>,
    ) -> DecoderOutput {
        self.forward_visited(params, input, species, projection, |_, _, _, _| {})
    }

    /// [`Decoder::forward`]; `visit` sees the state before block 1 (index 0) and after each block, with the shared basis and
    /// the scalars that the edge head found there (E, 1).
    pub(crate) fn forward_visited(
        &self,
        params: &Params,
        input: &DecoderInput,
        species: &[Element],
        projection: Tensor<2>,
        mut visit: impl FnMut(usize, &TrunkState, &ProjectedBasis, &Tensor<2>),
    ) -> DecoderOutput {
        let graph = input.graph();
        assert_eq!(species.len(), graph.num_atoms, "one element for each atom");
        assert_eq!(projection.dims()[0], graph.num_crystals(), "one latent for each crystal");
        let h = self.embedding.forward(params, species);
        let weight = self.merge.slice(params, 0, self.config.hidden);
        let h = ops::dense(h, weight, ops::Activation::Identity)
            + ops::gather(projection, &graph.crystal_of_atom);
        let rbf = input.radial_basis(params.device());
        let mut scalars: Option<Tensor<2>> = None;
        let state = self.trunk.forward(params, &input.geometry, rbf, h, |i, state, basis| {
            let scalar = self.heads[i].forward(params, state.m.clone(), basis.output.clone());
            visit(i, state, basis, &scalar);
            scalars = Some(scalars.take().map_or_else(|| scalar.clone(), |sum| sum + scalar.clone()));
        });
        let scalars = scalars.expect("there is an edge head even without interaction blocks");
        // The published sign: along the vector from the sender to the receiver, against the direction of the edge.
        let directions = input.directions(params.device());
        let vectors =
            ops::weighted_sum(scalars.neg(), directions, input.geometry.receivers(), graph.num_atoms);
        DecoderOutput { vectors, logits: self.elements.forward(params, state.h) }
    }

    pub(crate) fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    /// Sizes of the network.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }
}
