//! The convolution of ALIGNN.

use burn::tensor::Tensor;

use super::{BatchNorm, Linear};
use crate::graph::Index;
use crate::ops::{self, Activation};
use crate::{ParamBuilder, Params};

/// Edge-gated graph convolution (Bresson and Laurent 2017; Choudhary and DeCost, npj Comput. Mater. 7, 185 (2021), Eqs. 1 to 3, with
/// the gates of the published code). For an edge e from u to v:
///
/// `m_e = A x_u + B x_v + C y_e`, `h_v = Σ_e σ(m_e) ⊙ V x_u / (Σ_e σ(m_e) + 10⁻⁶)`,
/// `x_v' = x_v + silu(BN(U x_v + h_v))`, `y_e' = y_e + silu(BN(m_e))`
#[derive(Debug, Clone)]
pub struct EdgeGatedConvolution {
    source_gate: Linear,
    target_gate: Linear,
    edge_gate: Linear,
    edge_norm: BatchNorm,
    own: Linear,
    message: Linear,
    node_norm: BatchNorm,
}

/// The arguments of the gates, m of [`EdgeGatedConvolution`], which the features of the edges become.
#[derive(Debug, Clone)]
pub struct EdgeGates(Tensor<2>);

impl EdgeGatedConvolution {
    /// Registers the layers below `name`, all of one width, by the names of the published code: `src_gate` (A), `dst_gate` (B),
    /// `edge_gate` (C), `bn_edges`, `src_update` (U), `dst_update` (V), `bn_nodes`.
    pub fn new(builder: &mut ParamBuilder, name: &str, width: usize) -> Self {
        let linear = |builder: &mut ParamBuilder, part: &str| {
            Linear::new(builder, &format!("{name}.{part}"), [width, width], true)
        };
        Self {
            source_gate: linear(builder, "src_gate"),
            target_gate: linear(builder, "dst_gate"),
            edge_gate: linear(builder, "edge_gate"),
            edge_norm: BatchNorm::new(builder, &format!("{name}.bn_edges"), width),
            own: linear(builder, "src_update"),
            message: linear(builder, "dst_update"),
            node_norm: BatchNorm::new(builder, &format!("{name}.bn_nodes"), width),
        }
    }

    /// x is (nodes, width), y is (edges, width); returns the nodes' new features, and what makes those of the edges
    /// ([`EdgeGatedConvolution::edges`]), where these are read.
    pub fn nodes(
        &self,
        params: &Params,
        x: Tensor<2>,
        y: Tensor<2>,
        source: &Index,
        target: &Index,
    ) -> (Tensor<2>, EdgeGates) {
        let m = ops::merge_edges(
            self.source_gate.forward(params, x.clone()),
            self.target_gate.forward(params, x.clone()),
            self.edge_gate.forward(params, y),
            source,
            target,
            Activation::Identity,
        );
        let mean = ops::gate_mean(m.clone(), self.message.forward(params, x.clone()), source, target);
        let update = self.own.forward(params, x.clone()) + mean;
        (x + self.node_norm.forward_silu(params, update), EdgeGates(m))
    }

    /// The new features of the edges (edges, width), from the old ones.
    pub fn edges(&self, params: &Params, y: Tensor<2>, gates: EdgeGates) -> Tensor<2> {
        y + self.edge_norm.forward_silu(params, gates.0)
    }
}
