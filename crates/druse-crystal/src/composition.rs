//! Chemical compositions and formulas.

use std::collections::BTreeMap;

use crate::Element;

/// How many atoms of each element one cell holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Composition {
    counts: BTreeMap<Element, u32>,
}

impl Composition {
    /// Counts the atoms of a cell.
    pub fn from_species(species: &[Element]) -> Self {
        let mut counts = BTreeMap::new();
        for &e in species {
            *counts.entry(e).or_insert(0) += 1;
        }
        Self { counts }
    }

    /// Elements and their counts, by atomic number.
    pub fn iter(&self) -> impl Iterator<Item = (Element, u32)> + '_ {
        self.counts.iter().map(|(&e, &n)| (e, n))
    }

    /// Total number of atoms.
    pub fn num_atoms(&self) -> usize {
        self.counts.values().map(|&n| n as usize).sum()
    }

    /// One entry per atom, by atomic number.
    pub fn atoms(&self) -> Vec<Element> {
        self.iter().flat_map(|(e, n)| std::iter::repeat_n(e, n as usize)).collect()
    }
}
