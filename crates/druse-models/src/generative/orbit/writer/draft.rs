//! Templates as they are written: a space group, then the place of each site, element by element.

use std::collections::HashSet;

use druse_crystal::{Composition, Element, SpaceGroup, Template};

use super::places::Places;

/// Most ways to choose letters for the places of a draft that are looked at.
const MOST_LETTERINGS: usize = 64;
/// Of an element whose electronegativity is not known.
const UNKNOWN: f64 = 1.5;

/// A composition as templates are written for it.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Asked {
    /// Elements by rising electronegativity, with their atoms in the primitive cell.
    pub elements: Vec<(Element, usize)>,
}

/// A space group and the number of the place of each site: of one element after the other, the numbers of each rising. Which
/// element a site has follows from the numbers of atoms.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) struct Draft {
    pub group: u16,
    pub places: Vec<u16>,
}

/// A site to be written: its element, by its place in [`Asked::elements`], and the atoms of it that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub element: usize,
    pub left: usize,
}

impl Asked {
    pub fn new(composition: &Composition) -> Self {
        let mut elements: Vec<_> = composition.iter().map(|(e, n)| (e, n as usize)).collect();
        let order = |e: Element| e.electronegativity().unwrap_or(UNKNOWN);
        elements.sort_by(|(a, _), (b, _)| order(*a).total_cmp(&order(*b)).then(a.cmp(b)));
        Self { elements }
    }

    pub fn atoms(&self) -> usize {
        self.elements.iter().map(|&(_, n)| n).sum()
    }

    /// What a template is with other elements on its sites; `None` where these are not just those asked for.
    pub fn draft(&self, template: &Template, element_of: impl Fn(usize) -> Element) -> Option<Draft> {
        let (table, group) = (Places::get(), template.group().number());
        let mut sites = Vec::with_capacity(template.sites().len());
        for (i, &(_, letter)) in template.sites().iter().enumerate() {
            let element = self.elements.iter().position(|&(e, _)| e == element_of(i))?;
            sites.push((element, table.number(group, letter)?));
        }
        sites.sort_unstable();
        let mut atoms = vec![0; self.elements.len()];
        sites.iter().for_each(|&(element, number)| atoms[element] += table.place(number).atoms);
        let fits = self.elements.iter().map(|&(_, n)| n).eq(atoms);
        fits.then(|| Draft { group, places: sites.iter().map(|&(_, number)| number as u16).collect() })
    }

    /// What a template is; `None` where it is not of this composition.
    pub fn own(&self, template: &Template) -> Option<Draft> {
        self.draft(template, |i| template.sites()[i].0)
    }

    /// The site that comes behind others; `None` behind the last.
    pub(super) fn next(&self, places: &[u16]) -> Option<Next> {
        self.steps(places).nth(places.len())
    }

    /// What is asked before each of the places, and behind them.
    pub(super) fn steps<'a>(&'a self, places: &'a [u16]) -> impl Iterator<Item = Next> + 'a {
        let (mut element, mut left) = (0, self.elements.first().map_or(0, |&(_, n)| n));
        let mut atoms = places.iter().map(|&number| Places::get().place(usize::from(number)).atoms);
        let mut is_over = left == 0;
        std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let next = Next { element, left };
            match atoms.next() {
                Some(atoms) => left = left.saturating_sub(atoms),
                None => is_over = true,
            }
            while left == 0 && !is_over {
                element += 1;
                match self.elements.get(element) {
                    Some(&(_, n)) => left = n,
                    None => is_over = true,
                }
            }
            Some(next)
        })
    }

    /// The templates that a draft stands for, each once but for the origin and the axes.
    pub fn templates(&self, draft: &Draft) -> Vec<Template> {
        let Ok(group) = SpaceGroup::new(draft.group) else { return Vec::new() };
        let sites: Vec<(Element, u16)> = self
            .steps(&draft.places)
            .zip(&draft.places)
            .map(|(n, &p)| (self.elements[n.element].0, p))
            .collect();
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        let mut letterings = Letterings { group, sites: &sites, chosen: Vec::new(), all: Vec::new() };
        letterings.choose();
        for template in letterings.all {
            if seen.insert(template.equivalents().swap_remove(0)) {
                found.push(template);
            }
        }
        found
    }
}

/// Choices of letters.
struct Letterings<'a> {
    group: &'static SpaceGroup,
    sites: &'a [(Element, u16)],
    chosen: Vec<char>,
    all: Vec<Template>,
}

impl Letterings<'_> {
    fn choose(&mut self) {
        if self.all.len() >= MOST_LETTERINGS {
            return;
        }
        let k = self.chosen.len();
        let Some(&(_, place)) = self.sites.get(k) else {
            let sites = self.sites.iter().map(|s| s.0).zip(self.chosen.iter().copied()).collect();
            self.all.extend(Template::new(self.group, sites));
            return;
        };
        let place = Places::get().place(usize::from(place));
        // Sites of one element and place come in one order alone.
        let alike = k > 0 && self.sites[k - 1] == self.sites[k];
        let from = if alike { place.letters.iter().position(|l| *l == self.chosen[k - 1]) } else { None };
        for &letter in &place.letters[from.unwrap_or(0)..] {
            if place.most != usize::MAX && self.chosen.contains(&letter) {
                continue;
            }
            self.chosen.push(letter);
            self.choose();
            self.chosen.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(group: u16, text: &str) -> Template {
        Template::parse(SpaceGroup::new(group).unwrap(), text).unwrap()
    }

    fn asked(formula: &str) -> Asked {
        Asked::new(&Composition::parse(formula).unwrap())
    }

    #[test]
    fn templates_are_written_and_read() {
        for (group, text, formula) in [
            (225, "Na:4a,Cl:4b", "NaCl"),
            (221, "Sr:1a,Ti:1b,O:3c", "SrTiO3"),
            (62, "Ca:4c,Ti:4b,O:4c 8d", "Ca4Ti4O12"),
            (216, "Mg:4a,Li:4b,N:4c", "LiMgN"),
        ] {
            let (template, asked) = (template(group, text), asked(formula));
            let draft = asked.own(&template).unwrap();
            let equivalents = template.equivalents();
            let read = asked.templates(&draft);
            assert!(read.iter().any(|made| equivalents.contains(made)), "{text}: {read:?}");
            // Whatever the origin, it is one draft.
            for same in equivalents {
                assert_eq!(asked.own(&same), Some(draft.clone()), "{text}, {same}");
            }
        }
        // Half-Heusler crystals differ by which element is on which of equal places: all are one draft.
        assert_eq!(asked("LiMgN").own(&template(216, "Mg:4a,Li:4c,N:4b")).unwrap().places.len(), 3);
        assert!(asked("NaCl").own(&template(221, "Sr:1a,Ti:1b,O:3c")).is_none());
        assert!(asked("Na2Cl2").own(&template(225, "Na:4a,Cl:4b")).is_none());
    }

    #[test]
    fn the_next_site_is_of_what_is_left() {
        let asked = asked("Ca4Ti4O12");
        let draft = asked.own(&template(62, "Ca:4c,Ti:4b,O:4c 8d")).unwrap();
        let steps: Vec<(usize, usize)> = asked.steps(&draft.places).map(|n| (n.element, n.left)).collect();
        assert_eq!(steps, [(0, 4), (1, 4), (2, 12), (2, 4)]);
        assert_eq!(asked.next(&draft.places[..3]), Some(Next { element: 2, left: 4 }));
        assert_eq!(asked.next(&draft.places), None);
        assert_eq!(asked.next(&[]), Some(Next { element: 0, left: 4 }));
    }
}
