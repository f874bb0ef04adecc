//! SphereNet on a multigraph (Y. Liu et al., "Spherical Message Passing for 3D Molecular Graphs", ICLR 2022) as SyMat
//! uses it: messages in pairs of a state and its radially weighted form, sums over pairs of messages with a filter of the
//! angle and one of the torsion; and its variant on directed graphs that reads distances alone.
//!
//! Widths: H messages (`hidden`), I messages in the sum over pairs (`interaction`), O atoms (`output_embedding`), R radial
//! functions, L angular degrees.

mod distance;

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::Element;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::distance::{DistanceNet, DistanceNetConfig};
use super::dimenet::SizeError;
use super::dimenet::layers::{
    AtomLayers, EmbeddingBlock, MessageLayers, MessageNames, MessageSizes, linear, plain_pair,
};
use super::dimenet::sizes::{self, Allowed};
use super::embedding::MAX_ELEMENT;
use super::linear::Linear;
use super::radial::BesselBasis;
use crate::basis::SphericalBesselBasis;
use crate::graph::{MessageHarmonics, Multigraph, TorsionRule};
use crate::ops;
use crate::{Init, ParamBuilder, Params};

/// Sizes of a [`SphereNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SphereNetConfig {
    /// Width of messages and of the embeddings of elements.
    pub hidden: usize,
    /// Width of messages inside the sum over pairs.
    pub interaction: usize,
    /// Width of the projection of the radial basis.
    pub basis_distance: usize,
    /// Width of the projection of the basis of distances and angles.
    pub basis_angle: usize,
    /// Width of the projection of the basis of distances, angles and torsions.
    pub basis_torsion: usize,
    /// Width of atoms in the output blocks.
    pub output_embedding: usize,
    /// Number of interaction blocks.
    pub blocks: usize,
    /// Number of angular degrees L (0 to `num_spherical` - 1); there are L² functions of angle and torsion.
    pub num_spherical: usize,
    /// Number of radial functions, and of functions of each degree.
    pub num_radial: usize,
    /// Length in Å that scales distances before the bases. It cuts nothing off: bonds may be longer.
    pub cutoff: f64,
    /// Residual layers before the skip connection of an interaction block.
    pub before_skip: usize,
    /// Residual layers after it.
    pub after_skip: usize,
    /// Activated layers of an output block.
    pub output_layers: usize,
    /// What the torsion of a pair of messages is.
    pub torsion: TorsionRule,
}

impl Default for SphereNetConfig {
    /// The sizes of SyMat's encoder.
    fn default() -> Self {
        Self {
            hidden: 128,
            interaction: 64,
            basis_distance: 8,
            basis_angle: 8,
            basis_torsion: 8,
            output_embedding: 256,
            blocks: 4,
            num_spherical: 7,
            num_radial: 6,
            cutoff: 5.0,
            before_skip: 1,
            after_skip: 2,
            output_layers: 3,
            torsion: TorsionRule::Nearest,
        }
    }
}

impl SphereNetConfig {
    /// Checks that the numbers describe a network.
    ///
    /// # Errors
    /// [`SizeError`] for the first that does not.
    pub fn validate(&self) -> Result<(), SizeError> {
        sizes::check([
            ("hidden", self.hidden, Allowed::Width),
            ("interaction", self.interaction, Allowed::Width),
            ("basis_distance", self.basis_distance, Allowed::Width),
            ("basis_angle", self.basis_angle, Allowed::Width),
            ("basis_torsion", self.basis_torsion, Allowed::Width),
            ("output_embedding", self.output_embedding, Allowed::Width),
            ("blocks", self.blocks, Allowed::Layers),
            ("before_skip", self.before_skip, Allowed::Layers),
            ("after_skip", self.after_skip, Allowed::Layers),
            ("output_layers", self.output_layers, Allowed::Layers),
            ("num_spherical", self.num_spherical, Allowed::Degrees(12)),
            ("num_radial", self.num_radial, Allowed::Functions),
        ])?;
        sizes::check_cutoff(self.cutoff)
    }

    fn messages(&self) -> MessageSizes {
        let Self { hidden, interaction, basis_distance, num_radial, before_skip, after_skip, .. } = *self;
        MessageSizes { hidden, interaction, basis: basis_distance, num_radial, before_skip, after_skip }
    }
}

