//! Edge embedding and interaction blocks: what the networks of this family share.

use burn::tensor::Tensor;

use super::{GemNetSizes, Geometry, InteractionBlock, ProjectedBasis, ScaleFactors, SharedBasis};
use crate::blocks::linear::SplitDense;
use crate::{ParamBuilder, Params};

/// Atom and edge embeddings before block 1 (index 0) or after a block.
pub struct TrunkState {
    /// Atoms: (N, A).
    pub h: Tensor<2>,
    /// Edges: (E, A).
    pub m: Tensor<2>,
}

/// Projections of the radial basis, edge embedding and interaction blocks.
#[derive(Debug, Clone)]
pub struct Trunk {
    basis: SharedBasis,
    edge_embedding: SplitDense,
    blocks: Vec<InteractionBlock>,
}

impl Trunk {
    /// Registers `prefix.mlp_*`, `prefix.edge_emb.dense` and `prefix.int_blocks.*`.
    pub fn new(
        builder: &mut ParamBuilder,
        prefix: &str,
        sizes: GemNetSizes,
        blocks: usize,
        scales: &ScaleFactors,
    ) -> Self {
        let GemNetSizes { hidden, num_radial, .. } = sizes;
        let basis = SharedBasis::new(builder, prefix, sizes);
        let name = format!("{prefix}.edge_emb.dense");
        let edge_embedding = SplitDense::new(builder, &name, hidden, num_radial, hidden);
        let blocks = (0..blocks)
            .map(|i| {
                let name = format!("{prefix}.int_blocks.{i}");
                InteractionBlock::new(builder, &name, sizes, &scales.block(i))
            })
            .collect();
        Self { basis, edge_embedding, blocks }
    }

    /// h is the atom embedding (N, A), `rbf` the radial basis (E, R). `visit` sees the state before block 1 with the index
    /// 0, and after block i with the index i.
    pub fn forward(
        &self,
        params: &Params,
        geometry: &Geometry,
        rbf: Tensor<2>,
        h: Tensor<2>,
        mut visit: impl FnMut(usize, &TrunkState, &ProjectedBasis),
    ) -> TrunkState {
        let basis = self.basis.forward(params, &rbf);
        let (senders, receivers) = (geometry.senders(), geometry.receivers());
        let m = self.edge_embedding.forward(params, h.clone(), rbf, senders, receivers);
        let mut state = TrunkState { h, m };
        visit(0, &state, &basis);
        for (i, block) in self.blocks.iter().enumerate() {
            let (h, m) = block.forward(params, state.h, state.m, &basis, geometry);
            state = TrunkState { h, m };
            visit(i + 1, &state, &basis);
        }
        state
    }

    /// The interaction blocks, for checks against reference values.
    pub fn blocks(&self) -> &[InteractionBlock] {
        &self.blocks
    }
}
