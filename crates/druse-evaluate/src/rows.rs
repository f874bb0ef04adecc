//! What is read off the rows of a set.

use druse_data::{Item, Listing, properties};
use serde_json::Value;

use crate::EvaluateError;

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

/// Refuses a property that no row has as a number.
///
/// # Errors
/// [`EvaluateError::NoProperty`].
pub fn check_property(listing: &Listing, role: &'static str, name: &str) -> Result<(), EvaluateError> {
    if listing.items.iter().any(|item| number(item, name).is_some()) {
        return Ok(());
    }
    let available = numeric_columns(listing);
    Err(EvaluateError::NoProperty {
        role,
        name: listing.name.clone(),
        property: name.to_owned(),
        available: if available.is_empty() { "no numbers".to_owned() } else { available.join(", ") },
    })
}

/// Refuses a set without any structure.
///
/// # Errors
/// [`EvaluateError::NoStructures`].
pub fn some_structures(listing: &Listing, role: &'static str) -> Result<(), EvaluateError> {
    match listing.failures().next() {
        Some(first) if listing.items.iter().all(|i| i.structure().is_none()) => {
            Err(EvaluateError::NoStructures {
                role,
                name: listing.name.clone(),
                rows: listing.len(),
                first: first.to_string(),
            })
        }
        _ => Ok(()),
    }
}
