//! What known crystals can be drawn from: their own sites, by elements, and the same with one site given to another element.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use druse_crystal::{Composition, Element, SpaceGroup, Template};
use druse_data::substitution::{Library, element_distance};

use super::exchange::{Family, SIZE};
use super::oxidation::is_metal;
use super::pattern::{Pattern, Placed};
use super::roles::{Charges, Role};

/// The share of a known crystal that is drawn with one of its sites given to another of its elements, or to a new one, where
/// that is possible. It reaches 13 of the 133 validation structures of `mp_20_bt` whose structure type no known crystal has; the
/// mean ln p over all is highest with 0.01 to 0.02.
const REGROUPED: f64 = 0.02;

/// A known crystal whose sites fall into classes, each of which gets one element.
#[derive(Debug)]
pub(in super::super) struct Variant {
    /// Its place in the library.
    pub parent: usize,
    /// The class of each site, in the order of the crystal's template.
    pub classes: Vec<u8>,
    /// The element of each class in the known crystal, and its role.
    pub old: Vec<(Element, Role)>,
    /// The probability that it is the one that elements are put into.
    pub probability: f64,
    /// Which pattern it has, and the slot of each class there.
    pub pattern: usize,
    pub slots: Vec<u8>,
    /// Whether the classes are the elements of the known crystal.
    pub own: bool,
}

/// A pattern, and the variants that have it.
#[derive(Debug)]
struct Known {
    pattern: Pattern,
    automorphisms: Vec<Vec<u8>>,
    variants: Vec<usize>,
}

/// All that known crystals can be drawn from.
#[derive(Debug)]
pub(in super::super) struct Variants {
    all: Vec<Variant>,
    patterns: Vec<Known>,
    /// Group and atoms of the primitive cell of each known crystal.
    of_parents: Vec<(u16, usize)>,
    seen: BTreeSet<Element>,
}

/// Sites in classes, before they have a pattern.
struct Grouping {
    classes: Vec<u8>,
    elements: Vec<Element>,
}

impl Grouping {
    /// By the elements of a template.
    fn of(template: &Template) -> Self {
        let elements: Vec<Element> = template.composition().elements().collect();
        let class = |e: Element| elements.iter().position(|&x| x == e).unwrap_or_default() as u8;
        Self { classes: template.sites().iter().map(|&(e, _)| class(e)).collect(), elements }
    }

    /// The atoms of each class as a composition in which classes of one element stand for others: `None` where two are of one.
    fn composition(&self, template: &Template) -> Option<Composition> {
        let distinct: BTreeSet<&Element> = self.elements.iter().collect();
        (distinct.len() == self.elements.len()).then(|| {
            let atoms = template.positions().map(|w| w.primitive_multiplicity() as u32);
            let of_site = self.classes.iter().map(|&class| self.elements[usize::from(class)]);
            Composition::from_counts(of_site.zip(atoms))
        })
    }

    /// With one site given to another class, or to a new one of the same element, where it is not the last of its class.
    /// Metals stay metals, and others others.
    fn regrouped(&self, template: &Template, split: bool) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let mut seen = BTreeSet::new();
        for site in 0..self.classes.len() {
            let from = self.classes[site];
            let element = self.elements[usize::from(from)];
            if self.classes.iter().filter(|&&class| class == from).count() < 2 {
                continue;
            }
            let metal = is_metal(element);
            let others = (0..self.elements.len())
                .filter(|&to| to != usize::from(from) && is_metal(self.elements[to]) == metal);
            let new = split.then_some(self.elements.len());
            for to in others.chain(new) {
                let mut classes = self.classes.clone();
                classes[site] = to as u8;
                let mut elements = self.elements.clone();
                if to == elements.len() {
                    elements.push(element);
                }
                // Of equal sites the first alone; two sites that part are the same two classes, whichever goes.
                let letters = |class: usize| {
                    let sites = template.sites().iter().zip(&classes);
                    let own = sites.filter(move |(_, c)| usize::from(**c) == class);
                    own.map(|(&(_, letter), _)| letter).collect::<Vec<char>>()
                };
                let mut key: Vec<(Element, Vec<char>)> =
                    elements.iter().enumerate().map(|(class, &e)| (e, letters(class))).collect();
                key.sort();
                if seen.insert(key) {
                    found.push(Self { classes, elements });
                }
            }
        }
        found
    }
}

