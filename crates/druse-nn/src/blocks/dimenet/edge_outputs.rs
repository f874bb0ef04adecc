//! DimeNet++ that answers with numbers for edges (Sultanov et al. 2023, section 4.2; details as in the published code): on a
//! symmetric multigraph, told the noise level of each crystal and which edges join a site with copies of itself, with
//! normalized output blocks and without a sum over edges.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::Element;

use super::bases::Bases;
use super::interaction::InteractionBlock;
use super::layers::{ElementTable, MessageNames, linear};
use super::{DimeNetConfig, SizeError};
use crate::basis::SphericalBesselBasis;
use crate::blocks::linear::Linear;
use crate::blocks::radial::BesselBasis;
use crate::graph::{AngleRule, Index, PairedHarmonics, SymmetricGraph};
use crate::ops::{self, Activation};
use crate::{Init, ParamBuilder, ParamId, Params};

/// Kinds of edges: those to copies of the site itself, and all others.
const KINDS: usize = 2;

/// What the published implementation calls the layers.
const NAMES: MessageNames = MessageNames {
    radial: "dense_rbf",
    down_up: ["down_projection", "up_projection"],
    other_own_skip: ["dense_kj", "dense_ji", "final_before_skip"],
    residual: ["dense_1", "dense_2"],
    default_skip: true,
};

/// What the network reads of a symmetric multigraph. It needs no weights and can be made ahead.
#[derive(Debug, Clone)]
pub struct EdgeGeometry {
    graph: Arc<SymmetricGraph>,
    harmonics: Arc<PairedHarmonics>,
    /// Radial factors of the spherical basis, (E, L · R).
    spherical: Arc<[f32]>,
}

impl EdgeGeometry {
    /// The symmetric multigraph.
    pub fn graph(&self) -> &Arc<SymmetricGraph> {
        &self.graph
    }

    /// The harmonics of the edges.
    pub fn harmonics(&self) -> &Arc<PairedHarmonics> {
        &self.harmonics
    }

    /// Radial factors of the spherical basis, row by row: (E, L · R), the degree slow.
    pub fn spherical(&self) -> &[f32] {
        &self.spherical
    }
}

/// First messages, from the elements at both ends, the distance, the noise level and the kind of the edge.
#[derive(Debug, Clone)]
struct EmbeddingBlock {
    elements: ElementTable,
    levels: ParamId,
    kinds: ParamId,
    radial: Linear,
    merge: Linear,
}

impl EmbeddingBlock {
    fn new(builder: &mut ParamBuilder, name: &str, config: &DimeNetConfig, levels: usize) -> Self {
        let h = config.hidden;
        let table = |builder: &mut ParamBuilder, part: &str, rows| {
            builder.add(format!("{name}.{part}.weight"), &[rows, h], Init::Normal)
        };
        Self {
            elements: ElementTable::new(
                builder,
                &format!("{name}.embedding"),
                [0, EdgeDimeNet::MAX_ELEMENT],
                h,
            ),
            levels: table(builder, "step_embedding", levels),
            kinds: table(builder, "equiv_embedding", KINDS),
            radial: Linear::new(builder, &format!("{name}.dense_rbf"), [config.num_radial, h], true),
            merge: Linear::new(builder, &format!("{name}.dense"), [5 * h, h], true),
        }
    }

    /// `SiLU(W [e_u ‖ e_v ‖ SiLU(V rbf + c) ‖ level ‖ kind] + b)` for edges u → v, (E, H). The parts of the concatenation are
    /// multiplied where they are few: by site, and by site and kind.
    fn forward(
        &self,
        params: &Params,
        graph: &SymmetricGraph,
        species: &[Element],
        level_of_site: &Index,
        rbf: Tensor<2>,
    ) -> Tensor<2> {
        let [_, h] = params.get(self.kinds).dims();
        let part =
            |x: Tensor<2>, i: usize| ops::dense(x, self.merge.slice(params, i * h, h), Activation::Identity);
        let sites = self.elements.rows(params, species);
        let level = ops::gather(part(params.get(self.levels), 3), level_of_site);
        let source = part(sites.clone(), 0) + level + self.merge.bias(params);
        let kinds = part(params.get(self.kinds), 4);
        // A row for each site and kind.
        let both: Index = (0..species.len() as u32).flat_map(|i| [i, i]).collect();
        let alternating: Index = (0..species.len() as u32).flat_map(|_| [0, 1]).collect();
        let source = ops::gather(source, &both) + ops::gather(kinds, &alternating);
        let radial = part(self.radial.activated(params, rbf, Activation::Silu), 2);
        let destination = part(sites, 1);
        let ends = [&graph.source_and_kind, &graph.destination];
        ops::merge_edges(source, destination, radial, ends[0], ends[1], Activation::Silu)
    }
}

