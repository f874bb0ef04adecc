//! Latents to elements, numbers of atoms, cells and properties (Luo et al. 2023, section 3.2).

use burn::tensor::Tensor;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::{ParamBuilder, Params};

use crate::autoencoder::Head;

/// Widths of [`Heads`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadSizes {
    /// Width of each of the latents.
    pub latent: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Most elements of a crystal, and most atoms of an element.
    pub max_atoms: usize,
    /// Whether there is a head for a property.
    pub property: bool,
}

/// What latents say of whole crystals.
#[derive(Debug, Clone)]
pub(crate) struct Heads {
    num_elements: Head,
    presence: Head,
    num_atoms: Head,
    cell: Head,
    property: Option<Head>,
}

impl Heads {
    /// Registers `fc_elem_type_num`, `fc_elem_type`, `fc_elem_num`, `fc_lattice` and, if wanted, `fc_property`. The property is
    /// read off all three latents.
    pub fn new(builder: &mut ParamBuilder, sizes: HeadSizes) -> Self {
        let HeadSizes { latent, hidden, max_atoms, property } = sizes;
        let mut head = |name, input, output| Head::new(builder, name, [input, hidden, output]);
        Self {
            num_elements: head("fc_elem_type_num", latent, max_atoms),
            presence: head("fc_elem_type", latent, usize::from(MAX_ELEMENT)),
            num_atoms: head("fc_elem_num", latent, max_atoms),
            cell: head("fc_lattice", latent, 6),
            property: property.then(|| head("fc_property", 3 * latent, 1)),
        }
    }

    /// Logits of the number of elements, class c for c + 1 of them, from latents of compositions (B, latent): (B, max_atoms).
    pub fn num_elements(&self, params: &Params, composition: Tensor<2>) -> Tensor<2> {
        self.num_elements.forward(params, composition)
    }

    /// Logits of the presence of each element, index Z - 1, from latents of compositions: (B, 100).
    pub fn presence(&self, params: &Params, composition: Tensor<2>) -> Tensor<2> {
        self.presence.forward(params, composition)
    }

    /// Logits of the number of atoms of an element, class c for c + 1 atoms, from the latent of the composition and the
    /// encoder's embedding of the element, a row of each for every element of a crystal: (rows, max_atoms).
    pub fn num_atoms(&self, params: &Params, composition: Tensor<2>, element: Tensor<2>) -> Tensor<2> {
        self.num_atoms.forward(params, composition * element)
    }

    /// The six standardized numbers of the cell from latents of cells: (B, 6).
    pub fn cell(&self, params: &Params, cell: Tensor<2>) -> Tensor<2> {
        self.cell.forward(params, cell)
    }

    /// The standardized property (B, 1) from whole latents (B, 3 · latent), for a model that learned one.
    pub fn property(&self, params: &Params, z: Tensor<2>) -> Option<Tensor<2>> {
        self.property.as_ref().map(|head| head.forward(params, z))
    }
}
