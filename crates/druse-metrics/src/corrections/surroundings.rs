//! Which atoms of a crystal are anions, and what its oxygen is.

use std::collections::{BTreeMap, BTreeSet};

use druse_crystal::{Element, Neighbor, NeighborError, Structure, within_cutoff};

/// Oxygen atoms closer than this (Å) are a superoxide's, 5 % above 1.35 Å.
const SUPEROXIDE: f64 = 1.05 * 1.35;
/// Oxygen atoms closer than this (Å) are a peroxide's, 5 % above 1.49 Å.
const PEROXIDE: f64 = 1.05 * 1.49;
/// An oxygen atom with hydrogen closer than this (Å) is a hydroxide's or water's.
const HYDROXIDE: f64 = 1.05 * 0.93;
/// Neighbors within this multiple of the sum of covalent radii may surround an atom.
const SURROUNDING: f64 = 1.3;
/// Those surround it whose distance, over the sum of radii, exceeds that of the nearest by this factor at most: the oxygen atoms of
/// a chlorate's chlorine, but not the metal atoms beyond.
const NEAREST: f64 = 1.12;
/// Covalent radius (Å) of elements without one.
const LARGE_RADIUS: f64 = 2.0;

/// What the oxygen of a crystal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OxygenKind {
    /// O²⁻, also of hydroxides.
    Oxide,
    /// O₂²⁻.
    Peroxide,
    /// O₂⁻.
    Superoxide,
    /// O₃⁻.
    Ozonide,
}

/// What surrounds the atoms of a crystal.
#[derive(Debug, Clone, PartialEq)]
pub struct Surroundings {
    /// What its oxygen is; `None` without oxygen.
    pub oxygen: Option<OxygenKind>,
    /// Elements that are anions: the most electronegative one, and those whose atoms have neighbors that are less electronegative
    /// on average.
    pub anions: BTreeSet<Element>,
}

impl Surroundings {
    /// Those of a crystal.
    ///
    /// # Errors
    /// [`NeighborError`]: the cell is collapsed.
    pub fn of(structure: &Structure) -> Result<Self, NeighborError> {
        let species = &structure.species;
        let radius = |e: Element| e.covalent_radius().unwrap_or(LARGE_RADIUS);
        let pull = |e: Element| e.electronegativity().unwrap_or(0.0);
        let largest = species.iter().map(|e| radius(*e)).fold(0.0, f64::max);
        let list = within_cutoff(&structure.lattice, &structure.frac_coords, SURROUNDING * 2.0 * largest)?;
        // Of each element: neighbors, and the sum of their electronegativities.
        let mut around: BTreeMap<Element, (usize, f64)> = BTreeMap::new();
        let (mut close, mut bonds, mut hydroxide) = (f64::INFINITY, vec![0usize; species.len()], false);
        for (i, &own) in species.iter().enumerate() {
            let relative = |n: &Neighbor| n.distance / (radius(own) + radius(species[n.site as usize]));
            let nearest = list.of(i).iter().map(relative).fold(f64::INFINITY, f64::min);
            for neighbor in list.of(i) {
                let other = species[neighbor.site as usize];
                if relative(neighbor) <= SURROUNDING.min(NEAREST * nearest) {
                    let sum = around.entry(own).or_default();
                    *sum = (sum.0 + 1, sum.1 + pull(other));
                }
                if own.symbol() == "O" {
                    hydroxide |= other.symbol() == "H" && neighbor.distance < HYDROXIDE;
                    if other.symbol() == "O" {
                        close = close.min(neighbor.distance);
                        bonds[i] += usize::from(neighbor.distance < SUPEROXIDE);
                    }
                }
            }
        }
        let oxygen = species.iter().any(|e| e.symbol() == "O").then(|| match close {
            _ if hydroxide => OxygenKind::Oxide,
            d if d < SUPEROXIDE && bonds.iter().any(|n| *n > 1) => OxygenKind::Ozonide,
            d if d < SUPEROXIDE => OxygenKind::Superoxide,
            d if d < PEROXIDE => OxygenKind::Peroxide,
            _ => OxygenKind::Oxide,
        });
        let most = species.iter().copied().max_by(|a, b| pull(*a).total_cmp(&pull(*b)));
        let less = around.into_iter().filter(|(e, (n, sum))| sum / (*n as f64) < pull(*e));
        Ok(Self { oxygen, anions: less.map(|(e, _)| e).chain(most).collect() })
    }
}
