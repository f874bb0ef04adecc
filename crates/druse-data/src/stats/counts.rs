//! How often things occur.

use std::collections::BTreeMap;
use std::fmt;

/// How often each key comes.
pub(super) fn histogram<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

/// The counts for people: `Cl (3), F (1)`.
pub(super) fn pairs<K: fmt::Display, V: fmt::Display>(items: impl Iterator<Item = (K, V)>) -> String {
    items.map(|(k, v)| format!("{k} ({v})")).collect::<Vec<_>>().join(", ")
}
