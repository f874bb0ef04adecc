//! Matching of crystals that are the same but for elements that may take each other's places.
//!
//! Two ordered crystals of one alloy may differ in nothing but which of its elements is on which site. The rule of MatterGen's
//! evaluation (C. Zeni et al., Nature 639, 624 (2025)): where elements of a crystal may substitute each other, its first structure
//! is made disordered, with the elements of a group spread over all sites of the group, and fitted onto the second one in a
//! supercell. A site of a group then holds any of its elements, so that it comes to matching sites by their groups.

use std::collections::BTreeMap;

use druse_crystal::{Composition, Element, Lattice, Structure};
use serde::{Deserialize, Serialize};

use super::{Criterion, Outcome, PreparedStructure, StructureMatcher};

/// Largest supercell that is looked at, in cells.
const MAX_CELLS: usize = 32;

/// Which elements may take each other's places: a rule in the manner of Hume-Rothery.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Substitution {
    /// Largest difference of the atomic radii (Slater 1964) in units of their mean.
    pub radius: f64,
    /// Largest difference of the Pauling electronegativities.
    pub electronegativity: f64,
}

impl Substitution {
    /// MatterGen's: 0.3 and 1.
    pub const MATTERGEN: Self = Self { radius: 0.3, electronegativity: 1.0 };

    /// Whether two elements may take each other's places; not where a radius or electronegativity is not known.
    pub fn allows(&self, a: Element, b: Element) -> bool {
        let radii = a.atomic_radius().zip(b.atomic_radius());
        let electronegativities = a.electronegativity().zip(b.electronegativity());
        radii.is_some_and(|(x, y)| (x - y).abs() / ((x + y) / 2.0) <= self.radius)
            && electronegativities.is_some_and(|(x, y)| (x - y).abs() <= self.electronegativity)
    }

    /// The first element of the group of each element: those joined by any chain of pairs that may substitute each other. `None`
    /// where no pair may.
    fn groups(&self, elements: &[Element]) -> Option<BTreeMap<Element, Element>> {
        let mut group: BTreeMap<Element, Element> = elements.iter().map(|e| (*e, *e)).collect();
        let mut any = false;
        for (i, &a) in elements.iter().enumerate() {
            for &b in elements[i + 1..].iter().filter(|b| self.allows(a, **b)) {
                any = true;
                let (first, second) = (group[&a].min(group[&b]), group[&a].max(group[&b]));
                group.values_mut().filter(|g| **g == second).for_each(|g| *g = first);
            }
        }
        any.then_some(group)
    }
}

impl StructureMatcher {
    /// Whether the first of two structures of one reduced formula, made disordered, fits the second one in some supercell of the
    /// smaller of them. The disordered structure is brought to its own primitive cell, the second one stays as it is.
    ///
    /// Supercells of more than 32 cells are [`Outcome::Unfinished`]. Cells of which neither holds a whole number of the other do
    /// not match; the published matcher, which may leave sites out, tries them.
    pub fn compare_disordered(
        &self,
        rule: &Substitution,
        a: &PreparedStructure,
        b: &PreparedStructure,
    ) -> Outcome {
        let (Some(first), Some(second)) = (a.structure(), b.structure()) else { return Outcome::Different };
        let compositions = [first, second].map(|s| Composition::from_species(&s.species).reduced().0);
        let elements: Vec<Element> = compositions[0].elements().collect();
        let Some(groups) = rule.groups(&elements).filter(|_| compositions[0] == compositions[1]) else {
            return Outcome::Different;
        };
        let label = |s: &Structure| Structure {
            species: s.species.iter().map(|e| groups[e]).collect(),
            labels: Vec::new(),
            properties: Default::default(),
            ..s.clone()
        };
        let (first, second) = (self.prepare(&label(first)), PreparedStructure::reduced(label(second)));
        let size = |p: &PreparedStructure| p.structure().map_or(0, Structure::len);
        let (small, large) = if size(&first) <= size(&second) { (first, second) } else { (second, first) };
        let Some(cell) = small.structure() else { return Outcome::Different };
        if !size(&large).is_multiple_of(cell.len()) {
            return Outcome::Different;
        }
        let cells = size(&large) / cell.len();
        if cells > MAX_CELLS {
            return Outcome::Unfinished(None);
        }
        let mut unfinished = false;
        for basis in superlattices(cells) {
            let Some(super_cell) = super_cell(cell, &basis) else { continue };
            match self.compare(&PreparedStructure::reduced(super_cell), &large, Criterion::Max) {
                Outcome::Match(displacement) => return Outcome::Match(displacement),
                Outcome::Different => {}
                Outcome::Unfinished(_) => unfinished = true,
            }
        }
        if unfinished { Outcome::Unfinished(None) } else { Outcome::Different }
    }
}

