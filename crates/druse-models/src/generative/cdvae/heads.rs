//! Latents to aggregate quantities: number of atoms, lattice, composition, property (Xie et al. 2022, section 4 and
//! appendix B.1).

use burn::tensor::Tensor;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::{ParamBuilder, Params};

use crate::autoencoder::Head;

/// What latents say of whole crystals.
#[derive(Debug, Clone)]
pub(crate) struct AggregateHeads {
    num_atoms: Head,
    lattice: Head,
    composition: Head,
    property: Option<Head>,
}

/// Outputs of [`AggregateHeads`].
pub(crate) struct Aggregates {
    /// Logits of the number of atoms, 0 to the largest: (B, max_atoms + 1).
    pub num_atoms: Tensor<2>,
    /// Standardized `[lengths / N^(1/3), angles]`: (B, 6).
    pub lattice: Tensor<2>,
    /// Logits of the elements, index Z - 1: (B, 100).
    pub composition: Tensor<2>,
}

impl AggregateHeads {
    /// Registers `fc_num_atoms`, `fc_lattice`, `fc_composition` and, if wanted, `fc_property`.
    pub fn new(builder: &mut ParamBuilder, [latent, hidden, max_atoms]: [usize; 3], property: bool) -> Self {
        let mut head = |name, output| Head::new(builder, name, [latent, hidden, output]);
        Self {
            num_atoms: head("fc_num_atoms", max_atoms + 1),
            lattice: head("fc_lattice", 6),
            composition: head("fc_composition", usize::from(MAX_ELEMENT)),
            property: property.then(|| head("fc_property", 1)),
        }
    }

    /// Reads latents (B, latent).
    pub fn forward(&self, params: &Params, z: &Tensor<2>) -> Aggregates {
        Aggregates {
            num_atoms: self.num_atoms.forward(params, z.clone()),
            lattice: self.lattice.forward(params, z.clone()),
            composition: self.composition.forward(params, z.clone()),
        }
    }

    /// The standardized property (B, 1), for a model that learned one.
    pub fn property(&self, params: &Params, z: Tensor<2>) -> Option<Tensor<2>> {
        self.property.as_ref().map(|head| head.forward(params, z))
    }
}
