//! Exchanges of elements site by site: what a known crystal with other numbers of atoms of each element becomes.
//!
//! Where substitution gives all atoms of an element to one other, here each distinct site gets an element of its own, so that an
//! ordered variant of a structure type (chalcopyrite of zinc blende, say) is among what its parent proposes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use druse_crystal::{Composition, Element, SymmetricStructure, Template, WyckoffPosition};
use druse_data::substitution::{Library, element_distance};

use super::recent::Recent;

/// Most ways to fill the sites of one crystal that are looked at.
const MOST_FILLINGS: usize = 2000;
/// Most templates that are kept for a composition.
const MOST_KEPT: usize = 1000;
/// The nearest of them vote for the places of sites.
pub(super) const MOST_VOTES: usize = 100;
/// Most steps that a search for them takes.
const MOST_STEPS: usize = 20_000;
/// What it adds to the mean distance of an atom's elements that an element of either crystal is on both sides of the exchange
/// with more than one partner, for each further partner. Of validation structures whose template no crystal with their numbers
/// of atoms has, 5, 13 and 21 of 94 have it among the first 1, 5 and 20 with this.
const MIXED: f64 = 0.3;

/// A distinct site: element, letter, atoms in the primitive cell.
type Place = (Element, char, usize);

/// A way to fill the sites of a known crystal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Filling {
    /// The element of each site.
    pub elements: Vec<Element>,
    /// How far the elements are from those that they replace: smaller is nearer.
    pub distance: f64,
}

/// A template for a composition, and the place of the known crystal that it comes from.
#[derive(Debug, Clone)]
pub(super) struct SiteBySite {
    pub template: Template,
    pub parent: usize,
    pub distance: f64,
}

/// The first of the templates that are one but for the origin and the axes.
fn canonical(template: &Template) -> Template {
    template.equivalents().swap_remove(0)
}

/// The sites of a template, those of one element and position next to each other.
fn places<'p>(
    sites: impl Iterator<Item = (Element, char)>,
    positions: impl Iterator<Item = &'p WyckoffPosition>,
) -> Vec<Place> {
    sites.zip(positions).map(|((element, letter), w)| (element, letter, w.primitive_multiplicity())).collect()
}

/// Atoms of an element that are left to be put on sites.
#[derive(Debug, Clone, Copy)]
struct Left {
    element: Element,
    /// The Wyckoff position that they belong to, where it is told.
    letter: Option<char>,
    atoms: usize,
}

/// All ways to put the atoms of a composition on the sites of a crystal; none where it has another number of atoms.
fn fillings(places: &[Place], wanted: &Composition) -> Vec<Filling> {
    let left = wanted.iter().map(|(element, n)| Left { element, letter: None, atoms: n as usize });
    filled(places, left.collect())
}

/// All ways to put the elements of a template on the sites of a crystal that has its letters.
fn fillings_of_template(places: &[Place], template: &Template) -> Vec<Filling> {
    let mut left: Vec<Left> = Vec::new();
    for (&(element, letter), w) in template.sites().iter().zip(template.positions()) {
        let atoms = w.primitive_multiplicity();
        match left.iter_mut().find(|l| l.element == element && l.letter == Some(letter)) {
            Some(same) => same.atoms += atoms,
            None => left.push(Left { element, letter: Some(letter), atoms }),
        }
    }
    filled(places, left)
}

fn filled(places: &[Place], left: Vec<Left>) -> Vec<Filling> {
    let atoms = places.iter().map(|place| place.2).sum::<usize>();
    if atoms != left.iter().map(|l| l.atoms).sum::<usize>() {
        return Vec::new();
    }
    let mut search = Search { places, left, chosen: Vec::new(), found: Vec::new(), steps: 0 };
    search.fill();
    let Search { left, found, .. } = search;
    let mut old: Vec<Element> = places.iter().map(|p| p.0).collect();
    old.sort_unstable();
    old.dedup();
    let wanted: HashSet<Element> = left.iter().map(|l| l.element).collect();
    // Of each site: which of the old elements it has, and how far each new one would be.
    let sites: Vec<(usize, Vec<f64>)> = places
        .iter()
        .map(|p| {
            let apart = left.iter().map(|l| p.2 as f64 * element_distance(p.0, l.element)).collect();
            (old.partition_point(|e| *e < p.0), apart)
        })
        .collect();
    let mut partners = vec![vec![false; left.len()]; old.len()];
    let filled = |chosen: Vec<usize>| {
        partners.iter_mut().for_each(|of| of.fill(false));
        let (mut pairs, mut apart) = (0, 0.0);
        for ((old, distances), &e) in sites.iter().zip(&chosen) {
            apart += distances[e];
            // Atoms of one element may be left for several positions.
            let first = left.iter().position(|l| l.element == left[e].element).unwrap_or(e);
            pairs += usize::from(!std::mem::replace(&mut partners[*old][first], true));
        }
        Filling {
            elements: chosen.iter().map(|&e| left[e].element).collect(),
            distance: apart / atoms as f64 + MIXED * (2 * pairs - old.len() - wanted.len()) as f64,
        }
    };
    found.into_iter().map(filled).collect()
}

