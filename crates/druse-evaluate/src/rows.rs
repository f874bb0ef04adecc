//! Sets that lack what a task needs.

use druse_data::Listing;

use crate::EvaluateError;
use crate::columns::{number, numeric_columns};

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
