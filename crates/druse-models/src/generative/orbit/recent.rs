//! What was found for the last things that were asked for: a request for many structures asks as many times.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Most things that are kept.
const MOST: usize = 128;

/// What was found, by what was asked for. Threads may share it.
#[derive(Debug)]
pub(super) struct Recent<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// What was found before, or what `find` finds now. Where threads look at the same time, the first one's counts.
    pub fn get(&self, asked: K, find: impl FnOnce() -> V) -> Arc<V> {
        match self.try_get(asked, || Ok::<V, Infallible>(find())) {
            Ok(found) => found,
            Err(never) => match never {},
        }
    }

    /// As [`Self::get`]; failures are not kept.
    pub fn try_get<E>(&self, asked: K, find: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().get(&asked) {
            return Ok(found.clone());
        }
        let found = Arc::new(find()?);
        let mut all = lock();
        if all.len() >= MOST {
            all.clear();
        }
        Ok(all.entry(asked).or_insert(found).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_found_once_and_failures_again() {
        let recent = Recent::default();
        assert_eq!(recent.try_get(1, || Err::<u8, _>("no")), Err("no"));
        assert_eq!(*recent.get(1, || 7), 7);
        assert_eq!(*recent.try_get(1, || Err("not asked")).unwrap(), 7);
        for k in 2..400 {
            recent.get(k, || 0);
        }
        assert!(recent.0.lock().unwrap().len() <= MOST);
    }
}
