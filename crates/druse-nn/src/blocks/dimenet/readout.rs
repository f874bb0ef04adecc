//! Atoms to crystals.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::graph::Multigraph;
use crate::ops;

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
