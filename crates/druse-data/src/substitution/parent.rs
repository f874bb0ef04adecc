//! A structure that others can be made of.

use std::sync::OnceLock;

use druse_crystal::{Composition, Element, Structure, Template};

use super::arrangement::{Arrangement, template_of};
use super::exchange::by_count;

/// Distance tolerance (Å) at which the space groups of parents are looked for.
pub const SYMPREC: f64 = 0.1;

/// A structure of a library.
#[derive(Debug, Clone)]
pub struct Parent {
    id: String,
    structure: Structure,
    pub(super) by_count: Vec<(u32, Vec<Element>)>,
    /// Looked for when it is asked for the first time.
    template: OnceLock<Template>,
    /// What the template is whatever its origin: of few crystals of a library anybody asks for it.
    arrangement: OnceLock<Arrangement>,
}

impl Parent {
    /// A structure under an identifier. Its labels and properties are not kept.
    pub fn new(id: impl Into<String>, mut structure: Structure) -> Self {
        structure.labels.clear();
        structure.properties.clear();
        let by_count = by_count(&Composition::from_species(&structure.species));
        Self { id: id.into(), structure, by_count, template: OnceLock::new(), arrangement: OnceLock::new() }
    }

    /// With the template that [`Parent::template`] gave before; one of other elements is not taken.
    #[must_use]
    pub fn with_template(self, template: Template) -> Self {
        let elements = Composition::from_species(&self.structure.species);
        if elements.elements().eq(template.composition().elements()) {
            // A new cell is empty.
            _ = self.template.set(template);
        }
        self
    }

    /// Its identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The crystal.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Its atoms.
    pub fn composition(&self) -> Composition {
        Composition::from_species(&self.structure.species)
    }

    /// Atoms of each element, sorted: what a substitution keeps.
    pub(super) fn counts(&self) -> Vec<u32> {
        self.by_count.iter().flat_map(|(n, elements)| std::iter::repeat_n(*n, elements.len())).collect()
    }

    /// Its space group at [`SYMPREC`] and the Wyckoff position of each element; where no group is found, P1 with every atom on
    /// the general position.
    pub fn template(&self) -> &Template {
        self.template.get_or_init(|| template_of(&self.structure, SYMPREC))
    }

    /// [`Arrangement`] of its template.
    pub fn arrangement(&self) -> &Arrangement {
        self.arrangement.get_or_init(|| Arrangement::of(self.template()))
    }
}
