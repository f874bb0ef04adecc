//! DimeNet++ on a multigraph (J. Gasteiger et al., "Fast and Uncertainty-Aware Directional Message Passing for
//! Non-Equilibrium Molecules", 2020), as CDVAE uses it on the bonds of crystals.
//!
//! Widths: H messages (`hidden`), I messages between triplets (`interaction`), C projected bases (`basis`), O atoms in the
//! output blocks (`output_embedding`), R radial functions, L angular degrees.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::Element;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::bases::Bases;
use self::interaction::InteractionBlock;
use self::layers::{AtomLayers, EmbeddingBlock, MessageNames, MessageSizes, linear};
use self::sizes::Allowed;
use super::linear::Linear;
use super::radial::BesselBasis;
use crate::basis::SphericalBesselBasis;
use crate::graph::{MessageAngles, MessagePairs, Multigraph};
use crate::ops;
use crate::{Init, ParamBuilder, Params};

mod bases;
mod edge_outputs;
mod interaction;
pub(crate) mod layers;
mod readout;
pub(crate) mod sizes;

pub use edge_outputs::{EdgeDimeNet, EdgeGeometry, EdgeTrace};
pub use readout::Readout;
pub use sizes::SizeError;

/// Largest atomic number that has an embedding; the table is indexed by it and row 0 is never used.
pub const MAX_ELEMENT: u8 = 94;

/// Sizes of a [`DimeNetPlusPlus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DimeNetConfig {
    /// Width of messages and of the embeddings of elements.
    pub hidden: usize,
    /// Width of messages inside the triplet interaction.
    pub interaction: usize,
    /// Width of the projections of the radial and of the spherical basis.
    pub basis: usize,
    /// Width of atoms in the output blocks.
    pub output_embedding: usize,
    /// Number of interaction blocks.
    pub blocks: usize,
    /// Number of angular degrees of the spherical basis (0 to `num_spherical` - 1).
    pub num_spherical: usize,
    /// Number of radial functions, and of functions of each degree of the spherical basis.
    pub num_radial: usize,
    /// Length in Å that scales distances before the bases. It cuts nothing off: bonds may be longer.
    pub cutoff: f64,
    /// Residual layers before the skip connection of an interaction block.
    pub before_skip: usize,
    /// Residual layers after it.
    pub after_skip: usize,
    /// Activated layers of an output block.
    pub output_layers: usize,
}

impl Default for DimeNetConfig {
    /// The sizes of CDVAE's encoder.
    fn default() -> Self {
        Self {
            hidden: 128,
            interaction: 64,
            basis: 8,
            output_embedding: 256,
            blocks: 4,
            num_spherical: 7,
            num_radial: 6,
            cutoff: 7.0,
            before_skip: 1,
            after_skip: 2,
            output_layers: 3,
        }
    }
}

impl DimeNetConfig {
    /// Checks that the numbers describe a network.
    ///
    /// # Errors
    /// [`SizeError`] for the first that does not.
    pub fn validate(&self) -> Result<(), SizeError> {
        sizes::check([
            ("hidden", self.hidden, Allowed::Width),
            ("interaction", self.interaction, Allowed::Width),
            ("basis", self.basis, Allowed::Width),
            ("output_embedding", self.output_embedding, Allowed::Width),
            ("blocks", self.blocks, Allowed::Layers),
            ("before_skip", self.before_skip, Allowed::Layers),
            ("after_skip", self.after_skip, Allowed::Layers),
            ("output_layers", self.output_layers, Allowed::Layers),
            ("num_spherical", self.num_spherical, Allowed::Degrees(16)),
            ("num_radial", self.num_radial, Allowed::Functions),
        ])?;
        sizes::check_cutoff(self.cutoff)
    }

    fn messages(&self) -> MessageSizes {
        let Self { hidden, interaction, basis, num_radial, before_skip, after_skip, .. } = *self;
        MessageSizes { hidden, interaction, basis, num_radial, before_skip, after_skip }
    }
}

