//! Columns of a set: what its rows have under a name.

use druse_data::{Item, Listing, properties};
use serde_json::Value;

/// The number that a row has under a name.
pub fn number(item: &Item, name: &str) -> Option<f64> {
    item.properties().get(name).and_then(Value::as_f64)
}

/// What a row has under a name, as text.
pub fn text(item: &Item, name: &str) -> Option<String> {
    item.properties().get(name).map(properties::text)
}

/// Names of the numbers of a row.
fn numeric_names(item: &Item) -> impl Iterator<Item = &str> {
    item.properties().iter().filter(|(_, value)| value.is_number()).map(|(key, _)| key.as_str())
}

/// Names of the columns in which some row has a number, in order of appearance.
pub fn numeric_columns(listing: &Listing) -> Vec<&str> {
    let mut available: Vec<&str> = Vec::new();
    for key in listing.items.iter().flat_map(numeric_names) {
        if !available.contains(&key) {
            available.push(key);
        }
    }
    available
}

/// The numbers that some rows have under a name.
pub fn numbers(listing: &Listing, name: &str, rows: impl IntoIterator<Item = usize>) -> Vec<f64> {
    rows.into_iter().filter_map(|i| number(&listing.items[i], name)).collect()
}
