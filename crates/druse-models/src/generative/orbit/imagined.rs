//! Drawing a known crystal with other elements, and what conditions leave of them.

use std::collections::BTreeSet;

use druse_crystal::{Element, SpaceGroup, Template};
use druse_data::substitution::element_distance;
use druse_nn::Params;

use super::denovo::{Variant, Wanted, nearest};
use super::model::Orbit;
use super::proposal::Proposal;
use super::site_by_site::filling_of;
use crate::process::Noise;
use crate::{Conditions, ModelError, SampleRequest};

/// Numbers that a message names.
const NAMED: usize = 12;

/// Atoms up to which it is counted whether a group can hold them.
const MOST_COUNTED: usize = 10_000;

/// A template that was drawn, and the known crystal that it is made of.
pub(super) struct Imagined {
    pub template: Template,
    /// `None` where the known crystal does not hold it; then the flow draws its numbers.
    pub proposal: Option<Proposal>,
    pub parent: String,
    /// ln p(template | conditions).
    pub log_probability: f64,
}

impl Orbit {
    /// A crystal for a request without composition and sites.
    pub(super) fn imagined(
        &self,
        params: &Params,
        request: &SampleRequest,
        noise: &mut Noise,
    ) -> Result<Imagined, ModelError> {
        let library = self.known.library();
        let draws = self.denovo.draws(library, self.judge.elements(params)?);
        let wanted = asked(&request.conditions);
        let drawn = draws.draw(&wanted, request.seed, request.index, noise);
        let drawn = drawn.ok_or_else(|| self.nothing(&request.conditions))?;
        let variant = &draws.variants().all()[drawn.variant];
        let parent = &library.parents()[variant.parent];
        let known = parent.template();
        let element = |&class: &u8| drawn.elements[usize::from(class)];
        let sites = variant.classes.iter().map(element).zip(known.sites().iter().map(|s| s.1)).collect();
        let template = Template::new(known.group(), sites).map_err(|e| ModelError::Output(e.to_string()))?;
        let proposal = self.with_classes(variant, &drawn.elements, &template);
        Ok(Imagined {
            template: proposal.as_ref().map_or(template, |proposal| proposal.template.clone()),
            proposal,
            parent: parent.id().to_owned(),
            log_probability: drawn.log_probability,
        })
    }

    /// The known crystal of a variant with an element for each class.
    fn with_classes(&self, variant: &Variant, elements: &[Element], template: &Template) -> Option<Proposal> {
        let parent = &self.known.library().parents()[variant.parent];
        let described = self.described(parent.structure());
        let crystal = &described.as_ref().as_ref().ok()?.crystal;
        let new: Vec<Element> = if crystal.template() == *parent.template() {
            // Sites of a template are in order, those of a crystal need not be.
            let mut order: Vec<usize> = (0..crystal.sites().len()).collect();
            order.sort_by_key(|&i| {
                let site = &crystal.sites()[i];
                (site.element, site.letter.is_ascii_uppercase(), site.letter)
            });
            let mut new = vec![elements[0]; order.len()];
            for (&site, &class) in order.iter().zip(&variant.classes) {
                new[site] = elements[usize::from(class)];
            }
            new
        } else if variant.own {
            let exchanged = |e: Element| variant.old.iter().position(|&(old, _)| old == e);
            crystal.sites().iter().map(|s| Some(elements[exchanged(s.element)?])).collect::<Option<_>>()?
        } else {
            filling_of(crystal, template)?.elements
        };
        let apart: f64 = variant.old.iter().zip(elements).map(|(&(a, _), &b)| element_distance(a, b)).sum();
        let facts = [(apart / elements.len() as f64) as f32, 0.0];
        self.with_elements(parent, crystal, &new, apart, facts)
    }

    /// Whether some known crystal can be drawn under conditions without composition and sites.
    pub(super) fn check_drawn(&self, conditions: &Conditions) -> Result<(), ModelError> {
        if let (Some(number), Some(atoms)) = (conditions.space_group, conditions.num_atoms) {
            let group = SpaceGroup::new(number).map_err(|e| ModelError::Condition(e.to_string()))?;
            if atoms <= MOST_COUNTED && !holds(group, atoms) {
                let atoms = if atoms == 1 { "1 atom".to_owned() } else { format!("{atoms} atoms") };
                return Err(ModelError::Condition(format!(
                    "no primitive cell in the space group {group} has {atoms}: {}",
                    multiplicities(group)
                )));
            }
        }
        let variants = self.denovo.variants(self.known.library());
        let wanted = asked(conditions);
        match variants.all().iter().any(|v| variants.suits(v, &wanted)) {
            true => Ok(()),
            false => Err(self.nothing(conditions)),
        }
    }