/// What the network reads of a multigraph. It needs no weights and can be made ahead.
#[derive(Debug, Clone)]
pub struct MessageGeometry {
    graph: Arc<Multigraph>,
    angles: Arc<MessageAngles>,
    /// Radial factors of the spherical basis, (E, L · R).
    spherical: Arc<[f32]>,
}

impl MessageGeometry {
    /// The multigraph.
    pub fn graph(&self) -> &Arc<Multigraph> {
        &self.graph
    }

    /// The angular functions of pairs of messages.
    pub fn angles(&self) -> &Arc<MessageAngles> {
        &self.angles
    }

    /// Radial factors of the spherical basis, row by row: (E, L · R), the degree slow.
    pub fn spherical(&self) -> &[f32] {
        &self.spherical
    }
}

/// Sums of messages into atoms and what follows per atom.
#[derive(Debug, Clone)]
struct OutputBlock {
    radial: Linear,
    atoms: AtomLayers,
}

impl OutputBlock {
    /// Registers `name.lin_rbf` and the layers of the atoms below `name`.
    fn new(builder: &mut ParamBuilder, name: &str, config: &DimeNetConfig, output: usize) -> Self {
        let DimeNetConfig { hidden, output_embedding, num_radial, output_layers, .. } = *config;
        let radial = linear(builder, &format!("{name}.lin_rbf"), [num_radial, hidden], None);
        let widths = [hidden, output_embedding, output];
        Self { radial, atoms: AtomLayers::new(builder, name, widths, output_layers, Init::Zeros) }
    }

    /// m is (E, H), rbf (E, R); the result (N, output).
    fn forward(&self, params: &Params, m: Tensor<2>, rbf: Tensor<2>, graph: &Multigraph) -> Tensor<2> {
        self.atoms.forward(params, self.sums(params, m, rbf, graph))
    }

    /// [`OutputBlock::forward`] without the last layer: (N, output embedding).
    fn hidden(&self, params: &Params, m: Tensor<2>, rbf: Tensor<2>, graph: &Multigraph) -> Tensor<2> {
        self.atoms.hidden(params, self.sums(params, m, rbf, graph))
    }

    fn sums(&self, params: &Params, m: Tensor<2>, rbf: Tensor<2>, graph: &Multigraph) -> Tensor<2> {
        let weight = self.radial.weight(params);
        ops::filtered_sum(m, rbf, weight, 1.0, &graph.destination, graph.num_atoms)
    }
}

/// What the network computes on its way, for checks against reference values.
#[derive(Debug, Clone)]
pub struct MessageTrace {
    /// Messages (E, H) that the embedding block and every interaction block return.
    pub messages: Vec<Tensor<2>>,
    /// What the output blocks return, (N, output) each.
    pub outputs: Vec<Tensor<2>>,
}

/// DimeNet++: the sum of all output blocks for every atom.
#[derive(Debug, Clone)]
pub struct DimeNetPlusPlus {
    config: DimeNetConfig,
    radial: BesselBasis,
    spherical: SphericalBesselBasis,
    embedding: EmbeddingBlock,
    interactions: Vec<InteractionBlock>,
    outputs: Vec<OutputBlock>,
}

