//! A structure that others can be made of.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use druse_crystal::{
    Composition, Element, SpaceGroup, Structure, SymmetricStructure, Template, TemplateError,
};

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
    places: OnceLock<Places>,
}

/// Site symmetry and multiplicity in the conventional cell: what a place is, whatever the origin.
type Place = (u16, &'static str);

/// A template, and what two templates have in common that an origin shift turns into each other.
#[derive(Debug, Clone)]
struct Places {
    template: Template,
    of_elements: Vec<(Element, Vec<Place>)>,
}

/// The space group and the places of each element: equal for structures of one template, whatever their origin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Arrangement {
    group: u16,
    of_elements: Vec<(Element, Vec<Place>)>,
}

impl Places {
    fn of(template: Template) -> Self {
        let mut places: BTreeMap<Element, Vec<Place>> = BTreeMap::new();
        for (&(element, _), position) in template.sites().iter().zip(template.positions()) {
            let multiplicity = position.multiplicity() as u16;
            places.entry(element).or_default().push((multiplicity, position.site_symmetry()));
        }
        places.values_mut().for_each(|places| places.sort_unstable());
        Self { template, of_elements: places.into_iter().collect() }
    }
}

/// The template of a structure at [`SYMPREC`]; one without symmetry where none is found.
fn template_of(structure: &Structure) -> Result<Template, TemplateError> {
    match SymmetricStructure::from_structure(structure, SYMPREC) {
        Ok(found) => Ok(found.template()),
        Err(_) => {
            let general = structure.species.iter().map(|&element| (element, 'a'));
            Template::new(SpaceGroup::new(1)?, general.collect())
        }
    }
}

/// What becomes of an element.
pub(super) fn exchanged(exchange: &[(Element, Element)], element: Element) -> Element {
    exchange.iter().find(|(old, _)| *old == element).map_or(element, |&(_, new)| new)
}

impl Parent {
    /// A structure under an identifier. Its labels and properties are not kept.
    pub fn new(id: impl Into<String>, mut structure: Structure) -> Self {
        structure.labels.clear();
        structure.properties.clear();
        let by_count = by_count(&Composition::from_species(&structure.species));
        Self { id: id.into(), structure, by_count, places: OnceLock::new() }
    }

    /// With the template that [`Parent::template`] gave before; one of other elements is not taken.
    #[must_use]
    pub fn with_template(self, template: Template) -> Self {
        let elements = Composition::from_species(&self.structure.species);
        if elements.elements().eq(template.composition().elements()) {
            // A new cell is empty.
            _ = self.places.set(Places::of(template));
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
        &self.places().template
    }

    fn places(&self) -> &Places {
        let places = || Places::of(template_of(&self.structure).expect("P1 holds any number of atoms"));
        self.places.get_or_init(places)
    }

    /// What its template becomes.
    pub(super) fn arrangement(&self, exchange: &[(Element, Element)]) -> Arrangement {
        let Places { template, of_elements } = self.places();
        let new = |(old, places): &(Element, Vec<Place>)| (exchanged(exchange, *old), places.clone());
        let mut of_elements: Vec<_> = of_elements.iter().map(new).collect();
        of_elements.sort_unstable();
        Arrangement { group: template.group().number(), of_elements }
    }
}
