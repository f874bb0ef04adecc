//! GemsNet: GemNet-dT without scale factors, with an edge head for positions and a triplet head for the lattice, or with an
//! atom head for the encoder (Klipfel et al. 2024, Equations 7 to 11; the heads as the published code has them).

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use druse_crystal::Lattice;
pub use druse_nn::blocks::{AtomEmbedding, MAX_ELEMENT};
use druse_nn::blocks::{
    AtomUpdate, EdgeHead, GaussianBasis, GemNetSizes, Geometry, Linear, ProjectedBasis, Receiver,
    ScaleFactors, Trunk, TrunkState,
};
use druse_nn::graph::{GraphError, Index, Multigraph, TripletFields};
use druse_nn::ops::{self, Activation, LatticeHeadWeights, matrix};
use druse_nn::{Init, ParamBuilder, ParamId, Params};

use super::config::GemsNetConfig;

/// Geometry of a batch as the network sees it.
pub struct GeometryInput {
    pub(crate) geometry: Geometry,
    pub(crate) fields: Option<Arc<TripletFields>>,
    pub(crate) basis: GaussianBasis,
}

impl GeometryInput {
    /// Builds graph, angular functions and, if wanted, the lattice vector fields.
    ///
    /// # Errors
    /// As [`Multigraph::nearest`].
    pub fn new(
        config: &GemsNetConfig,
        crystals: &[(Lattice, &[[f64; 3]])],
        knn: usize,
        fields: bool,
    ) -> Result<Self, GraphError> {
        let graph = Multigraph::nearest(crystals, knn)?;
        let geometry = Geometry::new(graph, config.num_spherical, Receiver::Destination);
        let fields = fields.then(|| Arc::new(TripletFields::new(&geometry.graph)));
        let basis = GaussianBasis { count: config.num_radial, cutoff: config.cutoff };
        Ok(Self { geometry, fields, basis })
    }

    /// The multigraph.
    pub fn graph(&self) -> &Arc<Multigraph> {
        &self.geometry.graph
    }

    /// Radial basis of the edges, (E, R).
    fn radial(&self, device: &Device) -> Tensor<2> {
        self.basis.tensor(&self.graph().lengths, device)
    }
}

fn sizes(config: &GemsNetConfig) -> GemNetSizes {
    GemNetSizes {
        hidden: config.hidden,
        triplet: config.triplet,
        basis: config.basis,
        bilinear: config.bilinear,
        num_radial: config.num_radial,
        num_spherical: config.num_spherical,
    }
}

fn trunk(builder: &mut ParamBuilder, prefix: &str, config: &GemsNetConfig) -> Trunk {
    Trunk::new(builder, prefix, sizes(config), config.blocks, &ScaleFactors::unit())
}

/// Three scalars for each pair of edges, and the vector fields they multiply.
#[derive(Debug, Clone)]
struct LatticeHead {
    layers: [Linear; 3],
}

/// Result of the decoder.
pub struct Prediction {
    /// Fractional displacement of each atom towards its clean position: (N, 3).
    pub displacement: Tensor<2>,
    /// Predicted cell of each crystal in Å, a symmetric matrix as (xx, yy, zz, xy, xz, yz): (B, 6).
    pub cell: Tensor<2>,
}

/// Intermediate values that reference files list.
#[derive(Default)]
pub(crate) struct Trace {
    pub edge_embedding: Option<Tensor<2>>,
    pub triplet_interaction: Option<Tensor<2>>,
    pub h1: Option<Tensor<2>>,
    pub m1: Option<Tensor<2>>,
    pub edge_scalar_block0: Option<Tensor<2>>,
    pub edge_scalar_total: Option<Tensor<2>>,
    pub basis: Option<ProjectedBasis>,
    pub outputs: Vec<Tensor<2>>,
}

/// The decoder: reads noisy positions in the identity cell, predicts clean positions and the cell.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: GemsNetConfig,
    trunk: Trunk,
    angular_output: ParamId,
    edge_heads: Vec<EdgeHead>,
    lattice_heads: Vec<LatticeHead>,
}