/// What is done with messages to get the numbers of the edges.
#[derive(Debug, Clone)]
struct OutputBlock {
    radial: Linear,
    up: Linear,
    norm: [ParamId; 2],
    layers: Vec<Linear>,
    output: Linear,
}

impl OutputBlock {
    fn new(builder: &mut ParamBuilder, name: &str, config: &DimeNetConfig, output: usize) -> Self {
        let DimeNetConfig { hidden, output_embedding: width, num_radial, output_layers, .. } = *config;
        let radial = linear(builder, &format!("{name}.dense_rbf"), [num_radial, hidden], None);
        let up = linear(builder, &format!("{name}.up_projection"), [hidden, width], None);
        let mut norm = |part: &str, init| builder.add(format!("{name}.layer_norm.{part}"), &[width], init);
        let norm = [norm("weight", Init::Constant(1.0)), norm("bias", Init::Zeros)];
        let layer =
            |i| linear(builder, &format!("{name}.dense_layers.{i}"), [width, width], Some(Init::Zeros));
        let layers = (0..output_layers).map(layer).collect();
        let output = linear(builder, &format!("{name}.dense_final"), [width, output], None);
        Self { radial, up, norm, layers, output }
    }

    /// m is (E, H), rbf (E, R); the result (E, output).
    fn forward(&self, params: &Params, m: Tensor<2>, rbf: Tensor<2>) -> Tensor<2> {
        let x = ops::filter(m, rbf, self.radial.weight(params), 1.0);
        let x = self.up.forward(params, x);
        let [gain, bias] = self.norm.map(|id| params.get(id));
        let mut x = ops::layer_norm(x, gain, bias);
        for layer in &self.layers {
            x = layer.activated(params, x, Activation::Silu);
        }
        self.output.forward(params, x)
    }
}

/// What the network computes on its way, for checks against reference values.
#[derive(Debug, Clone)]
pub struct EdgeTrace {
    /// Messages (E, H) that the embedding block and every interaction block return.
    pub messages: Vec<Tensor<2>>,
    /// What the output blocks return, (E, output) each.
    pub outputs: Vec<Tensor<2>>,
}

/// DimeNet++ with outputs of edges: the sum of all output blocks for every edge.
#[derive(Debug, Clone)]
pub struct EdgeDimeNet {
    config: DimeNetConfig,
    radial: BesselBasis,
    spherical: SphericalBesselBasis,
    embedding: EmbeddingBlock,
    interactions: Vec<InteractionBlock>,
    outputs: Vec<OutputBlock>,
}

impl EdgeDimeNet {
    /// Largest atomic number that has an embedding; the table is indexed by it and row 0 is never used.
    pub const MAX_ELEMENT: u8 = 95;

    /// Registers the network below `prefix` (which may be empty, or ends with a dot), with `output` numbers for each edge and
    /// embeddings of so many noise levels. The names are those of the published implementation.
    ///
    /// # Errors
    /// As [`DimeNetConfig::validate`].
    pub fn new(
        builder: &mut ParamBuilder,
        prefix: &str,
        config: &DimeNetConfig,
        levels: usize,
        output: usize,
    ) -> Result<Self, SizeError> {
        config.validate()?;
        let DimeNetConfig { num_radial, num_spherical, cutoff, blocks, .. } = *config;
        let frequencies = format!("{prefix}rbf_layer.frequencies");
        Ok(Self {
            radial: BesselBasis::named(builder, &frequencies, num_radial, cutoff),
            spherical: SphericalBesselBasis::new(num_spherical, num_radial, cutoff, true),
            embedding: EmbeddingBlock::new(builder, &format!("{prefix}emb_block"), config, levels),
            outputs: (0..=blocks)
                .map(|i| OutputBlock::new(builder, &format!("{prefix}output_blocks.{i}"), config, output))
                .collect(),
            interactions: (0..blocks)
                .map(|i| {
                    let name = format!("{prefix}interaction_blocks.{i}");
                    InteractionBlock::new(builder, &name, config, &NAMES, "dense_sbf")
                })
                .collect(),
            config: config.clone(),
        })
    }

