//! Bonds of crystals by the rule CrystalNN, searched once for each crystal.

use std::sync::Arc;

use druse_crystal::coordination::{CoordinationError, CrystalNn};
use druse_crystal::{Composition, Structure};
use druse_nn::graph::{EdgeEnds, Multigraph};
use rayon::prelude::*;

use crate::identity::{FoundOnce, key};

/// Why bonds cannot be had.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BondError {
    /// The rule says nothing of a crystal.
    #[error("the bonds of {formula} ({atoms} atoms) cannot be told: {source}")]
    Coordination {
        /// Formula of the crystal.
        formula: String,
        /// Its number of atoms.
        atoms: usize,
        /// The reason.
        source: CoordinationError,
    },
}

/// The bonds of one crystal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bonds {
    /// Every bond once: two sites and the cell offset of the second. Sorted.
    pub edges: Vec<EdgeEnds>,
    /// Sites without any bond. They receive no messages but count in means over the atoms, as in the published codes.
    pub isolated: Vec<u32>,
}

impl Bonds {
    /// The bonds of a structure with the settings of CDVAE's encoder ([`CrystalNn::GRAPH`]). A bond counts when either
    /// of its ends names the other.
    ///
    /// # Errors
    /// [`BondError::Coordination`] when a site has no Voronoi cell. (The published code stops at such a crystal.)
    pub fn of(structure: &Structure) -> Result<Self, BondError> {
        let sites = CrystalNn::GRAPH.sites(structure).map_err(|source| BondError::Coordination {
            formula: Composition::from_species(&structure.species).formula(),
            atoms: structure.len(),
            source,
        })?;
        let mut edges = Vec::new();
        for (i, site) in (0u32..).zip(&sites) {
            edges.extend(site.bonded().iter().map(|n| {
                let [there, back] = [(i, n.site, n.image), (n.site, i, n.image.map(|t| -t))];
                there.min(back)
            }));
        }
        edges.sort_unstable();
        edges.dedup();
        Ok(Self::new(edges, structure.len()))
    }

    fn new(edges: Vec<EdgeEnds>, atoms: usize) -> Self {
        let mut bonded = vec![false; atoms];
        for &(i, j, _) in &edges {
            bonded[i as usize] = true;
            bonded[j as usize] = true;
        }
        let isolated = (0u32..).zip(bonded).filter(|(_, bonded)| !bonded).map(|(i, _)| i).collect();
        Self { edges, isolated }
    }
}

/// The bonds of the crystals met so far. Threads may share it.
#[derive(Debug, Default)]
pub struct BondCache {
    found: FoundOnce<Bonds>,
}

impl BondCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of crystals.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether it holds no crystal.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bonds of a structure, searched if they are not known.
    ///
    /// # Errors
    /// As [`Bonds::of`].
    pub fn get(&self, structure: &Structure) -> Result<Arc<Bonds>, BondError> {
        self.found.try_get(structure, || Bonds::of(structure))
    }

    /// The multigraph of the bonds of some crystals.
    ///
    /// # Errors
    /// As [`Bonds::of`].
    pub fn multigraph(&self, crystals: &[&Structure]) -> Result<Multigraph, BondError> {
        let edges = crystals.iter().map(|s| Ok(self.get(s)?.edges.clone()));
        let edges = edges.collect::<Result<Vec<_>, BondError>>()?;
        let cells: Vec<_> = crystals.iter().map(|s| (s.lattice, s.frac_coords.as_slice())).collect();
        Ok(Multigraph::from_edges(&cells, edges))
    }

    /// Searches the bonds of all structures that are not known yet, on all threads; returns how many these were.
    ///
    /// # Errors
    /// As [`Bonds::of`], for the first structure of the list that has one; what was found is kept.
    pub fn fill(&self, structures: &[&Structure]) -> Result<usize, BondError> {
        let search = |structure: &&Structure| -> Result<bool, BondError> {
            let key = key(structure);
            if self.found.known(&key).is_some() {
                return Ok(false);
            }
            self.found.keep(key, Bonds::of(structure)?);
            Ok(true)
        };
        let results: Vec<_> = structures.par_iter().map(search).collect();
        results.into_iter().try_fold(0, |n, searched| Ok(n + usize::from(searched?)))
    }

    /// The structures that have sites without any bond: position in the list and the sites.
    ///
    /// # Errors
    /// As [`Bonds::of`].
    pub fn isolated(&self, structures: &[&Structure]) -> Result<Vec<(usize, Vec<u32>)>, BondError> {
        self.fill(structures)?;
        let mut all = Vec::new();
        for (i, s) in structures.iter().enumerate() {
            let bonds = self.get(s)?;
            if !bonds.isolated.is_empty() {
                all.push((i, bonds.isolated.clone()));
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Element, Lattice};

    use super::*;

    fn structure(a: f64, species: &[&str], frac: &[[f64; 3]]) -> Structure {
        let species = species.iter().map(|s| Element::from_symbol(s).unwrap()).collect();
        Structure::new(Lattice::cubic(a).unwrap(), species, frac.to_vec()).unwrap()
    }

    fn caesium_chloride(a: f64) -> Structure {
        structure(a, &["Cs", "Cl"], &[[0.0; 3], [0.5; 3]])
    }

    #[test]
    fn caesium_chloride_has_eight_bonds_a_cell() {
        let bonds = Bonds::of(&caesium_chloride(4.12)).unwrap();
        assert_eq!(bonds.edges.len(), 8);
        assert!(bonds.edges.iter().all(|&(i, j, _)| (i, j) == (0, 1)));
        assert!(bonds.isolated.is_empty());
        // Every bond of a simple cubic cell leads to an image of the atom itself and is there once.
        let bonds = Bonds::of(&structure(3.0, &["Po"], &[[0.0; 3]])).unwrap();
        assert_eq!(bonds.edges, [(0, 0, [-1, 0, 0]), (0, 0, [0, -1, 0]), (0, 0, [0, 0, -1])]);
    }

    #[test]
    fn sites_without_bonds_are_listed() {
        let bonds = Bonds::new(vec![(0, 2, [0; 3]), (2, 2, [0, 0, -1])], 4);
        assert_eq!(bonds.isolated, [1, 3]);
    }

    #[test]
    fn every_crystal_is_searched_once() {
        let cache = BondCache::new();
        let all: Vec<Structure> = (0..20).map(|i| caesium_chloride(4.0 + 0.01 * f64::from(i))).collect();
        let all: Vec<&Structure> = all.iter().collect();
        assert_eq!(cache.fill(&all[..10]).unwrap(), 10);
        assert_eq!(cache.fill(&all).unwrap(), 10);
        assert_eq!(cache.fill(&all).unwrap(), 0);
        assert!(Arc::ptr_eq(&cache.get(all[3]).unwrap(), &cache.get(all[3]).unwrap()));
        assert!(cache.isolated(&all).unwrap().is_empty());
        // Other elements or positions are another crystal.
        cache.get(&structure(4.0, &["Cs", "Br"], &[[0.0; 3], [0.5; 3]])).unwrap();
        cache.get(&structure(4.0, &["Cs", "Cl"], &[[0.0; 3], [0.5, 0.5, 0.51]])).unwrap();
        assert_eq!(cache.len(), 22);
    }

    #[test]
    fn crystals_without_a_rule_are_named() {
        let s = structure(4.0, &["Na", "Cl"], &[[0.0; 3], [0.0; 3]]);
        let error = BondCache::new().fill(&[&caesium_chloride(4.0), &s]).unwrap_err();
        assert!(error.to_string().contains("Na1 Cl1"), "{error}");
    }
}