impl Decoder {
    /// Registers the network below `prefix`.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &GemsNetConfig) -> Self {
        let trunk = trunk(builder, prefix, config);
        let angular_output = builder.add(
            format!("{prefix}.mlp_cbf_out.linear.weight"),
            &[config.basis, config.num_spherical],
            Init::HeOrthogonal,
        );
        let (edge_heads, lattice_heads) = (0..=config.blocks)
            .map(|i| {
                let name = format!("{prefix}.out_blocks.{i}");
                let pair = 2 * config.hidden + 3 * config.basis;
                let width = config.lattice_head;
                let layer = |builder: &mut ParamBuilder, part: &str, shape| {
                    Linear::new(builder, &format!("{name}.dense_S.{part}"), shape, false)
                };
                let layers = [
                    layer(builder, "0", [pair, width]),
                    layer(builder, "2", [width, width]),
                    layer(builder, "4", [width, 3]),
                ];
                (EdgeHead::new(builder, &name, sizes(config), 1.0), LatticeHead { layers })
            })
            .unzip();
        Self { config: config.clone(), trunk, angular_output, edge_heads, lattice_heads }
    }

    /// h is the atom embedding (N, hidden).
    pub fn forward(&self, params: &Params, input: &GeometryInput, h: Tensor<2>) -> Prediction {
        self.forward_traced(params, input, h, None)
    }

    pub(crate) fn forward_traced(
        &self,
        params: &Params,
        input: &GeometryInput,
        h: Tensor<2>,
        mut trace: Option<&mut Trace>,
    ) -> Prediction {
        let graph = input.graph();
        let mut scalars: Option<Tensor<2>> = None;
        let mut cell: Option<Tensor<2>> = None;
        self.trunk.forward(params, &input.geometry, input.radial(params.device()), h, |i, state, basis| {
            let scalar = self.edge_heads[i].forward(params, state.m.clone(), basis.output.clone());
            let part = self.lattice_output(params, i, state, basis, input);
            if let Some(trace) = trace.as_deref_mut() {
                self.record(params, trace, i, state, basis, input, &scalar);
            }
            scalars = Some(scalars.take().map_or_else(|| scalar.clone(), |sum| sum + scalar.clone()));
            cell = Some(cell.take().map_or_else(|| part.clone(), |sum| sum + part.clone()));
        });
        let (scalars, cell) =
            scalars.zip(cell).expect("there is an output block even without interaction blocks");
        if let Some(trace) = trace {
            trace.edge_scalar_total = Some(scalars.clone());
        }
        let device = params.device();
        let directions = graph
            .frac_vectors
            .iter()
            .zip(&graph.lengths)
            .flat_map(|(e, r)| e.map(|x| (-x / r) as f32))
            .collect();
        let displacement = scalars * matrix(directions, 3, device);
        let displacement = ops::scatter_sum(displacement, &graph.destination, graph.num_atoms);
        let identity = matrix([1.0, 1.0, 1.0, 0.0, 0.0, 0.0].repeat(graph.num_crystals()), 6, device);
        Prediction { displacement, cell: cell + identity }
    }

    /// Mean of scalars times vector fields of output block `i`, (B, 6).
    ///
    /// The first layer acts on `[m_p ‖ m_q ‖ rbf_p ‖ rbf_q ‖ cbf_pq]`: all but the last micro-batch are multiplied per edge.
    fn lattice_output(
        &self,
        params: &Params,
        i: usize,
        state: &TrunkState,
        basis: &ProjectedBasis,
        input: &GeometryInput,
    ) -> Tensor<2> {
        let (a, c) = (self.config.hidden, self.config.basis);
        let [first, second, last] = &self.lattice_heads[i].layers;
        let of_edges = |m_from: usize, basis_from: usize| {
            ops::pair_dense(state.m.clone(), m_from, basis.output.clone(), basis_from, first.weight(params))
        };
        let weights = LatticeHeadWeights {
            first: of_edges(0, 2 * a),
            second: of_edges(a, 2 * a + c),
            angular: params.derived(self.angular_output, [i, self.config.num_spherical], || {
                first.slice(params, 2 * a + 2 * c, c).matmul(params.get(self.angular_output))
            }),
            hidden: second.weight(params),
            output: last.weight(params),
        };
        let fields = input.fields.as_ref().expect("the decoder's geometry has vector fields");
        ops::lattice_head(weights, input.graph(), &input.geometry.angles, fields)
    }

    #[allow(clippy::too_many_arguments, reason = "internal recorder of everything a reference file lists")]
    fn record(
        &self,
        params: &Params,
        trace: &mut Trace,
        i: usize,
        state: &TrunkState,
        basis: &ProjectedBasis,
        input: &GeometryInput,
        scalar: &Tensor<2>,
    ) {
        match i {
            0 => {
                trace.edge_embedding = Some(state.m.clone());
                trace.edge_scalar_block0 = Some(scalar.clone());
                trace.basis = Some(basis.clone());
                trace.triplet_interaction = self.trunk.blocks().first().map(|block| {
                    block.triplet_interaction().forward(params, state.m.clone(), basis, &input.geometry)
                });
            }
            1 => {
                trace.h1 = Some(state.h.clone());
                trace.m1 = Some(state.m.clone());
            }
            _ => {}
        }
        trace.outputs.push(state.m.clone());
    }

    /// Scalars of single pairs of edges of one output block, (pairs, 3), from the definition: for checks.
    pub(crate) fn pair_scalars(
        &self,
        params: &Params,
        i: usize,
        trace: &Trace,
        angular: &[f32],
        pairs: &[[u32; 2]],
    ) -> Tensor<2> {
        let index = |k: usize| pairs.iter().map(|p| p[k]).collect::<Index>();
        let m = &trace.outputs[i];
        let rbf = &trace.basis.as_ref().expect("a recorded forward pass").output;
        let cbf = matrix(angular.to_vec(), self.config.num_spherical, params.device());
        let cbf = ops::dense(cbf, params.get(self.angular_output), Activation::Identity);
        let x = Tensor::cat(
            vec![
                ops::gather(m.clone(), &index(0)),
                ops::gather(m.clone(), &index(1)),
                ops::gather(rbf.clone(), &index(0)),
                ops::gather(rbf.clone(), &index(1)),
                cbf,
            ],
            1,
        );
        let [first, second, last] = &self.lattice_heads[i].layers;
        let x = ops::dense(x, first.weight(params), Activation::Silu);
        let x = ops::dense(x, second.weight(params), Activation::Silu);
        ops::dense(x, last.weight(params), Activation::Identity)
    }

    /// Projected angular basis of single pairs, (pairs, basis): for checks.
    pub(crate) fn projected_angles(&self, params: &Params, angular: &[f32]) -> Tensor<2> {
        let cbf = matrix(angular.to_vec(), self.config.num_spherical, params.device());
        ops::dense(cbf, params.get(self.angular_output), Activation::Identity)
    }

    /// Sizes of the network.
    pub fn config(&self) -> &GemsNetConfig {
        &self.config
    }
}