    /// Sizes of the network.
    pub fn config(&self) -> &DimeNetConfig {
        &self.config
    }

    /// What the network reads of a graph with lengths in Å.
    pub fn geometry(&self, graph: Arc<SymmetricGraph>, angles: AngleRule) -> EdgeGeometry {
        let harmonics = Arc::new(PairedHarmonics::new(&graph, self.config.num_spherical, angles));
        let spherical = self.spherical.evaluate(&graph.lengths).into();
        EdgeGeometry { graph, harmonics, spherical }
    }

    /// The radial basis of the edges, (E, R).
    pub fn radial_basis(&self, params: &Params, geometry: &EdgeGeometry) -> Tensor<2> {
        self.radial.forward(params, &geometry.graph.lengths)
    }

    /// The sum of the output blocks for every edge, (E, output). `species` has one element for each site, `levels` the noise
    /// level of each crystal.
    ///
    /// # Panics
    /// When an element is beyond [`EdgeDimeNet::MAX_ELEMENT`], or species or levels differ in number from the sites or
    /// crystals of the graph.
    pub fn forward(
        &self,
        params: &Params,
        geometry: &EdgeGeometry,
        species: &[Element],
        levels: &[u32],
    ) -> Tensor<2> {
        let mut sum: Option<Tensor<2>> = None;
        self.run(params, geometry, species, levels, |_, output| {
            sum = Some(sum.take().map_or_else(|| output.clone(), |sum| sum + output.clone()));
        });
        sum.expect("there is an output block even without interaction blocks")
    }

    /// [`EdgeDimeNet::forward`] that returns everything on the way.
    ///
    /// # Panics
    /// As [`EdgeDimeNet::forward`].
    pub fn trace(
        &self,
        params: &Params,
        geometry: &EdgeGeometry,
        species: &[Element],
        levels: &[u32],
    ) -> EdgeTrace {
        let mut trace = EdgeTrace { messages: Vec::new(), outputs: Vec::new() };
        self.run(params, geometry, species, levels, |m, output| {
            trace.messages.push(m.clone());
            trace.outputs.push(output);
        });
        trace
    }

    /// Hands the messages and the output of every output block to `visit`.
    fn run(
        &self,
        params: &Params,
        geometry: &EdgeGeometry,
        species: &[Element],
        levels: &[u32],
        mut visit: impl FnMut(&Tensor<2>, Tensor<2>),
    ) {
        let graph = &geometry.graph;
        assert_eq!(species.len(), graph.num_sites, "one element for each site");
        assert_eq!(levels.len(), graph.num_crystals(), "one noise level for each crystal");
        assert!(species.iter().all(|e| e.z() <= Self::MAX_ELEMENT), "elements have an embedding");
        let rbf = self.radial_basis(params, geometry);
        let bases = Bases::new(rbf.clone(), &geometry.spherical, &self.spherical, params.device());
        let output = |i: usize, m: &Tensor<2>| self.outputs[i].forward(params, m.clone(), rbf.clone());
        let level_of_site = graph.crystal_of_site.iter().map(|&c| levels[c as usize]).collect();
        let mut m = self.embedding.forward(params, graph, species, &level_of_site, rbf.clone());
        visit(&m, output(0, &m));
        for (i, block) in self.interactions.iter().enumerate() {
            m = block.forward(params, m, &bases, |x, basis, weight| {
                ops::zonal_sum(x, basis, weight, &geometry.graph, &geometry.harmonics)
            });
            visit(&m, output(i + 1, &m));
        }
    }
}
