//! Templates for a composition, from known crystals with other elements.

use std::collections::{BTreeMap, HashMap};

use druse_crystal::{Composition, Element, Structure, Template};
use druse_data::substitution::{Candidate, Library, NoParent, Parent};

use super::cell;
use super::paths::Described;
use super::tokens::Frame;
use crate::identity::{Key, key};

/// The crystals of the training set, ready to have their elements exchanged.
pub(super) struct Shelf {
    library: Library,
    /// Those of the library, in its order, where they have distinct sites.
    crystals: Vec<Option<Described>>,
    places: HashMap<Key, usize>,
}

/// A known crystal with other elements: a template, and numbers that it may begin with.
pub(super) struct Proposal {
    pub template: Template,
    pub frame: Frame,
    /// Numbers of the parent's cell, its volume that of the new elements.
    pub cell: [f64; cell::COORDINATES],
    /// Fractional coordinates of the parent's sites.
    pub frac: Vec<[f64; 3]>,
    /// What was on each site.
    pub replaced: Vec<Element>,
    /// Distance of the compositions.
    pub distance: f64,
    /// Place among the proposals by distance, from 1.
    pub rank: usize,
    /// Identifier of the parent.
    pub parent: String,
}

/// The space group and the places of each element: equal for templates that an origin shift turns into each other.
type Arrangement = (u16, BTreeMap<Element, Vec<(usize, &'static str)>>);

/// What two templates have in common that an origin shift turns into each other.
pub(super) fn arrangement(template: &Template) -> Arrangement {
    let mut places: BTreeMap<Element, Vec<(usize, &'static str)>> = BTreeMap::new();
    for (&(element, _), position) in template.sites().iter().zip(template.positions()) {
        places.entry(element).or_default().push((position.multiplicity(), position.site_symmetry()));
    }
    places.values_mut().for_each(|places| places.sort_unstable());
    (template.group().number(), places)
}

impl Shelf {
    /// Structures under their identifiers, each with its distinct sites.
    pub fn new<'s>(structures: impl IntoIterator<Item = (&'s str, &'s Structure, Option<Described>)>) -> Self {
        let (mut parents, mut crystals, mut places) = (Vec::new(), Vec::new(), HashMap::new());
        for (id, structure, described) in structures {
            places.insert(key(structure), parents.len());
            let parent = Parent::new(id, structure.clone());
            parents.push(match &described {
                Some(d) => parent.with_template(d.crystal.template()),
                None => parent,
            });
            crystals.push(described);
        }
        Self { library: Library::new(parents), crystals, places }
    }

    pub fn library(&self) -> &Library {
        &self.library
    }

    pub fn is_empty(&self) -> bool {
        self.crystals.is_empty()
    }

    /// The nearest proposals for a composition, each template once; never a structure itself where that is given.
    ///
    /// # Errors
    /// [`NoParent`] when no crystal has its numbers of atoms.
    pub fn proposals(
        &self,
        composition: &Composition,
        space_group: Option<u16>,
        but: Option<&Structure>,
        count: usize,
    ) -> Result<Vec<Proposal>, NoParent> {
        let but = but.and_then(|s| self.places.get(&key(s)).copied());
        let candidates = self.library.candidates(composition, space_group)?.without(but);
        Ok(candidates.filter_map(|candidate| self.proposal(&candidate)).take(count).collect())
    }

    fn proposal(&self, candidate: &Candidate<'_>) -> Option<Proposal> {
        let described = self.crystals[candidate.place].as_ref()?;
        let exchanged = |element: Element| {
            let found = candidate.exchange.iter().find(|(old, _)| *old == element);
            found.map_or(element, |&(_, new)| new)
        };
        let sites = described.crystal.sites();
        let mut sites: Vec<_> =
            sites.iter().map(|s| (exchanged(s.element), s.letter, s.frac, s.element)).collect();
        // In the order of templates.
        sites.sort_by_key(|&(element, letter, ..)| (element, letter.is_ascii_uppercase(), letter));
        let group = described.crystal.group();
        let template = Template::new(group, sites.iter().map(|s| (s.0, s.1)).collect()).ok()?;
        let mut cell = described.cell;
        cell[0] += candidate.scale.ln() / 3.0;
        Some(Proposal {
            frame: Frame::new(&template),
            template,
            cell,
            frac: sites.iter().map(|s| s.2).collect(),
            replaced: sites.iter().map(|s| s.3).collect(),
            distance: candidate.distance,
            rank: candidate.rank,
            parent: candidate.parent.id().to_owned(),
        })
    }
}
