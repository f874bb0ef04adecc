//! The network.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::blocks::{BatchNorm, EdgeGatedConvolution, Linear};
use druse_nn::graph::Index;
use druse_nn::ops::matrix;
use druse_nn::{ParamBuilder, Params};

use super::config::{AlignnConfig, AlignnSizes};
use super::graph::{AlignnGraph, shell_graph};
use crate::ModelError;
use crate::property::CrystalNetwork;
use crate::property::element_vectors::{ELEMENT_CLASSES, atom_rows};
use crate::property::pooling::Pooling;

/// What the network reads of some crystals.
pub struct AlignnInput {
    /// Vectors of the elements, (N, 92).
    atoms: Vec<f32>,
    /// Gaussians of the distances, (E, distance bins).
    distances: Vec<f32>,
    /// Gaussians of the cosines, (L, angle bins).
    cosines: Vec<f32>,
    /// Ends of the edges, and of those of the line graph.
    ends: [Index; 2],
    pairs: [Index; 2],
    pooling: Pooling,
}

/// `silu(BN(W x + b))`.
struct MlpLayer(Linear, BatchNorm);

impl MlpLayer {
    /// Registers `name.layer.0` and `name.layer.1`.
    fn new(builder: &mut ParamBuilder, name: &str, widths: [usize; 2]) -> Self {
        let linear = Linear::new(builder, &format!("{name}.layer.0"), widths, true);
        Self(linear, BatchNorm::new(builder, &format!("{name}.layer.1"), widths[1]))
    }

    fn forward(&self, params: &Params, x: Tensor<2>) -> Tensor<2> {
        self.1.forward_silu(params, self.0.forward(params, x))
    }
}

/// A layer over bonds and angles.
struct AlignnLayer {
    atoms: EdgeGatedConvolution,
    bonds: EdgeGatedConvolution,
}

/// ALIGNN without its parameters.
pub struct AlignnNetwork {
    sizes: AlignnSizes,
    atom_embedding: MlpLayer,
    bond_embedding: [MlpLayer; 2],
    angle_embedding: [MlpLayer; 2],
    alignn_layers: Vec<AlignnLayer>,
    gcn_layers: Vec<EdgeGatedConvolution>,
    last: Linear,
}

/// What the network computes on its way, for checks against reference values.
pub struct AlignnTrace {
    /// Features of atoms (N, hidden), bonds (E, hidden) and angles (L, hidden), after the embedding and after each layer over bonds
    /// and angles.
    pub features: Vec<[Tensor<2>; 3]>,
    /// Features of atoms after each layer over bonds alone.
    pub atoms: Vec<Tensor<2>>,
    /// Their means over the atoms (B, hidden).
    pub latent: Tensor<2>,
    /// The standardized property (B, 1).
    pub output: Tensor<2>,
}

/// `exp(-(x - μ)² / s)` for centers μ at distances s from `first` to `last`.
fn gaussians(values: &[f64], [first, last]: [f64; 2], bins: usize) -> Vec<f32> {
    let spacing = (last - first) / (bins - 1) as f64;
    let row = |&x: &f64| {
        (0..bins).map(move |k| {
            let apart = x - (first + k as f64 * spacing);
            (-apart * apart / spacing).exp() as f32
        })
    };
    values.iter().flat_map(row).collect()
}

impl AlignnNetwork {
    /// What the network reads of crystals with given graphs.
    ///
    /// # Errors
    /// [`ModelError::UnknownElement`].
    pub fn input(
        &self,
        structures: &[&Structure],
        graphs: &[AlignnGraph],
    ) -> Result<AlignnInput, ModelError> {
        let atoms = atom_rows(structures)?;
        let mut ends = [Vec::new(), Vec::new()];
        let mut pairs = [Vec::new(), Vec::new()];
        let (mut distances, mut cosines) = (Vec::new(), Vec::new());
        let mut first_atom = 0;
        for (structure, graph) in structures.iter().zip(graphs) {
            let first_edge = ends[0].len() as u32;
            let moved = |to: &mut Vec<u32>, from: &[u32], by: u32| to.extend(from.iter().map(|i| i + by));
            moved(&mut ends[0], &graph.source, first_atom);
            moved(&mut ends[1], &graph.target, first_atom);
            moved(&mut pairs[0], &graph.first, first_edge);
            moved(&mut pairs[1], &graph.second, first_edge);
            distances.extend(graph.lengths());
            cosines.extend_from_slice(&graph.cosine);
            first_atom += structure.len() as u32;
        }
        let AlignnSizes { cutoff, distance_bins, angle_bins, .. } = self.sizes;
        Ok(AlignnInput {
            atoms,
            distances: gaussians(&distances, [0.0, cutoff], distance_bins),
            cosines: gaussians(&cosines, [-1.0, 1.0], angle_bins),
            ends: ends.map(Index::from),
            pairs: pairs.map(Index::from),
            pooling: Pooling::of(structures),
        })
    }