/// The encoder of the paper's variant: reads the noisy crystal, returns atom embeddings and a vector per crystal.
#[derive(Debug, Clone)]
pub struct Encoder {
    config: GemsNetConfig,
    trunk: Trunk,
    heads: Vec<(AtomUpdate, Linear)>,
}

impl Encoder {
    /// Registers the network below `prefix`; the crystal vector has width `latent`.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &GemsNetConfig, latent: usize) -> Self {
        let trunk = trunk(builder, prefix, config);
        let heads = (0..=config.blocks)
            .map(|i| {
                let name = format!("{prefix}.out_blocks.{i}");
                let update = AtomUpdate::new(builder, &name, sizes(config), 1.0);
                let output =
                    Linear::new(builder, &format!("{name}.out_energy"), [config.hidden, latent], false);
                (update, output)
            })
            .collect();
        Self { config: config.clone(), trunk, heads }
    }

    /// h is (N, hidden); returns atom embeddings (N, hidden) and the mean over atoms of the outputs (B, latent).
    pub fn forward(&self, params: &Params, input: &GeometryInput, h: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let graph = input.graph();
        let mut sum: Option<Tensor<2>> = None;
        let state = self.trunk.forward(
            params,
            &input.geometry,
            input.radial(params.device()),
            h,
            |i, state, basis| {
                let (update, output) = &self.heads[i];
                let atoms = update.forward(params, state.m.clone(), basis.atom.clone(), &input.geometry);
                let atoms = output.forward(params, atoms);
                sum = Some(sum.take().map_or_else(|| atoms.clone(), |sum| sum + atoms.clone()));
            },
        );
        let sum = sum.expect("there is an output block even without interaction blocks");
        let total = ops::scatter_sum(sum, &graph.crystal_of_atom, graph.num_crystals());
        let inverse = graph.atoms_per_crystal().map(|n| 1.0 / n as f32).collect();
        (state.h, total * matrix(inverse, 1, params.device()))
    }

    /// Sizes of the network.
    pub fn config(&self) -> &GemsNetConfig {
        &self.config
    }
}
