//! DimeNet++ on a multigraph (J. Gasteiger et al., "Fast and Uncertainty-Aware Directional Message Passing for
//! Non-Equilibrium Molecules", 2020), as CDVAE uses it on the bonds of crystals.
//!
//! Widths: H messages (`hidden`), I messages between triplets (`interaction`), C projected bases (`basis`), O atoms in the
//! output blocks (`output_embedding`), R radial functions, L angular degrees.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use druse_crystal::Element;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear::Linear;
use super::radial::BesselBasis;
use crate::basis::SphericalBesselBasis;
use crate::graph::{Index, MessageAngles, MessagePairs, Multigraph};
use crate::ops::{self, Activation, MessageUpdateWeights};
use crate::{Init, ParamBuilder, ParamId, Params};

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

/// A size that makes no network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{key} = {value}, expected {expected}")]
pub struct DimeNetSizeError {
    /// Name of the field.
    pub key: &'static str,
    /// What it holds.
    pub value: f64,
    /// What it may hold.
    pub expected: &'static str,
}

impl DimeNetConfig {
    /// Checks that the numbers describe a network.
    ///
    /// # Errors
    /// [`DimeNetSizeError`] for the first that does not.
    pub fn validate(&self) -> Result<(), DimeNetSizeError> {
        let check = |key, value: usize, range: std::ops::RangeInclusive<usize>, expected| {
            let value_error = DimeNetSizeError { key, value: value as f64, expected };
            if range.contains(&value) { Ok(()) } else { Err(value_error) }
        };
        for (key, value) in [
            ("hidden", self.hidden),
            ("interaction", self.interaction),
            ("basis", self.basis),
            ("output_embedding", self.output_embedding),
        ] {
            check(key, value, 1..=4096, "1 to 4096")?;
        }
        for (key, value) in [
            ("blocks", self.blocks),
            ("before_skip", self.before_skip),
            ("after_skip", self.after_skip),
            ("output_layers", self.output_layers),
        ] {
            check(key, value, 0..=64, "0 to 64")?;
        }
        check("num_spherical", self.num_spherical, 1..=16, "1 to 16")?;
        check("num_radial", self.num_radial, 1..=64, "1 to 64")?;
        if !(self.cutoff.is_finite() && self.cutoff > 0.0) {
            let expected = "a positive number";
            return Err(DimeNetSizeError { key: "cutoff", value: self.cutoff, expected });
        }
        Ok(())
    }
}

/// How the atoms of a crystal become one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Readout {
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
}

