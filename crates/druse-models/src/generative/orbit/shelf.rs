//! Known crystals with the elements that are asked for: templates, and what to begin with.

use std::sync::Arc;

use druse_crystal::{Composition, Element, Structure, SymmetricStructure, Template};
use druse_data::substitution::{Near, Parent};

use super::cell;
use super::judge::Ballot;
use super::model::Orbit;
use super::proposal::Proposal;
use super::site_by_site::{SiteBySite, filling_of};
use super::tokens::{Frame, Origin};

/// Relative difference of numbers that are one.
const SAME: f64 = 1e-5;

/// Whether two structures are one, but for a rotation and for digits beyond single precision.
fn is_same(a: &Structure, b: &Structure) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= SAME * (1.0 + a.abs());
    a.species == b.species
        && a.lattice.parameters().iter().zip(b.lattice.parameters()).all(|(&a, b)| near(a, b))
        && a.frac_coords.as_flattened().iter().zip(b.frac_coords.as_flattened()).all(|(&a, &b)| near(a, b))
}

impl Orbit {
    /// A known crystal with the elements asked for, by its place among the nearest (from 0); `None` where it has no distinct
    /// sites.
    pub(super) fn proposal(&self, near: &Near, place: usize) -> Option<Proposal> {
        let parent = &self.known.library().parents()[near.place];
        let described = self.described(parent.structure());
        let crystal = &described.as_ref().as_ref().ok()?.crystal;
        let exchanged = |element: Element| {
            let found = near.exchange.iter().find(|(old, _)| *old == element);
            found.map_or(element, |&(_, new)| new)
        };
        let elements: Vec<Element> = crystal.sites().iter().map(|s| exchanged(s.element)).collect();
        let apart = (near.distance / near.exchange.len().max(1) as f64) as f32;
        self.with_elements(parent, crystal, &elements, near.distance, [apart, ((place + 1) as f32).ln()])
    }

    /// What a known crystal becomes whose sites got their elements one by one; `None` where it has no distinct sites.
    pub(super) fn proposal_site_by_site(&self, found: &SiteBySite) -> Option<Proposal> {
        let library = self.known.library();
        let parent = &library.parents()[found.parent];
        let described = self.described(parent.structure());
        let crystal = &described.as_ref().as_ref().ok()?.crystal;
        let filling = filling_of(crystal, &found.template)?;
        // As those that are as far as known crystals go.
        let facts = [found.distance as f32, (self.config.judge.among as f32).ln()];
        self.with_elements(parent, crystal, &filling.elements, found.distance, facts)
    }

    /// A known crystal with these elements on its sites, its volume that of the new ones. `facts` are the distance for an
    /// element and the logarithm of the place.
    pub(super) fn with_elements(
        &self,
        parent: &Parent,
        crystal: &SymmetricStructure,
        elements: &[Element],
        distance: f64,
        [apart, place]: [f32; 2],
    ) -> Option<Proposal> {
        let sites = crystal.sites().iter().zip(elements);
        let mut sites: Vec<_> = sites.map(|(s, &new)| (new, s.letter, s.frac, s.element)).collect();
        // In the order of templates.
        sites.sort_by_key(|&(element, letter, ..)| (element, letter.is_ascii_uppercase(), letter));
        let pairs = sites.iter().map(|&(element, letter, ..)| (element, letter)).collect();
        let template = Template::new(crystal.group(), pairs).ok()?;
        let volumes = self.known.library().volumes();
        let scale = volumes.sum(&template.composition()) / volumes.sum(&crystal.composition());
        let mut cell = cell::coordinates(crystal.lattice());
        cell[0] += scale.ln() / 3.0;
        let same = if distance == 0.0 { 1.0 } else { 0.0 };
        let facts = [1.0, apart, same, place];
        let frame = Frame::new(&template);
        let frac: Vec<[f64; 3]> = sites.iter().map(|s| s.2).collect();
        let origin = Origin {
            replaced: sites.iter().map(|s| s.3).collect(),
            frac: frac.clone(),
            cell: self.normalized(&frame, cell),
            facts,
        };
        Some(Proposal { template, cell, frac, origin, distance, parent: parent.id().to_owned() })
    }

    /// The place of a structure among the known ones.
    pub(super) fn place_of(&self, structure: &Structure) -> Option<usize> {
        self.known.library().parents().iter().position(|p| is_same(structure, p.structure()))
    }

    /// The vote on a structure by its composition, itself left out; found once.
    pub(super) fn own_ballot(&self, structure: &Structure, template: &Template) -> Arc<Ballot> {
        self.ballots.get(structure, || {
            let library = self.known.library();
            let itself = self.place_of(structure);
            let composition = Composition::from_species(&structure.species);
            let among = self.config.judge.among;
            // Where no crystal has its numbers of atoms, nobody votes.
            Ballot::new(library, &composition, None, itself, Some(template), among).unwrap_or_default()
        })
    }
}
