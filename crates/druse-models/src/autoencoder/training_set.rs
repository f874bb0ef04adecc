//! What autoencoders do with a training set before they learn from it.

use druse_crystal::Structure;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cell::fit_cells;
use crate::bonds::BondCache;
use crate::standardizer::Standardizer;
use crate::targets::{fit_property, property_of};
use crate::{ModelError, Warning};

/// Looks for what the model cannot represent or learn, searches the bonds of all structures, and warns of atoms without
/// any.
///
/// # Errors
/// [`ModelError`] for the first structure that `check` refuses, that lacks the property or whose bonds cannot be told.
pub(crate) fn inspect(
    structures: &[&Structure],
    check: impl Fn(&Structure) -> Result<(), ModelError>,
    property: Option<&str>,
    bonds: &BondCache,
) -> Result<Vec<Warning>, ModelError> {
    for s in structures {
        check(s)?;
        property.map(|name| property_of(s, name)).transpose()?;
    }
    let mut warnings = Vec::new();
    for (index, atoms) in bonds.isolated(structures)? {
        let text = format!(
            "{} of {} atoms have no bond; the encoder reads them as atoms without neighbors",
            atoms.len(),
            structures[index].len()
        );
        warnings.push(Warning { index, text });
    }
    Ok(warnings)
}

/// The scalers of cells and of the property over a training set.
///
/// # Errors
/// [`ModelError`] for the first structure that `check` refuses, for fewer than two, and for a property that cannot be
/// learned.
pub(crate) fn fit_scalers(
    training: &[&Structure],
    check: impl Fn(&Structure) -> Result<(), ModelError>,
    property: Option<&str>,
) -> Result<(Standardizer, Option<Standardizer>), ModelError> {
    training.iter().try_for_each(|s| check(s))?;
    let cells = fit_cells(training)?;
    Ok((cells, property.map(|name| fit_property(name, training)).transpose()?))
}

/// Statistics of a training set that a checkpoint has kept; `scalers` are those of cells and of the property.
///
/// # Errors
/// [`ModelError::Config`] when they have another form, or belong to a model with a property and this one has none, or the
/// other way round.
pub(crate) fn restored<S: DeserializeOwned>(
    statistics: &Value,
    property: Option<&str>,
    scalers: impl Fn(&S) -> (&Standardizer, Option<&Standardizer>),
) -> Result<S, ModelError> {
    let read: S = serde_json::from_value(statistics.clone()).map_err(|e| wrong_statistics(&e))?;
    let (cell, scaler) = scalers(&read);
    if cell.columns() != 6 || scaler.is_some() != property.is_some() {
        return Err(wrong_statistics(&"they belong to another model"));
    }
    Ok(read)
}

/// The error for statistics that cannot be those of the model.
pub(crate) fn wrong_statistics(problem: &dyn std::fmt::Display) -> ModelError {
    ModelError::Config(format!("statistics of the training set: {problem}"))
}