    /// The error where no known crystal meets conditions: what would be there without one of them.
    fn nothing(&self, conditions: &Conditions) -> ModelError {
        let variants = self.denovo.variants(self.known.library());
        let wanted = asked(conditions);
        let mut named = Vec::new();
        named.extend(wanted.group.map(|group| format!("the space group {group}")));
        named.extend(wanted.atoms.map(|atoms| format!("{atoms} atoms in the primitive cell")));
        named.extend(wanted.system.as_ref().map(|system| format!("{} elements", system.len())));
        let mut there = Vec::new();
        let mut but = |wanted: &Wanted, words: &str, value: &dyn Fn(&Variant) -> usize| {
            let suits = variants.all().iter().filter(|v| variants.suits(v, wanted));
            let values: BTreeSet<usize> = suits.map(value).collect();
            if !values.is_empty() {
                there.push(format!("{words} {}", listed(&values)));
            }
        };
        if wanted.atoms.is_some() {
            let others = Wanted { atoms: None, ..wanted.clone() };
            but(&others, "with other numbers of atoms there are", &|v| variants.of_parent(v).1);
        }
        if wanted.group.is_some() {
            let others = Wanted { group: None, ..wanted.clone() };
            but(&others, "in other space groups there are:", &|v| usize::from(variants.of_parent(v).0));
        }
        if wanted.system.is_some() {
            let others = Wanted { system: None, ..wanted.clone() };
            but(&others, "with other numbers of elements there are", &|v| v.old.len());
        }
        let there = if there.is_empty() { String::new() } else { format!("; {}", there.join("; ")) };
        let known = variants.all().iter().filter(|v| v.own).count();
        let named = if named.is_empty() { "what is asked for".to_owned() } else { named.join(" and ") };
        ModelError::Condition(format!("none of the {known} known crystals has {named}{there}"))
    }

    /// What is said of elements that no known crystal has.
    pub(super) fn remark_on(&self, elements: impl IntoIterator<Item = Element>) -> Option<String> {
        let seen = self.denovo.seen(self.known.library());
        let unseen: BTreeSet<Element> = elements.into_iter().filter(|e| !seen.contains(e)).collect();
        let words = |&e: &Element| match nearest(seen, e) {
            Some(near) => format!("{e} is in no known crystal: placed by its nearness to {near}"),
            None => format!("{e} is in no known crystal"),
        };
        (!unseen.is_empty()).then(|| unseen.iter().map(words).collect::<Vec<_>>().join("; "))
    }
}

/// What is asked for.
fn asked(conditions: &Conditions) -> Wanted {
    Wanted {
        atoms: conditions.num_atoms,
        group: conditions.space_group,
        system: conditions.chemical_system.clone(),
    }
}

/// Some of many numbers.
fn listed(numbers: &BTreeSet<usize>) -> String {
    let some: Vec<String> = numbers.iter().take(NAMED).map(usize::to_string).collect();
    let more = if numbers.len() > NAMED { ", …" } else { "" };
    format!("{}{more}", some.join(", "))
}

/// Whether Wyckoff positions of a group can hold so many atoms of the primitive cell.
fn holds(group: &SpaceGroup, atoms: usize) -> bool {
    let mut reached = vec![false; atoms + 1];
    reached[0] = true;
    // Positions without freedom first, which are occupied once.
    for w in group.wyckoff_positions().iter().filter(|w| w.is_fixed()) {
        let size = w.primitive_multiplicity();
        (size..=atoms).rev().for_each(|n| reached[n] |= reached[n - size]);
    }
    for w in group.wyckoff_positions().iter().filter(|w| !w.is_fixed()) {
        let size = w.primitive_multiplicity();
        (size..=atoms).for_each(|n| reached[n] |= reached[n - size]);
    }
    reached[atoms]
}

/// The numbers of atoms that the positions of a group hold.
fn multiplicities(group: &SpaceGroup) -> String {
    let sizes = |fixed: bool| -> BTreeSet<usize> {
        let positions = group.wyckoff_positions().iter().filter(|w| w.is_fixed() == fixed);
        positions.map(|w| w.primitive_multiplicity()).collect()
    };
    let (once, often) = (sizes(true), sizes(false));
    let mut words = Vec::new();
    if !once.is_empty() {
        words.push(format!("positions that are occupied once hold {}", listed(&once)));
    }
    if !often.is_empty() {
        words.push(format!("those that are occupied any number of times hold {}", listed(&often)));
    }
    words.join(", ")
}
