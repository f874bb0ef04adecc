//! Energies of crystals from continuous-filter convolutions, with forces, stresses and their gradients.

use std::sync::Arc;

use druse_crystal::Element;

use super::{AtomEmbedding, GaussianBasis, Linear};
use crate::graph::Multigraph;
use crate::ops::Activation;
use crate::tangent::{self, Dual};
use crate::{ParamBuilder, Params};

/// Sizes of a [`ContinuousFilterPotential`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContinuousFilterSizes {
    /// Numbers of an atom.
    pub width: usize,
    /// Interactions, one after the other.
    pub interactions: usize,
    /// Radial functions of the filters; edges longer than their cut-off carry nothing.
    pub basis: GaussianBasis,
}

/// The energy of a crystal as a sum over its atoms, by continuous-filter convolutions (SchNet: Schütt et al., NeurIPS 2017;
/// equations 2 and 3 and figure 2): with `h_i` the embedding of the element of atom i, every interaction is
///
/// ```text
/// m_i = Σ_e (W h_j) ⊙ F(d_e)      over the edges e from i to j, of length d_e
/// h_i ← h_i + V₂ silu(V₁ m_i + b₁) + b₂
/// ```
///
/// and at the end `E = Σ_i o · silu(U h_i + c)`. Unlike those of the paper, filters `F(d) = G₂ silu(G₁ b(d))` have no bias and
/// their Gaussians b an envelope, and the activation is the SiLU: energies have continuous second derivatives by the
/// positions, also where an edge reaches the cut-off. The energy is the same for a crystal that is turned, mirrored, shifted or
/// numbered otherwise, and grows with the number of cells.
#[derive(Debug, Clone)]
pub struct ContinuousFilterPotential {
    embedding: AtomEmbedding,
    interactions: Vec<Interaction>,
    output: [Linear; 2],
    basis: GaussianBasis,
}

#[derive(Debug, Clone)]
struct Interaction {
    filter: [Linear; 2],
    message: Linear,
    update: [Linear; 2],
}

impl ContinuousFilterPotential {
    /// Registers `prefix.atom_emb.embeddings.weight`, for every interaction i `prefix.interactions.i.filter.{0,1}.weight`,
    /// `.message.weight` and `.update.{0,1}.{weight,bias}`, and `prefix.output.{0,1}`.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, sizes: ContinuousFilterSizes) -> Self {
        let ContinuousFilterSizes { width, interactions, basis } = sizes;
        let embedding = AtomEmbedding::new(builder, prefix, width);
        let interactions = (0..interactions).map(|i| {
            let name = |part: &str| format!("{prefix}.interactions.{i}.{part}");
            let mut linear = |part: &str, shape, bias| Linear::new(builder, &name(part), shape, bias);
            let square = [width, width];
            Interaction {
                filter: [linear("filter.0", [basis.count, width], false), linear("filter.1", square, false)],
                message: linear("message", square, false),
                update: [linear("update.0", square, true), linear("update.1", square, true)],
            }
        });
        let interactions = interactions.collect();
        let output = [
            Linear::new(builder, &format!("{prefix}.output.0"), [width, width], true),
            Linear::new(builder, &format!("{prefix}.output.1"), [width, 1], false),
        ];
        Self { embedding, interactions, output, basis }
    }

    /// Energies (B, 1) of the crystals of a graph from the vectors of its edges (E, 3), for example those of
    /// [`tangent::strained_edge_vectors`], in the unit of the cut-off.
    ///
    /// # Panics
    /// When an element lies beyond [`super::MAX_ELEMENT`] or the numbers of atoms differ.
    pub fn energies(
        &self,
        params: &Params,
        vectors: Dual,
        species: &[Element],
        graph: &Arc<Multigraph>,
    ) -> Dual {
        assert_eq!(species.len(), graph.num_atoms, "one element for every atom of the graph");
        let basis = tangent::gaussians(tangent::lengths(vectors), self.basis);
        let mut h = Dual::constant(self.embedding.forward(params, species));
        for Interaction { filter, message, update } in &self.interactions {
            let filters = filter[0].dual(params, basis.clone(), Activation::Silu);
            let filters = filter[1].dual(params, filters, Activation::Identity);
            let messages = message.dual(params, h.clone(), Activation::Identity);
            let messages = tangent::gather(messages, &graph.destination) * filters;
            let sums = tangent::scatter_sum(messages, &graph.source, graph.num_atoms);
            let change = update[0].dual(params, sums, Activation::Silu);
            h = h + update[1].dual(params, change, Activation::Identity);
        }
        let h = self.output[0].dual(params, h, Activation::Silu);
        let atoms = self.output[1].dual(params, h, Activation::Identity);
        tangent::scatter_sum(atoms, &graph.crystal_of_atom, graph.num_crystals())
    }
}