    /// The features after the last layer (N, hidden); those on the way are handed to `visit`, with those of bonds and angles where
    /// a later layer reads them, or `all` are wanted.
    fn run(
        &self,
        params: &Params,
        input: &AlignnInput,
        all: bool,
        mut visit: impl FnMut([Option<&Tensor<2>>; 3]),
    ) -> Tensor<2> {
        let device = params.device();
        let AlignnSizes { distance_bins, angle_bins, .. } = self.sizes;
        let embed = |layers: &[MlpLayer; 2], values: &[f32], bins: usize| {
            let rows = matrix(values.to_vec(), bins, device);
            layers.iter().fold(rows, |x, layer| layer.forward(params, x))
        };
        let atoms = matrix(input.atoms.clone(), ELEMENT_CLASSES, device);
        let mut x = self.atom_embedding.forward(params, atoms);
        let mut y = embed(&self.bond_embedding, &input.distances, distance_bins);
        let mut z = embed(&self.angle_embedding, &input.cosines, angle_bins);
        visit([Some(&x), Some(&y), Some(&z)]);
        let ([source, target], [first, second]) = (&input.ends, &input.pairs);
        for (i, layer) in self.alignn_layers.iter().enumerate() {
            let (atoms, gates) = layer.atoms.nodes(params, x, y.clone(), source, target);
            let bonds = layer.atoms.edges(params, y, gates);
            let (bonds, gates) = layer.bonds.nodes(params, bonds, z.clone(), first, second);
            (x, y) = (atoms, bonds);
            if all || i + 1 < self.alignn_layers.len() {
                z = layer.bonds.edges(params, z, gates);
            }
            visit([Some(&x), Some(&y), Some(&z)]);
        }
        drop(z);
        for (i, layer) in self.gcn_layers.iter().enumerate() {
            let (atoms, gates) = layer.nodes(params, x, y.clone(), source, target);
            x = atoms;
            if i + 1 < self.gcn_layers.len() {
                y = layer.edges(params, y, gates);
            }
            visit([Some(&x), None, None]);
        }
        x
    }

    /// Everything on the way.
    pub fn trace(&self, params: &Params, input: &AlignnInput) -> AlignnTrace {
        let (mut features, mut atoms) = (Vec::new(), Vec::new());
        let last = self.run(params, input, true, |found| match found {
            [Some(x), Some(y), Some(z)] => features.push([x.clone(), y.clone(), z.clone()]),
            [x, ..] => atoms.extend(x.cloned()),
        });
        let latent = input.pooling.mean(last);
        let output = self.output(params, latent.clone());
        AlignnTrace { features, atoms, latent, output }
    }
}

impl CrystalNetwork for AlignnNetwork {
    type Settings = AlignnConfig;
    type Input = AlignnInput;

    const KIND: &'static str = "alignn";

    /// Names are those of the published code.
    fn new(builder: &mut ParamBuilder, settings: &AlignnConfig) -> Self {
        let sizes = settings.network.clone();
        let AlignnSizes { hidden, embedding, .. } = sizes;
        let two = |builder: &mut ParamBuilder, name: &str, bins: usize| {
            let first = MlpLayer::new(builder, &format!("{name}.1"), [bins, embedding]);
            [first, MlpLayer::new(builder, &format!("{name}.2"), [embedding, hidden])]
        };
        Self {
            atom_embedding: MlpLayer::new(builder, "atom_embedding", [ELEMENT_CLASSES, hidden]),
            bond_embedding: two(builder, "edge_embedding", sizes.distance_bins),
            angle_embedding: two(builder, "angle_embedding", sizes.angle_bins),
            alignn_layers: (0..sizes.alignn_layers)
                .map(|i| {
                    let name = format!("alignn_layers.{i}");
                    AlignnLayer {
                        atoms: EdgeGatedConvolution::new(builder, &format!("{name}.node_update"), hidden),
                        bonds: EdgeGatedConvolution::new(builder, &format!("{name}.edge_update"), hidden),
                    }
                })
                .collect(),
            gcn_layers: (0..sizes.gcn_layers)
                .map(|i| EdgeGatedConvolution::new(builder, &format!("gcn_layers.{i}"), hidden))
                .collect(),
            last: Linear::new(builder, "fc", [hidden, 1], true),
            sizes,
        }
    }

    fn property(settings: &AlignnConfig) -> &str {
        &settings.property
    }

    fn embedding(settings: &AlignnConfig) -> String {
        format!("{} means over the atoms before the last layer", settings.network.hidden)
    }

    fn read(&self, structures: &[&Structure]) -> Result<AlignnInput, ModelError> {
        let graphs = structures.iter().map(|s| shell_graph(s, self.sizes.neighbors));
        self.input(structures, &graphs.collect::<Result<Vec<_>, _>>()?)
    }

    fn embed(&self, params: &Params, input: &AlignnInput) -> Tensor<2> {
        input.pooling.mean(self.run(params, input, false, |_| {}))
    }

    fn output(&self, params: &Params, embedding: Tensor<2>) -> Tensor<2> {
        self.last.forward(params, embedding)
    }
}
