//! The convolution of CGCNN.

use burn::tensor::Tensor;

use super::{BatchNorm, Linear};
use crate::graph::Index;
use crate::ops::{self, Activation, EdgeWeights};
use crate::{ParamBuilder, Params};

/// Directed edges over the atoms of a batch, with a weight in the sums of their atoms.
#[derive(Debug, Clone)]
pub struct WeightedEdges {
    /// Atom whose sum an edge belongs to (E).
    pub center: Index,
    /// Its neighbor (E).
    pub neighbor: Index,
    /// Weights (E).
    pub weights: EdgeWeights,
}

/// Convolution over gated edges (Xie and Grossman, PRL 120, 145301 (2018), Eq. 5, with the batch normalizations of the published
/// code):
///
/// `[gate ‖ core]_e = BN₁(W [x_i ‖ x_j ‖ g_e] + b)`, `x_i' = softplus(x_i + BN₂(Σ_e w_e σ(gate_e) ⊙ softplus(core_e)))`
#[derive(Debug, Clone)]
pub struct GatedConvolution {
    full: Linear,
    edges: BatchNorm,
    atoms: BatchNorm,
    width: usize,
    features: usize,
}

impl GatedConvolution {
    /// Registers `name.fc_full` (2 · width + features → 2 · width), `name.bn1` and `name.bn2`.
    pub fn new(builder: &mut ParamBuilder, name: &str, width: usize, features: usize) -> Self {
        Self {
            full: Linear::new(builder, &format!("{name}.fc_full"), [2 * width + features, 2 * width], true),
            edges: BatchNorm::new(builder, &format!("{name}.bn1"), 2 * width),
            atoms: BatchNorm::new(builder, &format!("{name}.bn2"), width),
            width,
            features,
        }
    }

    /// x is (atoms, width), g is (edges, features); returns (atoms, width).
    pub fn forward(&self, params: &Params, x: Tensor<2>, g: Tensor<2>, edges: &WeightedEdges) -> Tensor<2> {
        let rows = x.dims()[0];
        let part = |start, len| self.full.slice(params, start, len);
        let identity = Activation::Identity;
        // The parts of the atoms are multiplied once an atom.
        let center = ops::affine(x.clone(), part(0, self.width), self.full.bias(params), identity);
        let neighbor = ops::dense(x.clone(), part(self.width, self.width), identity);
        let edge = ops::dense(g, part(2 * self.width, self.features), identity);
        let z = ops::merge_edges(center, neighbor, edge, &edges.center, &edges.neighbor, identity);
        let z = self.edges.forward(params, z);
        let sum = ops::gate_sum(z, &edges.center, &edges.weights, rows);
        ops::softplus(x + self.atoms.forward(params, sum))
    }
}