/// Every lattice of so many cells, by a basis in Hermite normal form: rows of an upper triangular matrix.
fn superlattices(cells: usize) -> Vec<[[usize; 3]; 3]> {
    let divisors = |n: usize| (1..=n).filter(move |d| n.is_multiple_of(*d));
    let mut all = Vec::new();
    for a in divisors(cells) {
        for d in divisors(cells / a) {
            let f = cells / a / d;
            for b in 0..d {
                for c in 0..f {
                    all.extend((0..f).map(|e| [[a, b, c], [0, d, e], [0, 0, f]]));
                }
            }
        }
    }
    all
}

/// The structure in a larger cell, reduced; `None` where it cannot be.
fn super_cell(s: &Structure, basis: &[[usize; 3]; 3]) -> Option<Structure> {
    let [[a, b, c], [_, d, e], [_, _, f]] = basis.map(|row| row.map(|x| x as f64));
    let rows = s.lattice.rows();
    let sum = |row: [f64; 3]| std::array::from_fn(|k| (0..3).map(|i| row[i] * rows[i][k]).sum());
    let lattice = Lattice::from_rows([sum([a, b, c]), sum([0.0, d, e]), sum([0.0, 0.0, f])]).ok()?;
    let (mut species, mut frac_coords) = (Vec::new(), Vec::new());
    let [na, nd, nf] = [basis[0][0], basis[1][1], basis[2][2]];
    for (element, [x, y, z]) in s.species.iter().zip(&s.frac_coords) {
        for i in 0..na {
            for j in 0..nd {
                for k in 0..nf {
                    // Coordinates on the new basis, which is triangular.
                    let u = (x + i as f64) / a;
                    let v = (y + j as f64 - u * b) / d;
                    let w = (z + k as f64 - u * c - v * e) / f;
                    species.push(*element);
                    frac_coords.push([u, v, w]);
                }
            }
        }
    }
    Structure::new(lattice, species, frac_coords).ok()?.niggli_reduced_as_pymatgen().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn superlattices_are_counted_by_their_index() {
        // The number of sublattices of index n in three dimensions: Σ over d | n of d σ(d).
        for (cells, count) in [(1, 1), (2, 7), (3, 13), (4, 35), (6, 91), (8, 155)] {
            assert_eq!(superlattices(cells).len(), count, "{cells}");
        }
    }

    #[test]
    fn groups_are_chains_of_pairs() {
        let e = |symbols: &str| -> Vec<Element> {
            symbols.split(' ').map(|s| Element::from_symbol(s).unwrap()).collect()
        };
        let rule = Substitution::MATTERGEN;
        let [fe, co, o, cs, he] = e("Fe Co O Cs He").try_into().unwrap();
        assert!(rule.allows(fe, co) && !rule.allows(fe, o) && !rule.allows(cs, fe) && !rule.allows(he, he));
        assert_eq!(rule.groups(&e("Fe O")), None);
        let groups = rule.groups(&e("O Fe Co Ni")).unwrap();
        assert!(groups[&fe] == groups[&co] && groups[&o] == o && groups.len() == 4);
    }
}
