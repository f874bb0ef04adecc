//! Known crystals on the sites that are asked for: with the space group and the Wyckoff positions given, those of the same
//! structure type have the free numbers, too.

use std::sync::Arc;

use druse_crystal::{DistinctSite, SymmetricStructure, Template};
use druse_data::substitution::Parent;

use super::model::Orbit;
use super::paths::moved;
use super::proposal::Proposal;
use super::site_by_site::{Filling, distance_of, filling_of};

/// Most known crystals that are kept for a template.
const MOST_KEPT: usize = 20;
/// Most that are looked at: where no coordinate is free, hundreds have the same numbers.
const MOST_SEEN: usize = 40;
/// Numbers of two crystals that all differ by less (fractional coordinates, logarithms of lengths) count once.
const ALIKE: f64 = 0.01;
/// Whether two proposals for one template begin with the same numbers.
fn alike(a: &Proposal, b: &Proposal) -> bool {
    let near = |d: f64| d.abs() < ALIKE;
    let (x, y) = (a.frac.as_flattened(), b.frac.as_flattened());
    a.cell.iter().zip(&b.cell).all(|(a, b)| near(a - b))
        && x.iter().zip(y).all(|(a, b)| near(a - b - (a - b).round()))
}

impl Orbit {
    /// Known crystals of the structure type of a template with its elements on their sites, those with the nearest elements
    /// first, in the description that has the letters of the template.
    pub(super) fn with_sites_of(&self, template: &Template) -> Arc<Vec<Proposal>> {
        self.same_sites.get(template.clone(), || self.found_with_sites(template))
    }

    fn found_with_sites(&self, template: &Template) -> Vec<Proposal> {
        let parents = self.known.library().parents();
        let equivalents = template.equivalents();
        let distance = |(place, parent): (usize, &Parent)| {
            distance_of(parent.template(), &equivalents).map(|distance| (place, distance))
        };
        let mut near: Vec<(usize, f64)> = parents.iter().enumerate().filter_map(distance).collect();
        near.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        let mut found: Vec<Proposal> = Vec::new();
        for (i, &(place, _)) in near.iter().take(MOST_SEEN).enumerate() {
            let Some(proposal) = self.with_sites(&parents[place], i, template) else { continue };
            if !found.iter().any(|other| alike(other, &proposal)) {
                found.push(proposal);
            }
            if found.len() == MOST_KEPT {
                break;
            }
        }
        found
    }

    /// A known crystal with the elements of a template, by its place among those that have its sites.
    fn with_sites(&self, parent: &Parent, place: usize, template: &Template) -> Option<Proposal> {
        let described = self.described(parent.structure());
        let crystal = &described.as_ref().as_ref().ok()?.crystal;
        let Filling { elements, distance } = filling_of(crystal, template)?;
        let suits = |sites: &Vec<DistinctSite>| {
            let pairs = elements.iter().copied().zip(sites.iter().map(|s| s.letter));
            Template::new(crystal.group(), pairs.collect()).is_ok_and(|made| made == *template)
        };
        let sites = moved(crystal).find(suits)?;
        let crystal = SymmetricStructure::new(crystal.group(), crystal.lattice(), sites).ok()?;
        let facts = [distance as f32, ((place + 1) as f32).ln()];
        self.with_elements(parent, &crystal, &elements, distance, facts)
    }
}
