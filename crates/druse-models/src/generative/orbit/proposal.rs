//! What is proposed for a composition.

use druse_crystal::Template;

use super::cell;
use super::tokens::Origin;

/// A known crystal with other elements: a template, and numbers that it may begin with.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    pub template: Template,
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
