//! The structures that others are made of.

use std::collections::{BTreeMap, HashMap};

use druse_crystal::{Composition, Structure};
use rayon::prelude::*;

use super::candidates::{Candidates, Near};
use super::exchange::Exchanger;
use super::{ElementVolumes, Parent};

/// Formulas that a message names.
const NAMED: usize = 5;

/// Structures that others are made of by exchanging elements.
#[derive(Debug, Clone)]
pub struct Library {
    parents: Vec<Parent>,
    /// Places in `parents` by [`Parent::counts`].
    by_counts: HashMap<Vec<u32>, Vec<usize>>,
    volumes: ElementVolumes,
}

/// Nothing in a library can become a crystal of the composition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no crystal of {structures} has the numbers of atoms of {formula} ({counts}){elsewhere}")]
pub struct NoParent {
    /// The composition.
    pub formula: String,
    /// Its numbers of atoms: `1 + 1 + 3`.
    counts: String,
    /// Structures of the library.
    pub structures: usize,
    /// Where crystals of the same ratio are, in words.
    elsewhere: String,
}

impl Library {
    /// A library of structures, in the order in which equally near ones are taken.
    pub fn new(parents: impl IntoIterator<Item = Parent>) -> Self {
        let parents: Vec<Parent> = parents.into_iter().collect();
        let mut by_counts: HashMap<Vec<u32>, Vec<usize>> = HashMap::new();
        for (place, parent) in parents.iter().enumerate() {
            by_counts.entry(parent.counts()).or_default().push(place);
        }
        let volumes = ElementVolumes::fit(parents.iter().map(Parent::structure));
        Self { parents, by_counts, volumes }
    }

    /// The structures.
    pub fn parents(&self) -> &[Parent] {
        &self.parents
    }

    /// The volumes that cells are scaled by.
    pub fn volumes(&self) -> &ElementVolumes {
        &self.volumes
    }

    /// Looks for the templates of all structures, on all threads; otherwise each is looked for when it is needed.
    pub fn find_templates(&self) {
        self.parents.par_iter().for_each(|parent| _ = parent.template());
    }

    /// The structures with the atom counts of a composition, whatever their elements, each with its composition exchanged at
    /// the smallest distance, the nearest first; of equally near ones the first of the library. Only those of a space group,
    /// where one is given. Structures whose templates become the same are given once, the nearest of them.
    ///
    /// # Errors
    /// [`NoParent`] when the library has no structure with these counts.
    pub fn candidates(
        &self,
        composition: &Composition,
        space_group: Option<u16>,
    ) -> Result<Candidates<'_>, NoParent> {
        let near = self.nearest(composition)?;
        Ok(Candidates::new(&self.parents, space_group, near))
    }

    /// All structures with the atom counts of a composition, whatever their elements, each with the exchange of elements of the
    /// smallest distance, the nearest first; of equally near ones the first of the library.
    ///
    /// # Errors
    /// [`NoParent`] when the library has no structure with these counts.
    pub fn nearest(&self, composition: &Composition) -> Result<Vec<Near>, NoParent> {
        let mut counts: Vec<u32> = composition.iter().map(|(_, n)| n).collect();
        counts.sort_unstable();
        let places = self.by_counts.get(&counts).ok_or_else(|| self.no_parent(composition, &counts))?;
        let mut exchanger = Exchanger::new(composition);
        let volume = self.volumes.sum(composition);
        let mut near: Vec<Near> = Vec::with_capacity(places.len());
        for &place in places {
            let parent = &self.parents[place];
            let (distance, exchange) = exchanger.exchange(&parent.by_count);
            let scale = volume / self.volumes.sum(&parent.composition());
            near.push(Near { place, distance, exchange, scale });
        }
        near.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.place.cmp(&b.place)));
        Ok(near)
    }

    /// Space groups of the structures with the atom counts of a composition, and how many have each.
    pub fn space_groups(&self, composition: &Composition) -> BTreeMap<u16, usize> {
        let mut counts: Vec<u32> = composition.iter().map(|(_, n)| n).collect();
        counts.sort_unstable();
        let mut groups = BTreeMap::new();
        for &place in self.by_counts.get(&counts).into_iter().flatten() {
            *groups.entry(self.parents[place].template().group().number()).or_insert(0) += 1;
        }
        groups
    }

    fn no_parent(&self, composition: &Composition, counts: &[u32]) -> NoParent {
        let (unit, factor) = composition.reduced();
        let largest = self.parents.iter().map(|parent| parent.structure().len()).max().unwrap_or(0);
        let most = largest.checked_div(unit.num_atoms()).unwrap_or(0) as u32;
        let others = (1..=most).filter(|&n| n != factor).filter_map(|n| unit.multiplied(n));
        let known = |c: &Composition| {
            let mut counts: Vec<u32> = c.iter().map(|(_, n)| n).collect();
            counts.sort_unstable();
            self.by_counts.contains_key(&counts)
        };
        let mut others: Vec<String> = others.filter(known).map(|c| c.to_string()).collect();
        let more = others.len() > NAMED;
        others.truncate(NAMED);
        let elsewhere = match others.is_empty() {
            true => String::new(),
            false => format!(
                "; cells of the same ratio that some have: {}{}",
                others.join(", "),
                if more { " …" } else { "" }
            ),
        };
        let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
        NoParent {
            formula: composition.formula(),
            counts: counts.join(" + "),
            structures: self.parents.len(),
            elsewhere,
        }
    }
}

impl<'s> FromIterator<(&'s str, &'s Structure)> for Library {
    fn from_iter<I: IntoIterator<Item = (&'s str, &'s Structure)>>(structures: I) -> Self {
        Self::new(structures.into_iter().map(|(id, s)| Parent::new(id, s.clone())))
    }
}
