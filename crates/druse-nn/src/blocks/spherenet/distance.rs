//! SphereNet without angles and torsions, on directed graphs: the network of SyMat's scores.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::Element;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::dimenet::SizeError;
use crate::blocks::dimenet::layers::{EmbeddingBlock, MessageLayers, MessageNames, MessageSizes, linear};
use crate::blocks::dimenet::sizes::{self, Allowed};
use crate::blocks::embedding::MAX_ELEMENT;
use crate::blocks::linear::Linear;
use crate::blocks::radial::BesselBasis;
use crate::graph::DirectedGraph;
use crate::ops;
use crate::{ParamBuilder, Params};

/// Sizes of a [`DistanceNet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DistanceNetConfig {
    /// Width of messages and of the embeddings of elements.
    pub hidden: usize,
    /// Width of messages inside the sum over neighbors.
    pub interaction: usize,
    /// Width of the projection of the radial basis.
    pub basis: usize,
    /// Number of interaction blocks, at least one.
    pub blocks: usize,
    /// Number of radial functions.
    pub num_radial: usize,
    /// Length in Å that scales distances before the basis. It cuts nothing off.
    pub cutoff: f64,
    /// Residual layers before the skip connection of an interaction block.
    pub before_skip: usize,
    /// Residual layers after it.
    pub after_skip: usize,
}

impl Default for DistanceNetConfig {
    /// The sizes of SyMat's score network.
    fn default() -> Self {
        Self {
            hidden: 128,
            interaction: 64,
            basis: 8,
            blocks: 4,
            num_radial: 6,
            cutoff: 5.0,
            before_skip: 1,
            after_skip: 2,
        }
    }
}

impl DistanceNetConfig {
    /// Checks that the numbers describe a network.
    ///
    /// # Errors
    /// [`SizeError`] for the first that does not.
    pub fn validate(&self) -> Result<(), SizeError> {
        sizes::check([
            ("hidden", self.hidden, Allowed::Width),
            ("interaction", self.interaction, Allowed::Width),
            ("basis", self.basis, Allowed::Width),
            ("blocks", self.blocks, Allowed::Layers),
            ("before_skip", self.before_skip, Allowed::Layers),
            ("after_skip", self.after_skip, Allowed::Layers),
            ("num_radial", self.num_radial, Allowed::Functions),
        ])?;
        if self.blocks == 0 {
            return Err(SizeError { key: "blocks", value: 0.0, expected: "1 to 64".into() });
        }
        sizes::check_cutoff(self.cutoff)
    }

    fn messages(&self) -> MessageSizes {
        let Self { hidden, interaction, basis, num_radial, before_skip, after_skip, .. } = *self;
        MessageSizes { hidden, interaction, basis, num_radial, before_skip, after_skip }
    }
}

/// Messages on a directed graph that know distances alone. A message k → j enters all messages that leave j, but not the
/// one that goes straight back.
#[derive(Debug, Clone)]
pub struct DistanceNet {
    config: DistanceNetConfig,
    radial: BesselBasis,
    embedding: EmbeddingBlock,
    interactions: Vec<MessageLayers>,
    /// Weight of the last messages.
    weight: Linear,
}

impl DistanceNet {
    /// Registers the network below `prefix`. The names are those of the published implementation, whose weights of all but
    /// the last messages are left out: no output depends on them.
    ///
    /// # Errors
    /// As [`DistanceNetConfig::validate`].
    pub fn new(
        builder: &mut ParamBuilder,
        prefix: &str,
        config: &DistanceNetConfig,
    ) -> Result<Self, SizeError> {
        config.validate()?;
        let DistanceNetConfig { hidden, num_radial, blocks, cutoff, .. } = *config;
        let init = format!("{prefix}.init_e");
        let embedding =
            EmbeddingBlock::new(builder, [&init, "lin_rbf_0"], [1, MAX_ELEMENT], num_radial, hidden);
        let interactions = (0..blocks)
            .map(|i| {
                let name = format!("{prefix}.update_es.{i}");
                MessageLayers::new(builder, &name, &config.messages(), &MessageNames::GEOMETRIC, |_| ()).0
            })
            .collect();
        let name = format!("{prefix}.update_es.{}.lin_rbf", blocks - 1);
        Ok(Self {
            weight: linear(builder, &name, [num_radial, hidden], None),
            radial: BesselBasis::plain(builder, &format!("{prefix}.emb"), num_radial, cutoff),
            embedding,
            interactions,
            config: config.clone(),
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &DistanceNetConfig {
        &self.config
    }

    /// The radial basis of the edges, (E, R).
    pub fn radial_basis(&self, params: &Params, graph: &DirectedGraph) -> Tensor<2> {
        self.radial.forward(params, &graph.lengths)
    }

    /// The last messages weighted by the radial basis, (E, H). `species` has one element for each atom.
    ///
    /// # Panics
    /// When an element is beyond [`MAX_ELEMENT`] or the species differ in number from the atoms of the graph.
    pub fn forward(&self, params: &Params, graph: &Arc<DirectedGraph>, species: &[Element]) -> Tensor<2> {
        self.visited(params, graph, species, |_| {})
    }

    /// [`DistanceNet::forward`]; `visit` sees the messages (E, H) that the embedding block and every interaction block
    /// return.
    ///
    /// # Panics
    /// As [`DistanceNet::forward`].
    pub fn visited(
        &self,
        params: &Params,
        graph: &Arc<DirectedGraph>,
        species: &[Element],
        mut visit: impl FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        assert_eq!(species.len(), graph.num_atoms, "one element for each atom");
        let rbf = self.radial_basis(params, graph);
        let mut m = self.embedding.forward(params, species, rbf.clone(), [&graph.source, &graph.target]);
        visit(&m);
        for layers in &self.interactions {
            let x = layers.down(params, m.clone(), rbf.clone());
            m = layers.update(params, m, ops::incoming_sum(x, graph));
            visit(&m);
        }
        ops::filter(m, rbf, self.weight.weight(params), 1.0)
    }
}