impl Variants {
    /// Of a library.
    pub fn new(library: &Library) -> Self {
        let parents = library.parents();
        let compositions: Vec<Composition> = parents.iter().map(|p| p.template().composition()).collect();
        let charges = Charges::of(&compositions);
        let sizes: BTreeSet<usize> = compositions.iter().map(Composition::num_elements).collect();
        let mut found = Found::default();
        for (parent, (known, composition)) in parents.iter().zip(&compositions).enumerate() {
            let (template, roles) = (known.template(), charges.roles(composition));
            let own = Grouping::of(template);
            let Some(own_placed) = found.placed(template, &own) else { continue };
            let split = sizes.contains(&(own.elements.len() + 1));
            let others = found.others(template, &own, &roles, &charges, split);
            let share = if others.is_empty() { 0.0 } else { REGROUPED };
            let each = share / others.len().max(1) as f64;
            let old = own.elements.iter().copied().zip(roles).collect();
            found.push(parent, own.classes, old, 1.0 - share, own_placed, true);
            for (grouping, roles, placed) in others {
                let old = grouping.elements.into_iter().zip(roles).collect();
                found.push(parent, grouping.classes, old, each, placed, false);
            }
        }
        let of_parents =
            parents.iter().zip(&compositions).map(|(p, c)| (p.template().group().number(), c.num_atoms()));
        let seen = compositions.iter().flat_map(Composition::elements).collect();
        found.finish(of_parents.collect(), seen)
    }

    /// All of them, like ones next to each other.
    pub fn all(&self) -> &[Variant] {
        &self.all
    }

    /// Group and atoms of the primitive cell of a known crystal.
    pub fn of_parent(&self, variant: &Variant) -> (u16, usize) {
        self.of_parents[variant.parent]
    }

    /// Elements of the known crystals.
    pub fn seen(&self) -> &BTreeSet<Element> {
        &self.seen
    }

    /// The element that stands for one: itself, or the nearest one of the known crystals.
    pub fn stand_in(&self, element: Element) -> Element {
        match self.seen.contains(&element) {
            true => element,
            false => nearest(&self.seen, element).unwrap_or(element),
        }
    }

    /// The permutations of a variant's pattern, and all variants that have the pattern.
    pub fn alike(&self, variant: &Variant) -> (&[Vec<u8>], impl Iterator<Item = &Variant>) {
        let known = &self.patterns[variant.pattern];
        (&known.automorphisms, known.variants.iter().map(|&i| &self.all[i]))
    }

    /// In how many known crystals each element has each role.
    pub(super) fn counts(&self) -> BTreeMap<Role, Vec<f64>> {
        let mut counts: BTreeMap<Role, Vec<f64>> = BTreeMap::new();
        for (element, role) in self.all.iter().filter(|v| v.own).flat_map(|v| &v.old) {
            counts.entry(*role).or_insert_with(|| vec![0.0; SIZE])[usize::from(element.z())] += 1.0;
        }
        counts
    }

    /// The known crystals of each pattern.
    pub(super) fn families(&self) -> Vec<Family> {
        let members = |known: &Known| {
            let own = known.variants.iter().map(|&i| &self.all[i]).filter(|v| v.own);
            let by_slot = |v: &Variant| {
                let mut elements = vec![0; v.slots.len()];
                v.slots.iter().zip(&v.old).for_each(|(&slot, (e, _))| elements[usize::from(slot)] = e.z());
                elements
            };
            Family { members: own.map(by_slot).collect(), automorphisms: known.automorphisms.clone() }
        };
        self.patterns.iter().map(members).collect()
    }
}

