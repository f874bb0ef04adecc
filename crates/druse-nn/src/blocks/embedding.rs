//! Embedding of the elements.

use burn::tensor::Tensor;
use druse_crystal::Element;

use crate::graph::Index;
use crate::ops;
use crate::{Init, ParamBuilder, ParamId, Params};

/// Elements with an embedding: atomic numbers 1 to 100.
pub const MAX_ELEMENT: u8 = 100;

/// Embedding of the elements in the GemNet family, indexed Z - 1; uniform in ±√3.
#[derive(Debug, Clone)]
pub struct AtomEmbedding {
    table: ParamId,
}

impl AtomEmbedding {
    /// Registers `prefix.atom_emb.embeddings.weight`.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, width: usize) -> Self {
        let shape = [usize::from(MAX_ELEMENT), width];
        let init = Init::Uniform(3f32.sqrt());
        Self { table: builder.add(format!("{prefix}.atom_emb.embeddings.weight"), &shape, init) }
    }

    /// (N) → (N, width).
    ///
    /// # Panics
    /// When an element lies beyond [`MAX_ELEMENT`]; models refuse such crystals before.
    pub fn forward(&self, params: &Params, species: &[Element]) -> Tensor<2> {
        let rows: Index = species.iter().map(|e| u32::from(e.z()) - 1).collect();
        ops::gather(params.get(self.table), &rows)
    }
}
