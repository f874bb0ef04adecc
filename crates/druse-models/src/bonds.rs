//! Bonds of crystals by the rule CrystalNN, searched once for each crystal.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, PoisonError, RwLock};

use druse_crystal::coordination::{CoordinationError, CrystalNn};
use druse_crystal::{Composition, Structure};
use druse_nn::graph::EdgeEnds;
use rayon::prelude::*;

use crate::ModelError;

/// First bytes of a stored cache; the number is that of the format.
const MAGIC: &[u8; 14] = b"druse-bonds 1\n";

/// Why bonds cannot be had.
#[derive(Debug, thiserror::Error)]
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
    /// A stored cache cannot be read or written.
    #[error("stored bonds: {0}")]
    Io(#[from] io::Error),
    /// What was read is no stored cache, or a damaged one.
    #[error("these are no stored bonds, or they are damaged: {0}")]
    Format(&'static str),
}

impl From<BondError> for ModelError {
    fn from(e: BondError) -> Self {
        Self::Bonds(e.to_string())
    }
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

type Key = [u8; 16];

/// What decides the bonds: cell, elements, positions, bit by bit.
fn key(s: &Structure) -> Key {
    let mut hash = blake3::Hasher::new();
    for x in s.lattice.rows().iter().chain(&s.frac_coords).flatten() {
        hash.update(&x.to_le_bytes());
    }
    for e in &s.species {
        hash.update(&[e.z()]);
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    key
}

/// The bonds of the crystals met so far. Threads may share it.
#[derive(Debug, Default)]
pub struct BondCache {
    found: RwLock<HashMap<Key, Arc<Bonds>>>,
}

impl BondCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of crystals.
    pub fn len(&self) -> usize {
        self.found.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether it holds no crystal.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn known(&self, key: &Key) -> Option<Arc<Bonds>> {
        self.found.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: Key, bonds: Bonds) -> Arc<Bonds> {
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        found.entry(key).or_insert_with(|| Arc::new(bonds)).clone()
    }

    /// The bonds of a structure, searched if they are not known.
    ///
    /// # Errors
    /// As [`Bonds::of`].
    pub fn get(&self, structure: &Structure) -> Result<Arc<Bonds>, BondError> {
        let key = key(structure);
        match self.known(&key) {
            Some(bonds) => Ok(bonds),
            None => Ok(self.keep(key, Bonds::of(structure)?)),
        }
    }

    /// Searches the bonds of all structures that are not known yet, on all threads; returns how many these were.
    ///
    /// # Errors
    /// As [`Bonds::of`], for the first structure of the list that has one; what was found is kept.
    pub fn fill(&self, structures: &[&Structure]) -> Result<usize, BondError> {
        let search = |structure: &&Structure| -> Result<bool, BondError> {
            let key = key(structure);
            if self.known(&key).is_some() {
                return Ok(false);
            }
            self.keep(key, Bonds::of(structure)?);
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

    /// Stores all bonds: equal caches give equal bytes.
    ///
    /// # Errors
    /// [`BondError::Io`] when writing fails.
    pub fn write(&self, mut to: impl Write) -> Result<(), BondError> {
        let mut out = MAGIC.to_vec();
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = found.iter().collect();
        all.sort_unstable_by_key(|(key, _)| **key);
        put(&mut out, all.len() as u64);
        for (key, bonds) in all {
            out.extend_from_slice(key);
            put(&mut out, bonds.isolated.len() as u64);
            bonds.isolated.iter().for_each(|&i| put(&mut out, u64::from(i)));
            put(&mut out, bonds.edges.len() as u64);
            for &(i, j, image) in &bonds.edges {
                put(&mut out, u64::from(i));
                put(&mut out, u64::from(j));
                image.iter().for_each(|&t| put(&mut out, zigzag(t)));
            }
        }
        let sum = blake3::hash(&out);
        to.write_all(&out)?;
        to.write_all(sum.as_bytes())?;
        Ok(to.flush()?)
    }

    /// Adds what [`BondCache::write`] stored; returns the number of crystals that were read.
    ///
    /// # Errors
    /// [`BondError::Io`] when reading fails, [`BondError::Format`] when the bytes are not what was written.
    pub fn read(&self, mut from: impl Read) -> Result<usize, BondError> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        if !bytes.starts_with(MAGIC) {
            return Err(BondError::Format("wrong first line"));
        }
        let Some((content, sum)) = bytes.split_last_chunk::<32>() else {
            return Err(BondError::Format("the end is missing"));
        };
        if blake3::hash(content) != *sum {
            return Err(BondError::Format("the check sum differs"));
        }
        let mut rest = content.get(MAGIC.len()..).ok_or(BondError::Format("the end is missing"))?;
        let count = take(&mut rest)?;
        let mut all = Vec::new();
        for _ in 0..count {
            let (key, tail) =
                rest.split_first_chunk::<16>().ok_or(BondError::Format("the end is missing"))?;
            rest = tail;
            let isolated = (0..take(&mut rest)?).map(|_| site(&mut rest)).collect::<Result<_, _>>()?;
            let edges = (0..take(&mut rest)?).map(|_| edge(&mut rest)).collect::<Result<_, _>>()?;
            all.push((*key, Bonds { edges, isolated }));
        }
        if !rest.is_empty() {
            return Err(BondError::Format("there is more than expected"));
        }
        let read = all.len();
        for (key, bonds) in all {
            self.keep(key, bonds);
        }
        Ok(read)
    }
}

/// A number in groups of seven bits, the lowest first.
fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(rest: &mut &[u8]) -> Result<u64, BondError> {
    let mut n = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first().ok_or(BondError::Format("the end is missing"))?;
        *rest = tail;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(n);
        }
    }
    Err(BondError::Format("a number is too long"))
}

/// Signed numbers near zero as small unsigned ones.
fn zigzag(t: i32) -> u64 {
    u64::from(((t << 1) ^ (t >> 31)) as u32)
}

fn site(rest: &mut &[u8]) -> Result<u32, BondError> {
    u32::try_from(take(rest)?).map_err(|_| BondError::Format("a number is too large"))
}

fn edge(rest: &mut &[u8]) -> Result<EdgeEnds, BondError> {
    let (i, j) = (site(rest)?, site(rest)?);
    let mut image = [0; 3];
    for t in &mut image {
        let n = site(rest)?;
        *t = (n >> 1) as i32 ^ -((n & 1) as i32);
    }
    Ok((i, j, image))
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

    #[test]
    fn stored_bonds_come_back() {
        let cache = BondCache::new();
        let all = [caesium_chloride(4.0), structure(3.0, &["Po"], &[[0.0; 3]])];
        let all: Vec<&Structure> = all.iter().collect();
        cache.fill(&all).unwrap();
        let mut bytes = Vec::new();
        cache.write(&mut bytes).unwrap();
        let again = BondCache::new();
        assert_eq!(again.read(bytes.as_slice()).unwrap(), 2);
        assert_eq!(again.fill(&all).unwrap(), 0);
        for s in &all {
            assert_eq!(again.get(s).unwrap(), cache.get(s).unwrap());
        }
        let mut second = Vec::new();
        again.write(&mut second).unwrap();
        assert_eq!(bytes, second);
        for i in 0..bytes.len() {
            assert!(BondCache::new().read(&bytes[..i]).is_err(), "cut at {i}");
            let mut damaged = bytes.clone();
            damaged[i] ^= 4;
            assert!(BondCache::new().read(damaged.as_slice()).is_err(), "changed at {i}");
        }
    }

    #[test]
    fn numbers_are_packed_without_loss() {
        for t in [0, 1, -1, 63, -64, 1000, -100_000, i32::MAX, i32::MIN] {
            let mut out = Vec::new();
            for n in [7, u64::from(u32::MAX), zigzag(t), 0, 0] {
                put(&mut out, n);
            }
            assert_eq!(edge(&mut out.as_slice()).unwrap(), (7, u32::MAX, [t, 0, 0]));
        }
    }
}
