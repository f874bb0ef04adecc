//! Atoms to crystals.

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::graph::Index;
use druse_nn::ops;

/// Which atoms make a crystal, for the mean over them.
pub(crate) struct Pooling {
    crystal_of_atom: Index,
    /// One over the number of atoms of each crystal.
    inverse: Vec<f32>,
}

impl Pooling {
    pub fn of(structures: &[&Structure]) -> Self {
        let atoms = structures.iter().zip(0u32..);
        Self {
            crystal_of_atom: atoms.flat_map(|(s, b)| std::iter::repeat_n(b, s.len())).collect(),
            inverse: structures.iter().map(|s| 1.0 / s.len().max(1) as f32).collect(),
        }
    }

    /// Rows of atoms (N, width) to their means (B, width).
    pub fn mean(&self, atoms: Tensor<2>) -> Tensor<2> {
        let device = atoms.device();
        let sum = ops::scatter_sum(atoms, &self.crystal_of_atom, self.inverse.len());
        sum * ops::matrix(self.inverse.clone(), 1, &device)
    }
}