/// What the network reads of a multigraph. It needs no weights and can be made ahead.
#[derive(Debug, Clone)]
pub struct SphereGeometry {
    graph: Arc<Multigraph>,
    harmonics: Arc<MessageHarmonics>,
    /// Radial factors of the bases of angles and torsions, (E, L · R).
    spherical: Arc<[f32]>,
}

impl SphereGeometry {
    /// The multigraph.
    pub fn graph(&self) -> &Arc<Multigraph> {
        &self.graph
    }

    /// The harmonics of pairs of messages.
    pub fn harmonics(&self) -> &Arc<MessageHarmonics> {
        &self.harmonics
    }

    /// Radial factors of the bases of angles and torsions, row by row: (E, L · R), the degree slow.
    pub fn spherical(&self) -> &[f32] {
        &self.spherical
    }
}

/// One round of messages.
#[derive(Debug, Clone)]
struct InteractionBlock {
    messages: MessageLayers,
    angle: [Linear; 2],
    torsion: [Linear; 2],
    /// Weight of the second message of each pair.
    weight: Linear,
}

impl InteractionBlock {
    /// Registers the layers below `name`.
    fn new(builder: &mut ParamBuilder, name: &str, config: &SphereNetConfig) -> Self {
        let SphereNetConfig { num_spherical: degrees, num_radial, interaction, .. } = *config;
        let angle = [degrees * num_radial, config.basis_angle, interaction];
        let torsion = [degrees * degrees * num_radial, config.basis_torsion, interaction];
        let (messages, (angle, torsion, weight)) =
            MessageLayers::new(builder, name, &config.messages(), &MessageNames::GEOMETRIC, |builder| {
                let angle = plain_pair(builder, name, "lin_sbf", angle);
                let torsion = plain_pair(builder, name, "lin_t", torsion);
                let shape = [num_radial, config.hidden];
                (angle, torsion, linear(builder, &format!("{name}.lin_rbf"), shape, None))
            });
        Self { messages, angle, torsion, weight }
    }

    /// m is (E, H), rbf (E, R); returns (E, H).
    fn forward(&self, params: &Params, m: Tensor<2>, rbf: Tensor<2>, geometry: &SphereGeometry) -> Tensor<2> {
        let SphereGeometry { graph, harmonics, spherical } = geometry;
        let x = self.messages.down(params, m.clone(), rbf);
        let weights = |pair: &[Linear; 2]| pair.each_ref().map(|layer| layer.weight(params));
        let (angle, torsion) = (weights(&self.angle), weights(&self.torsion));
        let sums = ops::torsion_sum(x, angle, torsion, spherical, graph, harmonics);
        self.messages.update(params, m, sums)
    }
}

/// What the network computes on its way, for checks against reference values.
#[derive(Debug, Clone)]
pub struct SphereTrace {
    /// Messages (E, H) that the embedding block and every interaction block return.
    pub messages: Vec<Tensor<2>>,
    /// The same weighted by the radial basis, (E, H): what is summed into atoms.
    pub weighted: Vec<Tensor<2>>,
    /// What the output blocks return, (N, output) each.
    pub outputs: Vec<Tensor<2>>,
}

/// SphereNet: the sum of all output blocks for every atom.
#[derive(Debug, Clone)]
pub struct SphereNet {
    config: SphereNetConfig,
    radial: BesselBasis,
    spherical: SphericalBesselBasis,
    embedding: EmbeddingBlock,
    /// Weight of the second message of each first pair.
    weight: Linear,
    interactions: Vec<InteractionBlock>,
    outputs: Vec<AtomLayers>,
}