struct Search<'p> {
    places: &'p [Place],
    left: Vec<Left>,
    /// What each site got so far, by its place in `left`.
    chosen: Vec<usize>,
    found: Vec<Vec<usize>>,
    steps: usize,
}

impl Search<'_> {
    fn fill(&mut self) {
        let k = self.chosen.len();
        self.steps += 1;
        if self.found.len() >= MOST_FILLINGS || self.steps > MOST_STEPS {
            return;
        }
        let Some(&(element, letter, atoms)) = self.places.get(k) else {
            return self.found.push(self.chosen.clone());
        };
        // Sites of one element and position are alike: their new elements come in one order alone.
        let alike = k > 0 && (self.places[k - 1].0, self.places[k - 1].1) == (element, letter);
        let first = if alike { self.chosen[k - 1] } else { 0 };
        for e in first..self.left.len() {
            let left = self.left[e];
            if left.atoms >= atoms && left.letter.is_none_or(|l| l == letter) {
                self.left[e].atoms -= atoms;
                self.chosen.push(e);
                self.fill();
                self.chosen.pop();
                self.left[e].atoms += atoms;
            }
        }
    }
}

/// The nearest filling of a known crystal's sites that makes a template, or one that is the same but for the origin and the
/// axes.
pub(super) fn filling_of(crystal: &SymmetricStructure, template: &Template) -> Option<Filling> {
    let places = places(crystal.sites().iter().map(|s| (s.element, s.letter)), crystal.positions());
    nearest_filling(&places, &crystal.template(), &template.equivalents())
}

/// How far the elements of a template, given as all that are the same but for the origin and the axes, are from those of a known
/// one that has its sites; `None` where it has others.
pub(super) fn distance_of(known: &Template, equivalents: &[Template]) -> Option<f64> {
    let first = equivalents.first()?;
    if known.group() != first.group() || known.sites().len() != first.sites().len() {
        return None;
    }
    let places = places(known.sites().iter().copied(), known.positions());
    nearest_filling(&places, known, equivalents).map(|filling| filling.distance)
}

fn nearest_filling(places: &[Place], known: &Template, equivalents: &[Template]) -> Option<Filling> {
    let letters = known.sequence();
    let alike = equivalents.iter().filter(|same| same.sequence() == letters);
    let all = alike.flat_map(|same| fillings_of_template(places, same));
    all.min_by(|a, b| a.distance.total_cmp(&b.distance))
}

/// The nearest `most` of what all known crystals with as many atoms become for a composition; not the one at the place `but`.
pub(super) fn ordered(
    library: &Library,
    composition: &Composition,
    space_group: Option<u16>,
    but: Option<usize>,
    most: usize,
) -> Vec<SiteBySite> {
    // What is farther is not among the nearest, whatever comes later.
    let mut farthest = f64::INFINITY;
    let mut nearest: HashMap<Template, (f64, usize)> = HashMap::new();
    for (parent, known) in library.parents().iter().enumerate() {
        let template = known.template();
        if Some(parent) == but || space_group.is_some_and(|group| group != template.group().number()) {
            continue;
        }
        let places = places(template.sites().iter().copied(), template.positions());
        for filling in fillings(&places, composition) {
            if filling.distance > farthest {
                continue;
            }
            let sites = filling.elements.iter().copied().zip(places.iter().map(|p| p.1)).collect();
            let Ok(made) = Template::new(template.group(), sites) else { continue };
            let entry = nearest.entry(made).or_insert((f64::INFINITY, parent));
            if filling.distance < entry.0 {
                *entry = (filling.distance, parent);
            }
        }
        if nearest.len() > 2 * most {
            let mut distances: Vec<f64> = nearest.values().map(|(distance, _)| *distance).collect();
            farthest = *distances.select_nth_unstable_by(most - 1, f64::total_cmp).1;
            nearest.retain(|_, (distance, _)| *distance <= farthest);
        }
    }
    let of = |(template, (distance, parent))| SiteBySite { template, parent, distance };
    let mut all: Vec<SiteBySite> = nearest.into_iter().map(of).collect();
    // Whatever the order of the map.
    all.sort_by(|a, b| {
        a.distance
            .total_cmp(&b.distance)
            .then(a.parent.cmp(&b.parent))
            .then_with(|| a.template.cmp(&b.template))
    });
    all.truncate(most);
    all
}