/// The nearest of some elements to another one.
pub(in super::super) fn nearest(elements: &BTreeSet<Element>, to: Element) -> Option<Element> {
    let distance = |e: &Element| element_distance(*e, to);
    elements.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// A pattern by its number, and the slot of each class.
type Place = (usize, Vec<u8>);

/// Variants while they are collected.
#[derive(Default)]
struct Found {
    all: Vec<Variant>,
    patterns: Vec<Known>,
    by_pattern: HashMap<Pattern, usize>,
    /// What was found for the letters of the classes.
    placed: HashMap<(u16, Vec<Vec<char>>), Option<Place>>,
}

impl Found {
    /// The pattern of sites in classes, and the slot of each class.
    fn placed(&mut self, template: &Template, grouping: &Grouping) -> Option<Place> {
        let group: &SpaceGroup = template.group();
        let mut letters = vec![Vec::new(); grouping.elements.len()];
        for (&(_, letter), &class) in template.sites().iter().zip(&grouping.classes) {
            letters[usize::from(class)].push(letter);
        }
        letters.iter_mut().for_each(|letters| letters.sort_unstable());
        if let Some(known) = self.placed.get(&(group.number(), letters.clone())) {
            return known.clone();
        }
        let found = Placed::new(group, &letters).map(|Placed { pattern, slot, automorphisms }| {
            let next = self.patterns.len();
            let number = *self.by_pattern.entry(pattern.clone()).or_insert(next);
            if number == next {
                self.patterns.push(Known { pattern, automorphisms, variants: Vec::new() });
            }
            (number, slot)
        });
        self.placed.insert((group.number(), letters), found.clone());
        found
    }

    /// The ways to give a site to another element in which all elements keep a role.
    fn others(
        &mut self,
        template: &Template,
        own: &Grouping,
        own_roles: &[Role],
        charges: &Charges,
        split: bool,
    ) -> Vec<(Grouping, Vec<Role>, Place)> {
        let mut found = Vec::new();
        for grouping in own.regrouped(template, split) {
            let new_roles = match grouping.composition(template) {
                // With other numbers of atoms charges have to balance anew.
                Some(composition) => charges.roles(&composition),
                // Two classes of one element are two of its role.
                None => {
                    let role = |e: &Element| own.elements.iter().position(|x| x == e).map(|i| own_roles[i]);
                    grouping.elements.iter().filter_map(role).collect()
                }
            };
            if new_roles.contains(&Role::Unknown) || new_roles.contains(&Role::Alone) {
                continue;
            }
            if let Some(placed) = self.placed(template, &grouping) {
                found.push((grouping, new_roles, placed));
            }
        }
        found
    }

    fn push(
        &mut self,
        parent: usize,
        classes: Vec<u8>,
        old: Vec<(Element, Role)>,
        probability: f64,
        (pattern, slots): Place,
        own: bool,
    ) {
        self.all.push(Variant { parent, classes, old, probability, pattern, slots, own });
    }

    /// In an order in which like ones are next to each other: by pattern, then by atomic numbers.
    fn finish(self, of_parents: Vec<(u16, usize)>, seen: BTreeSet<Element>) -> Variants {
        let Self { mut all, mut patterns, .. } = self;
        let total: f64 = all.iter().map(|v| v.probability).sum();
        all.iter_mut().for_each(|v| v.probability /= total);
        let weight = |v: &Variant| v.old.iter().map(|(e, _)| u32::from(e.z())).sum::<u32>();
        all.sort_by(|a, b| {
            let key = |v: &Variant| (&patterns[v.pattern].pattern, weight(v), v.parent);
            key(a).cmp(&key(b))
        });
        for (i, v) in all.iter().enumerate() {
            patterns[v.pattern].variants.push(i);
        }
        Variants { all, patterns, of_parents, seen }
    }
}