impl SphereNet {
    /// Registers the network below `prefix`, with `output` numbers for each atom. The names are those of the published
    /// implementation.
    ///
    /// # Errors
    /// As [`SphereNetConfig::validate`].
    pub fn new(
        builder: &mut ParamBuilder,
        prefix: &str,
        config: &SphereNetConfig,
        output: usize,
    ) -> Result<Self, SizeError> {
        config.validate()?;
        let SphereNetConfig { hidden, num_radial, num_spherical, cutoff, blocks, .. } = *config;
        let init = format!("{prefix}.init_e");
        let embedding =
            EmbeddingBlock::new(builder, [&init, "lin_rbf_0"], [1, MAX_ELEMENT], num_radial, hidden);
        let weight = Linear::new(builder, &format!("{init}.lin_rbf_1"), [num_radial, hidden], false);
        let names = (0..=blocks).map(|i| match i.checked_sub(1) {
            None => format!("{prefix}.init_v"),
            Some(i) => format!("{prefix}.update_vs.{i}"),
        });
        let widths = [hidden, config.output_embedding, output];
        Ok(Self {
            outputs: names
                .map(|name| {
                    AtomLayers::new(builder, &name, widths, config.output_layers, Init::GlorotOrthogonal)
                })
                .collect(),
            interactions: (0..blocks)
                .map(|i| InteractionBlock::new(builder, &format!("{prefix}.update_es.{i}"), config))
                .collect(),
            radial: BesselBasis::new(builder, &format!("{prefix}.emb.dist_emb"), num_radial, cutoff),
            spherical: SphericalBesselBasis::new(num_spherical, num_radial, cutoff, false),
            embedding,
            weight,
            config: config.clone(),
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &SphereNetConfig {
        &self.config
    }

    /// What the network reads of a multigraph with lengths in Å.
    pub fn geometry(&self, graph: Arc<Multigraph>) -> SphereGeometry {
        let SphereNetConfig { num_spherical, torsion, .. } = self.config;
        let harmonics = Arc::new(MessageHarmonics::new(&graph, num_spherical, torsion));
        let spherical = self.spherical.evaluate(&graph.lengths).into();
        SphereGeometry { graph, harmonics, spherical }
    }

    /// The radial basis of the edges, (E, R).
    pub fn radial_basis(&self, params: &Params, geometry: &SphereGeometry) -> Tensor<2> {
        self.radial.forward(params, &geometry.graph.lengths)
    }

    /// The embeddings of elements, a row for each: (elements, H).
    ///
    /// # Panics
    /// When an element is beyond [`MAX_ELEMENT`].
    pub fn elements(&self, params: &Params, elements: &[Element]) -> Tensor<2> {
        self.embedding.elements.rows(params, elements)
    }

    /// The sum of the output blocks for every atom, (N, output). `species` has one element for each atom.
    ///
    /// # Panics
    /// When an element is beyond [`MAX_ELEMENT`] or the species differ in number from the atoms of the graph.
    pub fn forward(&self, params: &Params, geometry: &SphereGeometry, species: &[Element]) -> Tensor<2> {
        let mut sum: Option<Tensor<2>> = None;
        self.run(params, geometry, species, |_, _, _, output| {
            sum = Some(sum.take().map_or_else(|| output.clone(), |sum| sum + output.clone()));
        });
        sum.expect("there is an output block even without interaction blocks")
    }

    /// [`SphereNet::forward`] that returns everything on the way.
    ///
    /// # Panics
    /// As [`SphereNet::forward`].
    pub fn trace(&self, params: &Params, geometry: &SphereGeometry, species: &[Element]) -> SphereTrace {
        let mut trace = SphereTrace { messages: Vec::new(), weighted: Vec::new(), outputs: Vec::new() };
        self.run(params, geometry, species, |m, rbf, weight, output| {
            trace.messages.push(m.clone());
            trace.weighted.push(m.clone() * weight.forward(params, rbf.clone()));
            trace.outputs.push(output);
        });
        trace
    }

    /// Hands the messages, the radial basis, the layer that weights messages by it and the output of every output block to
    /// `visit`.
    fn run(
        &self,
        params: &Params,
        geometry: &SphereGeometry,
        species: &[Element],
        mut visit: impl FnMut(&Tensor<2>, &Tensor<2>, &Linear, Tensor<2>),
    ) {
        let graph = &geometry.graph;
        assert_eq!(species.len(), graph.num_atoms, "one element for each atom");
        let rbf = self.radial_basis(params, geometry);
        let output = |i: usize, m: &Tensor<2>, weight: &Linear| {
            let (weight, to) = (weight.weight(params), &graph.destination);
            let sums = ops::filtered_sum(m.clone(), rbf.clone(), weight, 1.0, to, graph.num_atoms);
            self.outputs[i].forward(params, sums)
        };
        let ends = [&graph.source, &graph.destination];
        let mut m = self.embedding.forward(params, species, rbf.clone(), ends);
        visit(&m, &rbf, &self.weight, output(0, &m, &self.weight));
        for (i, block) in self.interactions.iter().enumerate() {
            m = block.forward(params, m, rbf.clone(), geometry);
            visit(&m, &rbf, &block.weight, output(i + 1, &m, &block.weight));
        }
    }
}
