//! How often things occur.

use std::fmt;

/// The counts for people: `Cl (3), F (1)`.
pub(super) fn pairs<K: fmt::Display, V: fmt::Display>(items: impl Iterator<Item = (K, V)>) -> String {
    items.map(|(k, v)| format!("{k} ({v})")).collect::<Vec<_>>().join(", ")
}
