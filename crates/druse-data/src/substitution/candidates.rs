//! What structures of a library become for a composition, one after the other.

use std::collections::HashSet;
use std::vec;

use druse_crystal::{Element, Lattice, LatticeError, Structure, Template};

use super::Parent;
use super::arrangement::{Arrangement, exchanged};

/// A structure of a library and how it gets the elements of a composition.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// Its place in the library.
    pub place: usize,
    /// Distance of the compositions: the sum of [`element_distance`](super::element_distance) over the pairs of elements.
    pub distance: f64,
    /// Each of its elements, and what takes its place.
    pub exchange: Vec<(Element, Element)>,
    /// The volume that its cell should have over the one that it has, by the library's element volumes.
    pub scale: f64,
}

/// The candidates of a composition, the likeliest first: an iterator, as further ones cost time.
#[derive(Debug)]
pub struct Candidates<'l> {
    parents: &'l [Parent],
    space_group: Option<u16>,
    left_out: Option<usize>,
    rest: vec::IntoIter<Near>,
    /// What was given, the last one aside.
    given: HashSet<Arrangement>,
    last: Option<Candidate<'l>>,
    rank: usize,
}

/// A structure of the library with its elements exchanged and its cell scaled.
#[derive(Debug, Clone)]
pub struct Candidate<'l> {
    /// Place among the candidates, from 1.
    pub rank: usize,
    /// Distance of the compositions: the sum of [`element_distance`](super::element_distance) over the pairs of elements.
    pub distance: f64,
    /// The structure that it is made of.
    pub parent: &'l Parent,
    /// Place of that structure in the library.
    pub place: usize,
    /// Each element of the parent, and what takes its place.
    pub exchange: Vec<(Element, Element)>,
    /// The volume of its cell over that of its parent's.
    pub scale: f64,
}

impl<'l> Candidates<'l> {
    pub(super) fn new(parents: &'l [Parent], space_group: Option<u16>, near: Vec<Near>) -> Self {
        let (rest, given) = (near.into_iter(), HashSet::new());
        Self { parents, space_group, left_out: None, rest, given, last: None, rank: 0 }
    }

    /// Without what would be made of one structure, by its place in the library.
    #[must_use]
    pub fn without(self, place: Option<usize>) -> Self {
        Self { left_out: place, ..self }
    }
}

impl<'l> Iterator for Candidates<'l> {
    type Item = Candidate<'l>;

    fn next(&mut self) -> Option<Candidate<'l>> {
        // Only now: who asks for one alone needs no space group.
        if let Some(last) = self.last.take() {
            self.given.insert(last.arrangement());
        }
        for Near { place, distance, exchange, scale } in self.rest.by_ref() {
            let parent = &self.parents[place];
            if self.left_out == Some(place) {
                continue;
            }
            if self.space_group.is_some_and(|group| parent.arrangement().group() != group) {
                continue;
            }
            let rank = self.rank + 1;
            let candidate = Candidate { rank, distance, parent, place, exchange, scale };
            if !self.given.is_empty() && self.given.contains(&candidate.arrangement()) {
                continue;
            }
            self.rank += 1;
            self.last = Some(candidate.clone());
            return Some(candidate);
        }
        None
    }
}

impl Candidate<'_> {
    /// The crystal, in the cell of its parent, scaled.
    ///
    /// # Errors
    /// [`LatticeError`] when the scaled cell is none.
    pub fn structure(&self) -> Result<Structure, LatticeError> {
        let parent = self.parent.structure();
        Ok(Structure {
            lattice: Lattice::from_matrix(parent.lattice.matrix() * self.scale.cbrt())?,
            species: parent.species.iter().map(|&element| exchanged(&self.exchange, element)).collect(),
            ..parent.clone()
        })
    }

    /// Its space group and the Wyckoff positions of its elements: those of its parent, which hold other elements as well.
    pub fn template(&self) -> Template {
        let parent = self.parent.template();
        let site = |&(element, letter): &(Element, char)| (exchanged(&self.exchange, element), letter);
        Template::new(parent.group(), parent.sites().iter().map(site).collect())
            .expect("positions hold any element as often")
    }

    /// What its template is, whatever the origin.
    pub fn arrangement(&self) -> Arrangement {
        self.parent.arrangement().exchanged(&self.exchange)
    }
}