/// A composition, and the space group that is asked for.
type Asked = (Composition, Option<u16>);

/// What was found for compositions, in a space group or in all of them.
#[derive(Debug, Default)]
pub(super) struct FoundExchanges(Recent<Asked, Vec<SiteBySite>>);

impl FoundExchanges {
    /// What all known crystals with as many atoms become for a composition, the nearest first.
    pub fn all(
        &self,
        library: &Library,
        composition: &Composition,
        space_group: Option<u16>,
    ) -> Arc<Vec<SiteBySite>> {
        self.0.get((composition.clone(), space_group), || {
            ordered(library, composition, space_group, None, MOST_KEPT)
        })
    }

    /// Templates for a composition from all known crystals with as many atoms, the nearest first, each once but for the origin
    /// and the axes; not those `given`.
    pub fn further(
        &self,
        library: &Library,
        composition: &Composition,
        space_group: Option<u16>,
        given: &[Template],
    ) -> Vec<SiteBySite> {
        let mut seen: HashSet<Template> = given.iter().map(canonical).collect();
        let all = self.all(library, composition, space_group);
        all.iter().filter(|found| seen.insert(canonical(&found.template))).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use druse_crystal::SpaceGroup;

    use super::*;

    fn all(group: u16, sites: &[(&str, char)], formula: &str) -> Vec<(Vec<&'static str>, f64)> {
        let group = SpaceGroup::new(group).unwrap();
        let element = |symbol: &str| Composition::parse(symbol).unwrap().elements().next().unwrap();
        let sites = sites.iter().map(|&(symbol, letter)| (element(symbol), letter)).collect();
        let template = Template::new(group, sites).unwrap();
        let places = places(template.sites().iter().copied(), template.positions());
        let found = fillings(&places, &Composition::parse(formula).unwrap());
        found.into_iter().map(|f| (f.elements.iter().map(|e| e.symbol()).collect(), f.distance)).collect()
    }

    #[test]
    fn sites_are_filled_in_every_way() {
        // Perovskite: A and B on 1a and 1b in both ways; what is the crystal itself is at no distance.
        let perovskite = [("Ca", 'a'), ("Ti", 'b'), ("O", 'c')];
        let found = all(221, &perovskite, "CaTiO3");
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found.iter().filter(|f| f.1 == 0.0).count(), 1);
        // Half-Heusler: three elements on 4a, 4b, 4c.
        assert_eq!(all(216, &[("Mg", 'a'), ("Li", 'b'), ("N", 'c')], "LiMgN").len(), 6);
        // Equal sites do not count twice.
        assert_eq!(all(1, &[("O", 'a'); 3], "SiO2").len(), 1);
        assert!(all(221, &[("Ti", 'a'), ("O", 'b')], "SrTiO3").is_empty());
        assert!(all(221, &[("Ti", 'a'), ("O", 'c')], "TiO2").is_empty());
    }

    #[test]
    fn a_split_element_costs_what_it_mixes() {
        // Ordered Cu3Au on what was one element (fcc in a simple cube): one element becomes two.
        let found = all(221, &[("Cu", 'a'), ("Cu", 'c')], "Cu3Au");
        let copper = Composition::parse("CuAu").unwrap().elements().collect::<Vec<_>>();
        let apart = element_distance(copper[0], copper[1]);
        assert_eq!(found.len(), 1);
        assert!((found[0].1 - (apart / 4.0 + MIXED)).abs() < 1e-12, "{found:?}");
    }
}