impl DimeNetPlusPlus {
    /// Registers the network below `prefix`, with `output` numbers for each atom. The names are those of the published
    /// implementations.
    ///
    /// # Errors
    /// As [`DimeNetConfig::validate`].
    pub fn new(
        builder: &mut ParamBuilder,
        prefix: &str,
        config: &DimeNetConfig,
        output: usize,
    ) -> Result<Self, SizeError> {
        config.validate()?;
        let DimeNetConfig { num_radial, num_spherical, cutoff, blocks, .. } = *config;
        Ok(Self {
            radial: BesselBasis::new(builder, &format!("{prefix}.rbf"), num_radial, cutoff),
            spherical: SphericalBesselBasis::new(num_spherical, num_radial, cutoff, true),
            embedding: EmbeddingBlock::new(
                builder,
                [&format!("{prefix}.emb"), "lin_rbf"],
                [0, MAX_ELEMENT],
                num_radial,
                config.hidden,
            ),
            outputs: (0..=blocks)
                .map(|i| OutputBlock::new(builder, &format!("{prefix}.output_blocks.{i}"), config, output))
                .collect(),
            interactions: (0..blocks)
                .map(|i| {
                    let name = format!("{prefix}.interaction_blocks.{i}");
                    InteractionBlock::new(builder, &name, config, &MessageNames::GEOMETRIC, "lin_sbf")
                })
                .collect(),
            config: config.clone(),
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &DimeNetConfig {
        &self.config
    }

    /// What the network reads of a multigraph with lengths in Å.
    pub fn geometry(&self, graph: Arc<Multigraph>) -> MessageGeometry {
        let degrees = self.config.num_spherical;
        let angles = Arc::new(MessageAngles::new(&graph, degrees, MessagePairs::OtherAtoms));
        let spherical = self.spherical.evaluate(&graph.lengths).into();
        MessageGeometry { graph, angles, spherical }
    }

    /// The radial basis of the edges, (E, R).
    pub fn radial_basis(&self, params: &Params, geometry: &MessageGeometry) -> Tensor<2> {
        self.radial.forward(params, &geometry.graph.lengths)
    }

    /// The sum of the output blocks for every atom, (N, output). `species` has one element for each atom.
    ///
    /// # Panics
    /// When an element is beyond [`MAX_ELEMENT`] or the species differ in number from the atoms of the graph.
    pub fn forward(&self, params: &Params, geometry: &MessageGeometry, species: &[Element]) -> Tensor<2> {
        let mut sum: Option<Tensor<2>> = None;
        self.run(params, geometry, species, |block, m, radial| {
            let output = block.forward(params, m.clone(), radial, &geometry.graph);
            sum = Some(sum.take().map_or_else(|| output.clone(), |sum| sum + output.clone()));
        });
        sum.expect("there is an output block even without interaction blocks")
    }

    /// [`DimeNetPlusPlus::forward`] that returns everything on the way.
    ///
    /// # Panics
    /// As [`DimeNetPlusPlus::forward`].
    pub fn trace(&self, params: &Params, geometry: &MessageGeometry, species: &[Element]) -> MessageTrace {
        let mut trace = MessageTrace { messages: Vec::new(), outputs: Vec::new() };
        self.run(params, geometry, species, |block, m, radial| {
            trace.messages.push(m.clone());
            trace.outputs.push(block.forward(params, m.clone(), radial, &geometry.graph));
        });
        trace
    }

    /// What the last layers of the output blocks read of every atom, one block after the other: (N, (blocks + 1) · output
    /// embedding). [`DimeNetPlusPlus::forward`] is a linear map of it.
    ///
    /// # Panics
    /// As [`DimeNetPlusPlus::forward`].
    pub fn hidden(&self, params: &Params, geometry: &MessageGeometry, species: &[Element]) -> Tensor<2> {
        let mut all = Vec::new();
        self.run(params, geometry, species, |block, m, radial| {
            all.push(block.hidden(params, m.clone(), radial, &geometry.graph));
        });
        Tensor::cat(all, 1)
    }

    /// Hands every output block to `visit`, with the messages and the radial basis that it reads.
    fn run(
        &self,
        params: &Params,
        geometry: &MessageGeometry,
        species: &[Element],
        mut visit: impl FnMut(&OutputBlock, &Tensor<2>, Tensor<2>),
    ) {
        let graph = &geometry.graph;
        assert_eq!(species.len(), graph.num_atoms, "one element for each atom");
        assert!(species.iter().all(|e| e.z() <= MAX_ELEMENT), "elements have an embedding");
        let device = params.device();
        let radial = self.radial_basis(params, geometry);
        let bases = Bases::new(radial, &geometry.spherical, &self.spherical, device);
        let mut m = {
            let ends = [&graph.source, &graph.destination];
            self.embedding.forward(params, species, bases.radial.clone(), ends)
        };
        visit(&self.outputs[0], &m, bases.radial.clone());
        for (i, block) in self.interactions.iter().enumerate() {
            m = block.forward(params, m, &bases, |x, basis, weight| {
                ops::message_sum(x, basis, weight, &geometry.graph, &geometry.angles)
            });
            visit(&self.outputs[i + 1], &m, bases.radial.clone());
        }
    }
}
