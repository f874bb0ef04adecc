//! Templates for a composition: those of known crystals with other elements, and all others that structure types of the
//! training set allow.

use std::collections::HashSet;
use std::sync::Arc;

use druse_crystal::{
    Composition, Element, SpaceGroup, Structure, Template, WyckoffPosition, WyckoffSequence,
};
use druse_data::substitution::Near;

use super::cell;
use super::judge::Ballot;
use super::model::Orbit;
use super::proposal::Proposal;
use super::tokens::{Frame, Origin};

/// Most ways to fill a structure type that are looked at.
const MOST_FILLINGS: usize = 2000;
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
        let sites = crystal.sites().iter();
        let mut sites: Vec<_> = sites.map(|s| (exchanged(s.element), s.letter, s.frac, s.element)).collect();
        // In the order of templates.
        sites.sort_by_key(|&(element, letter, ..)| (element, letter.is_ascii_uppercase(), letter));
        let pairs = sites.iter().map(|&(element, letter, ..)| (element, letter)).collect();
        let template = Template::new(crystal.group(), pairs).ok()?;
        let mut cell = cell::coordinates(crystal.lattice());
        cell[0] += near.scale.ln() / 3.0;
        let elements = near.exchange.len().max(1) as f64;
        let same = if near.distance == 0.0 { 1.0 } else { 0.0 };
        let facts = [1.0, (near.distance / elements) as f32, same, ((place + 1) as f32).ln()];
        let frame = Frame::new(&template);
        let frac: Vec<[f64; 3]> = sites.iter().map(|s| s.2).collect();
        let origin = Origin {
            replaced: sites.iter().map(|s| s.3).collect(),
            frac: frac.clone(),
            cell: self.normalized(&frame, cell),
            facts,
        };
        let (distance, parent) = (near.distance, parent.id().to_owned());
        Some(Proposal { template, cell, frac, origin, distance, parent })
    }

    /// The vote on a structure by its composition, itself left out; found once.
    pub(super) fn own_ballot(&self, structure: &Structure, template: &Template) -> Arc<Ballot> {
        self.ballots.get(structure, || {
            let library = self.known.library();
            let itself = library.parents().iter().position(|p| is_same(structure, p.structure()));
            let composition = Composition::from_species(&structure.species);
            let among = self.config.judge.among;
            // Where no crystal has its numbers of atoms, nobody votes.
            Ballot::new(library, &composition, None, itself, Some(template), among).unwrap_or_default()
        })
    }

    /// Templates of a composition that no known crystal proposes but structure types of the training set allow, those of the
    /// most frequent types first.
    pub(super) fn further_templates(
        &self,
        composition: &Composition,
        space_group: Option<u16>,
        known: &[Template],
        count: usize,
    ) -> Vec<Template> {
        let mut given: HashSet<Template> = known.iter().map(canonical).collect();
        let mut found = Vec::new();
        for set in self.statistics.positions.as_slice() {
            if space_group.is_some_and(|group| group != set.sequence.group()) {
                continue;
            }
            for template in fillings(&set.sequence, composition) {
                if found.len() == count {
                    return found;
                }
                if given.insert(canonical(&template)) {
                    found.push(template);
                }
            }
        }
        found
    }
}

/// The first of the templates that are one but for the origin and the axes.
fn canonical(template: &Template) -> Template {
    template.equivalents().swap_remove(0)
}

/// All ways to put the atoms of a composition on the positions of a structure type.
fn fillings(sequence: &WyckoffSequence, composition: &Composition) -> Vec<Template> {
    let Ok(group) = SpaceGroup::new(sequence.group()) else { return Vec::new() };
    let letters: Vec<char> = sequence.letters().chars().collect();
    let positions: Result<Vec<&WyckoffPosition>, _> = letters.iter().map(|&l| group.wyckoff(l)).collect();
    let Ok(positions) = positions else { return Vec::new() };
    let sizes: Vec<usize> = positions.iter().map(|w| w.primitive_multiplicity()).collect();
    let mut left: Vec<(Element, usize)> = composition.iter().map(|(e, n)| (e, n as usize)).collect();
    if sizes.iter().sum::<usize>() != left.iter().map(|(_, n)| n).sum::<usize>() {
        return Vec::new();
    }
    let mut search =
        Filling { group, letters: &letters, sizes: &sizes, chosen: Vec::new(), found: Vec::new() };
    search.fill(&mut left);
    search.found
}

struct Filling<'a> {
    group: &'static SpaceGroup,
    letters: &'a [char],
    sizes: &'a [usize],
    /// Element of each position so far, by its place in the composition.
    chosen: Vec<usize>,
    found: Vec<Template>,
}

impl Filling<'_> {
    fn fill(&mut self, left: &mut [(Element, usize)]) {
        let place = self.chosen.len();
        if self.found.len() >= MOST_FILLINGS {
            return;
        }
        if place == self.letters.len() {
            let sites = self.chosen.iter().zip(self.letters).map(|(&e, &letter)| (left[e].0, letter));
            self.found.extend(Template::new(self.group, sites.collect()));
            return;
        }
        // Positions of one letter are alike: their elements come in one order alone.
        let first = match place > 0 && self.letters[place] == self.letters[place - 1] {
            true => self.chosen[place - 1],
            false => 0,
        };
        for e in first..left.len() {
            if left[e].1 >= self.sizes[place] {
                left[e].1 -= self.sizes[place];
                self.chosen.push(e);
                self.fill(left);
                self.chosen.pop();
                left[e].1 += self.sizes[place];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(group: u16, letters: &[char], formula: &str) -> Vec<String> {
        let hydrogen = Element::from_z(1).unwrap();
        let sites = letters.iter().map(|&l| (hydrogen, l)).collect();
        let sequence = Template::new(SpaceGroup::new(group).unwrap(), sites).unwrap().sequence();
        fillings(&sequence, &Composition::parse(formula).unwrap()).iter().map(Template::to_string).collect()
    }

    #[test]
    fn structure_types_are_filled_in_every_way() {
        // Perovskite: A and B on 1a and 1b in both ways.
        let found = all(221, &['a', 'b', 'c'], "SrTiO3");
        assert_eq!(found.len(), 2, "{found:?}");
        // Half-Heusler: three elements on 4a, 4b, 4c.
        assert_eq!(all(216, &['a', 'b', 'c'], "LiMgN").len(), 6);
        // Equal positions do not count twice.
        assert_eq!(all(1, &['a', 'a', 'a'], "SiO2").len(), 1);
        assert!(all(221, &['a', 'b'], "SrTiO3").is_empty());
        assert!(all(221, &['a', 'c'], "TiO2").is_empty());
    }
}