impl Readout {
    /// Rows of atoms (N, width) to rows of crystals (B, width).
    pub fn apply(self, atoms: Tensor<2>, graph: &Multigraph) -> Tensor<2> {
        let device = atoms.device();
        let sum = ops::scatter_sum(atoms, &graph.crystal_of_atom, graph.num_crystals());
        match self {
            Self::Sum => sum,
            Self::Mean => {
                let inverse = graph.atoms_per_crystal().map(|n| 1.0 / n.max(1) as f32).collect();
                sum * ops::matrix(inverse, 1, &device)
            }
        }
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

/// Layers whose weight starts glorot-orthogonal.
fn linear(builder: &mut ParamBuilder, name: &str, shape: [usize; 2], bias: Option<Init>) -> Linear {
    Linear::with_init(builder, name, shape, Init::GlorotOrthogonal, bias)
}

/// `u + SiLU(W₂ SiLU(W₁ u + b₁) + b₂)`.
#[derive(Debug, Clone)]
struct ResidualLayer([Linear; 2]);

impl ResidualLayer {
    /// Registers `name.lin1` and `name.lin2`.
    fn new(builder: &mut ParamBuilder, name: &str, width: usize) -> Self {
        Self(
            ["lin1", "lin2"]
                .map(|part| linear(builder, &format!("{name}.{part}"), [width, width], Some(Init::Zeros))),
        )
    }

    /// `[W₁, b₁, W₂, b₂]`.
    fn weights(&self, params: &Params) -> [Tensor<2>; 4] {
        let [[w1, b1], [w2, b2]] = self.0.each_ref().map(|layer| layer.parts(params));
        [w1, b1, w2, b2]
    }
}

fn residual_layers(builder: &mut ParamBuilder, name: &str, count: usize, width: usize) -> Vec<ResidualLayer> {
    (0..count).map(|i| ResidualLayer::new(builder, &format!("{name}.{i}"), width)).collect()
}

/// First messages, from the elements at both ends and the distance.
#[derive(Debug, Clone)]
struct EmbeddingBlock {
    elements: ParamId,
    radial: Linear,
    merge: Linear,
    hidden: usize,
}

impl EmbeddingBlock {
    /// Registers `name.emb`, `name.lin_rbf`, `name.lin`.
    fn new(builder: &mut ParamBuilder, name: &str, config: &DimeNetConfig) -> Self {
        let hidden = config.hidden;
        let table = [usize::from(MAX_ELEMENT) + 1, hidden];
        Self {
            elements: builder.add(format!("{name}.emb.weight"), &table, Init::Uniform(3f32.sqrt())),
            radial: Linear::new(builder, &format!("{name}.lin_rbf"), [config.num_radial, hidden], true),
            merge: Linear::new(builder, &format!("{name}.lin"), [3 * hidden, hidden], true),
            hidden,
        }
    }

    /// `SiLU(W [e_i ‖ e_j ‖ SiLU(V rbf + c)] + b)` for the message j → i: rbf is (E, R), the result (E, H).
    fn forward(&self, params: &Params, species: &[Element], rbf: Tensor<2>, graph: &Multigraph) -> Tensor<2> {
        let rows: Index = species.iter().map(|e| u32::from(e.z())).collect();
        let atoms = ops::gather(params.get(self.elements), &rows);
        let h = self.hidden;
        let part = |x: Tensor<2>, start: usize| {
            ops::dense(x, self.merge.slice(params, start, h), Activation::Identity)
        };
        let target = part(atoms.clone(), 0) + self.merge.bias(params);
        let source = part(atoms, h);
        let radial = self.radial.activated(params, rbf, Activation::Silu);
        let radial = part(radial, 2 * h);
        ops::merge_edges(target, source, radial, &graph.destination, &graph.source, Activation::Silu)
    }
}

/// Sums of messages into atoms and what follows per atom.
#[derive(Debug, Clone)]
struct OutputBlock {
    radial: Linear,
    up: Linear,
    layers: Vec<Linear>,
    output: Linear,
}

impl OutputBlock {
    /// Registers `name.lin_rbf`, `name.lin_up`, `name.lins.*`, `name.lin`.
    fn new(builder: &mut ParamBuilder, name: &str, config: &DimeNetConfig, output: usize) -> Self {
        let DimeNetConfig { hidden, output_embedding: width, num_radial, .. } = *config;
        Self {
            radial: linear(builder, &format!("{name}.lin_rbf"), [num_radial, hidden], None),
            up: linear(builder, &format!("{name}.lin_up"), [hidden, width], Some(Init::FanIn(hidden))),
            layers: (0..config.output_layers)
                .map(|i| linear(builder, &format!("{name}.lins.{i}"), [width, width], Some(Init::Zeros)))
                .collect(),
            output: Linear::with_init(builder, &format!("{name}.lin"), [width, output], Init::Zeros, None),
        }
    }

    /// m is (E, H), rbf (E, R); the result (N, output).
    fn forward(&self, params: &Params, m: Tensor<2>, rbf: Tensor<2>, graph: &Multigraph) -> Tensor<2> {
        let weight = self.radial.weight(params);
        let x = ops::filtered_sum(m, rbf, weight, 1.0, &graph.destination, graph.num_atoms);
        let mut x = self.up.forward(params, x);
        for layer in &self.layers {
            x = layer.activated(params, x, Activation::Silu);
        }
        self.output.forward(params, x)
    }
}

/// One round of messages from triplets.
#[derive(Debug, Clone)]
struct InteractionBlock {
    radial: [Linear; 2],
    spherical: [Linear; 2],
    own: Linear,
    other: Linear,
    down: Linear,
    up: Linear,
    before_skip: Vec<ResidualLayer>,
    skip: Linear,
    after_skip: Vec<ResidualLayer>,
}

impl InteractionBlock {
    /// Registers the layers below `name`.
    fn new(builder: &mut ParamBuilder, name: &str, config: &DimeNetConfig) -> Self {
        let DimeNetConfig { hidden: h, interaction, basis, num_radial, num_spherical, .. } = *config;
        let mut plain = |part: &str, shape| linear(builder, &format!("{name}.{part}"), shape, None);
        let radial = [plain("lin_rbf1", [num_radial, basis]), plain("lin_rbf2", [basis, h])];
        let spherical =
            [plain("lin_sbf1", [num_spherical * num_radial, basis]), plain("lin_sbf2", [basis, interaction])];
        let (down, up) = (plain("lin_down", [h, interaction]), plain("lin_up", [interaction, h]));
        let mut square = |part: &str| linear(builder, &format!("{name}.{part}"), [h, h], Some(Init::Zeros));
        let (other, own, skip) = (square("lin_kj"), square("lin_ji"), square("lin"));
        Self {
            radial,
            spherical,
            own,
            other,
            down,
            up,
            before_skip: residual_layers(
                builder,
                &format!("{name}.layers_before_skip"),
                config.before_skip,
                h,
            ),
            skip,
            after_skip: residual_layers(builder, &format!("{name}.layers_after_skip"), config.after_skip, h),
        }
    }

    /// m is (E, H), returns (E, H).
    fn forward(&self, params: &Params, m: Tensor<2>, bases: &Bases, geometry: &MessageGeometry) -> Tensor<2> {
        let graph = &geometry.graph;
        let [first, second] = &self.radial;
        let radial = first.forward(params, bases.radial.clone());
        let [weight, bias] = self.other.parts(params);
        let (filter, down) = (second.weight(params), self.down.weight(params));
        let x = ops::message_down(m.clone(), radial, weight, bias, filter, down);
        let [first, second] = &self.spherical;
        let projected = bases.project(first.weight(params));
        let sums = ops::message_sum(x, projected, second.weight(params), graph, &geometry.angles);
        let weights = MessageUpdateWeights {
            own: self.own.parts(params),
            up: self.up.weight(params),
            before: self.before_skip.iter().map(|layer| layer.weights(params)).collect(),
            skip: self.skip.parts(params),
            after: self.after_skip.iter().map(|layer| layer.weights(params)).collect(),
        };
        ops::message_update(m, sums, weights)
    }
}

/// The bases of all edges on the device.
struct Bases {
    /// (E, R).
    radial: Tensor<2>,
    /// (E, L · R).
    spherical: Tensor<2>,
    /// (L, 1, L · R): 1 where a column belongs to the degree.
    degree_of_column: Tensor<3>,
}

impl Bases {
    /// Applies the part of a weight (C, L · R) that belongs to a degree to the functions of that degree, for every degree:
    /// (E, L · C), the degree slow. The angular functions multiply the result, since they depend on the degree alone.
    fn project(&self, weight: Tensor<2>) -> Tensor<2> {
        let [c, columns] = weight.dims();
        let [degrees, ..] = self.degree_of_column.dims();
        let blocks = weight.reshape([1, c, columns]) * self.degree_of_column.clone();
        ops::dense(self.spherical.clone(), blocks.reshape([degrees * c, columns]), Activation::Identity)
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
    ) -> Result<Self, DimeNetSizeError> {
        config.validate()?;
        let DimeNetConfig { num_radial, num_spherical, cutoff, blocks, .. } = *config;
        Ok(Self {
            radial: BesselBasis::new(builder, &format!("{prefix}.rbf"), num_radial, cutoff),
            spherical: SphericalBesselBasis::new(num_spherical, num_radial, cutoff, true),
            embedding: EmbeddingBlock::new(builder, &format!("{prefix}.emb"), config),
            outputs: (0..=blocks)
                .map(|i| OutputBlock::new(builder, &format!("{prefix}.output_blocks.{i}"), config, output))
                .collect(),
            interactions: (0..blocks)
                .map(|i| InteractionBlock::new(builder, &format!("{prefix}.interaction_blocks.{i}"), config))
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
        self.run(params, geometry, species, |_, output| {
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
        self.run(params, geometry, species, |m, output| {
            trace.messages.push(m.clone());
            trace.outputs.push(output);
        });
        trace
    }

    /// Hands the messages and the output of every output block to `visit`.
    fn run(
        &self,
        params: &Params,
        geometry: &MessageGeometry,
        species: &[Element],
        mut visit: impl FnMut(&Tensor<2>, Tensor<2>),
    ) {
        let graph = &geometry.graph;
        assert_eq!(species.len(), graph.num_atoms, "one element for each atom");
        assert!(species.iter().all(|e| e.z() <= MAX_ELEMENT), "elements have an embedding");
        let device = params.device();
        let (degrees, radial) = (self.config.num_spherical, self.config.num_radial);
        let mask = (0..degrees * degrees * radial)
            .map(|i| if i / (degrees * radial) == i % (degrees * radial) / radial { 1f32 } else { 0.0 })
            .collect::<Vec<_>>();
        let bases = Bases {
            radial: self.radial_basis(params, geometry),
            spherical: ops::matrix(geometry.spherical.to_vec(), degrees * radial, device),
            degree_of_column: Tensor::from_data(
                TensorData::new(mask, [degrees, 1, degrees * radial]),
                device,
            ),
        };
        let output =
            |i: usize, m: &Tensor<2>| self.outputs[i].forward(params, m.clone(), bases.radial.clone(), graph);
        let mut m = self.embedding.forward(params, species, bases.radial.clone(), graph);
        visit(&m, output(0, &m));
        for (i, block) in self.interactions.iter().enumerate() {
            m = block.forward(params, m, &bases, geometry);
            visit(&m, output(i + 1, &m));
        }
    }
}
