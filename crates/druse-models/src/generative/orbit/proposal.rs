//! What is proposed for a composition.

use std::collections::BTreeMap;

use druse_crystal::{Element, Template};

use super::cell;
use super::tokens::{Frame, Origin};

/// How a known crystal gets other elements.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    /// Place in the library.
    pub place: usize,
    pub exchange: Vec<(Element, Element)>,
    pub scale: f64,
    pub distance: f64,
    pub rank: usize,
    /// Whether its template is that of the structure that it was written for.
    pub is_own: bool,
}

/// A known crystal with other elements: a template, and numbers that it may begin with.
pub(super) struct Proposal {
    pub template: Template,
    pub frame: Frame,
    /// Numbers of the parent's cell, its volume that of the new elements.
    pub cell: [f64; cell::COORDINATES],
    /// Fractional coordinates of the parent's sites.
    pub frac: Vec<[f64; 3]>,
    pub origin: Origin,
    /// Distance of the compositions.
    pub distance: f64,
    /// Identifier of the parent.
    pub parent: String,
}

/// The space group and the places of each element: equal for templates that an origin shift turns into each other.
pub(super) type Arrangement = (u16, BTreeMap<Element, Vec<(usize, &'static str)>>);

/// What two templates have in common that an origin shift turns into each other.
pub(super) fn arrangement(template: &Template) -> Arrangement {
    let mut places: BTreeMap<Element, Vec<(usize, &'static str)>> = BTreeMap::new();
    for (&(element, _), position) in template.sites().iter().zip(template.positions()) {
        places.entry(element).or_default().push((position.multiplicity(), position.site_symmetry()));
    }
    places.values_mut().for_each(|places| places.sort_unstable());
    (template.group().number(), places)
}
