//! The places that a site may have: Wyckoff positions of one group with the same multiplicity and site symmetry are one.
//!
//! So a template is told from another whatever the origin and the axes of its cell, as in
//! [`Arrangement`](druse_data::substitution::Arrangement).

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use druse_crystal::{SpaceGroup, WyckoffPosition};

/// Space groups.
pub(super) const GROUPS: usize = 230;
/// Places of all groups. The networks have a row for each; that there are as many is tested, so that a model can be made
/// without looking at all groups.
pub(super) const PLACES: usize = 1146;
/// Site symmetries.
pub(super) const SYMMETRIES: usize = 78;

/// Wyckoff positions of a group with one multiplicity and one site symmetry.
#[derive(Debug)]
pub(super) struct Place {
    /// Atoms of a site in the primitive cell.
    pub atoms: usize,
    /// Number of the site symmetry.
    pub symmetry: usize,
    /// Letters of the positions.
    pub letters: Vec<char>,
    /// Most sites on it: a position without free parameters holds one.
    pub most: usize,
}

/// The places of all groups, those of a group next to each other, by falling multiplicity.
#[derive(Debug)]
pub(super) struct Places {
    all: Vec<Place>,
    first: Vec<usize>,
}

impl Places {
    /// The table, made once.
    pub fn get() -> &'static Self {
        static TABLE: OnceLock<Places> = OnceLock::new();
        TABLE.get_or_init(Self::new)
    }

    fn new() -> Self {
        let groups = || (1..=GROUPS as u16).map(|n| SpaceGroup::new(n).expect("there are 230 groups"));
        let positions = groups().flat_map(|group| group.wyckoff_positions());
        let symbols: BTreeSet<&str> = positions.map(WyckoffPosition::site_symmetry).collect();
        let symbols: Vec<&str> = symbols.into_iter().collect();
        let (mut all, mut first) = (Vec::new(), Vec::new());
        for group in groups() {
            first.push(all.len());
            let mut positions: Vec<&WyckoffPosition> = group.wyckoff_positions().iter().collect();
            let kind = |w: &WyckoffPosition| (w.primitive_multiplicity(), w.site_symmetry());
            positions.sort_by(|a, b| {
                let ((n, a), (m, b)) = (kind(a), kind(b));
                m.cmp(&n).then(a.cmp(b))
            });
            for same in positions.chunk_by(|a, b| kind(a) == kind(b)) {
                let symmetry = symbols.binary_search(&same[0].site_symmetry());
                let is_fixed = same.iter().all(|w| w.is_fixed());
                all.push(Place {
                    atoms: same[0].primitive_multiplicity(),
                    symmetry: symmetry.expect("all symbols are listed"),
                    letters: same.iter().map(|w| w.letter()).collect(),
                    most: if is_fixed { same.len() } else { usize::MAX },
                });
            }
        }
        first.push(all.len());
        Self { all, first }
    }

    /// The numbers of the places of a group.
    pub fn of(&self, group: u16) -> Range<usize> {
        let group = usize::from(group);
        self.first[group - 1]..self.first[group]
    }

    /// A place by its number.
    pub fn place(&self, number: usize) -> &Place {
        &self.all[number]
    }

    /// The number of the place of a Wyckoff position.
    pub fn number(&self, group: u16, letter: char) -> Option<usize> {
        self.of(group).find(|&number| self.all[number].letters.contains(&letter))
    }

    /// Whether atoms can be put on places of a group, none before the place `first`, of which `used` sites are taken.
    pub fn hold(&self, group: u16, first: usize, used: usize, atoms: usize) -> bool {
        // Numbers of atoms that the places up to one can hold.
        let mut held = vec![false; atoms + 1];
        held[0] = true;
        for number in first.max(self.of(group).start)..self.of(group).end {
            let place = &self.all[number];
            if place.most == usize::MAX {
                for n in place.atoms..=atoms {
                    held[n] |= held[n - place.atoms];
                }
                continue;
            }
            let taken = if number == first { used } else { 0 };
            for _ in taken..place.most {
                for n in (place.atoms..=atoms).rev() {
                    held[n] |= held[n - place.atoms];
                }
            }
        }
        held[atoms]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_all_groups() {
        let table = Places::get();
        let symmetries = table.all.iter().map(|place| place.symmetry + 1).max();
        assert_eq!((table.all.len(), symmetries), (PLACES, Some(SYMMETRIES)));
        // Fm-3m: 4a and 4b are one place, which holds two sites; what is general holds any number.
        let of = |letter| table.place(table.number(225, letter).unwrap());
        assert_eq!(table.number(225, 'a'), table.number(225, 'b'));
        assert_eq!((of('a').most, of('a').atoms, of('c').atoms), (2, 1, 2));
        assert_eq!((of('l').most, of('l').atoms), (usize::MAX, 48));
        let atoms: Vec<usize> = table.of(225).map(|n| table.place(n).atoms).collect();
        assert!(atoms.is_sorted_by(|a, b| a >= b), "{atoms:?}");
        assert!(table.number(1, 'b').is_none());
    }

    #[test]
    fn atoms_that_a_group_holds() {
        let table = Places::get();
        let holds = |atoms| table.hold(225, 0, 0, atoms);
        // 1 + 1 + 2 on the fixed positions 4a, 4b, 8c; 6 on 24d or 24e.
        assert_eq!((1..=6).map(holds).collect::<Vec<_>>(), [true, true, true, true, false, true]);
        // No number of atoms takes long.
        assert!(table.hold(51, 0, 0, 5000) && !table.hold(51, 0, 0, 4999));
        let last = table.of(225).end - 1;
        assert!(table.hold(225, last, 1, 1) && !table.hold(225, last, 2, 1));
    }
}
