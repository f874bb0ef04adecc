//! What is proposed for a composition.

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
