//! What tells one structure from another, for what is found once for each.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};

use druse_crystal::Structure;

/// Hash of cell, elements and positions.
pub(crate) type Key = [u8; 16];

/// What decides the bonds and the symmetry of a structure: cell, elements, positions, bit by bit.
pub(crate) fn key(s: &Structure) -> Key {
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

/// What was found for structures, once for each. Threads may share it.
#[derive(Debug)]
pub(crate) struct FoundOnce<T>(RwLock<HashMap<Key, Arc<T>>>);

impl<T> Default for FoundOnce<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T> FoundOnce<T> {
    /// What was found for a structure, or what `find` finds now. Where threads look at the same time, the first one's counts.
    pub fn get(&self, structure: &Structure, find: impl FnOnce() -> T) -> Arc<T> {
        match self.try_get(structure, || Ok::<T, Infallible>(find())) {
            Ok(found) => found,
            Err(never) => match never {},
        }
    }

    /// As [`Self::get`]; failures are not kept.
    pub fn try_get<E>(
        &self,
        structure: &Structure,
        find: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let key = key(structure);
        match self.known(&key) {
            Some(known) => Ok(known),
            None => Ok(self.keep(key, find()?)),
        }
    }

    /// What was found under a key.
    pub fn known(&self, key: &Key) -> Option<Arc<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Keeps what was found, unless something was kept before; returns what is kept.
    pub fn keep(&self, key: Key, found: T) -> Arc<T> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(key).or_insert_with(|| Arc::new(found)).clone()
    }

    /// Structures that something was found for.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
