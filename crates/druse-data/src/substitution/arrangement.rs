//! Which places the elements of a crystal are on, whatever the origin of its cell.

use std::collections::BTreeMap;

use druse_crystal::{Element, SpaceGroup, Structure, SymmetricStructure, Template};

/// Multiplicity in the conventional cell, and site symmetry.
type Place = (u16, &'static str);

/// The space group and the places of each element: multiplicity and site symmetry of their Wyckoff positions. It is the same
/// for all origins and axes that a template may be described with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arrangement {
    group: u16,
    of_elements: Vec<(Element, Vec<Place>)>,
}

/// The template of a structure at a distance tolerance (Å); where no space group is found, P1 with every atom on the general
/// position.
pub(super) fn template_of(structure: &Structure, symprec: f64) -> Template {
    match SymmetricStructure::from_structure(structure, symprec) {
        Ok(found) => found.template(),
        Err(_) => {
            let p1 = SpaceGroup::new(1).expect("there is P1");
            let general = structure.species.iter().map(|&element| (element, 'a'));
            Template::new(p1, general.collect()).expect("the general position holds any number of atoms")
        }
    }
}

/// What becomes of an element.
pub(super) fn exchanged(exchange: &[(Element, Element)], element: Element) -> Element {
    exchange.iter().find(|(old, _)| *old == element).map_or(element, |&(_, new)| new)
}

impl Arrangement {
    /// Of a template.
    pub fn of(template: &Template) -> Self {
        let mut places: BTreeMap<Element, Vec<Place>> = BTreeMap::new();
        for (&(element, _), position) in template.sites().iter().zip(template.positions()) {
            let multiplicity = position.multiplicity() as u16;
            places.entry(element).or_default().push((multiplicity, position.site_symmetry()));
        }
        places.values_mut().for_each(|places| places.sort_unstable());
        Self { group: template.group().number(), of_elements: places.into_iter().collect() }
    }

    /// Of a structure at a distance tolerance (Å); where no space group is found, P1 with every atom on the general position.
    pub fn of_structure(structure: &Structure, symprec: f64) -> Self {
        Self::of(&template_of(structure, symprec))
    }

    /// Number of the space group.
    pub fn group(&self) -> u16 {
        self.group
    }

    /// With other elements in the places of these.
    #[must_use]
    pub fn exchanged(&self, exchange: &[(Element, Element)]) -> Self {
        let new = |(old, places): &(Element, Vec<Place>)| (exchanged(exchange, *old), places.clone());
        let mut of_elements: Vec<_> = self.of_elements.iter().map(new).collect();
        of_elements.sort_unstable();
        Self { group: self.group, of_elements }
    }
}
