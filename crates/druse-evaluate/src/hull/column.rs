//! Which column an energy is read from.

use druse_data::{Item, Listing, properties};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EnergyKind, EnergyScale, HullInputError};
use crate::columns::numeric_columns;

/// Columns that are looked for when none is named.
const USUAL: [&str; 3] = ["energy_per_atom", "formation_energy_per_atom", "energy"];
/// The column of relaxed structures: theirs, whatever else is known of what they were made from.
const RELAXED: &str = "relax_energy_per_atom";
/// Properties of rows that name the method their energy is from, in order of preference.
const METHOD_COLUMNS: [&str; 2] = ["energy_scale", "potential"];

/// Of what an energy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnergyAmount {
    /// Of an atom (eV/atom).
    PerAtom,
    /// Of the cell, or of the formula as it is written (eV).
    Cell,
}

/// How energies are read, as far as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnergyChoice {
    /// The column; `None` for that of relaxed structures, else the only one of the usual names that is there.
    pub column: Option<String>,
    /// Of what; `None` for what the name tells: `…per_atom` is of an atom.
    pub amount: Option<EnergyAmount>,
    /// The method; `None` for what the property `energy_scale` or `potential` of the rows says.
    pub method: Option<String>,
}

/// How energies are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnergyColumn {
    /// The column.
    pub name: String,
    /// Of what its energies are.
    pub amount: EnergyAmount,
    /// Their scale.
    pub scale: EnergyScale,
}

impl EnergyColumn {
    /// The energies of sets, all of one scale, as `choice` says.
    ///
    /// # Errors
    /// [`HullInputError`]: the column is missing or not the only one, or the rows are of several methods.
    pub fn of(listings: &[&Listing], choice: &EnergyChoice) -> Result<Self, HullInputError> {
        let name = match &choice.column {
            Some(name) => name.clone(),
            None => usual(listings)?,
        };
        for listing in listings {
            let columns = numeric_columns(listing);
            // A column with one field that is no number is text; its other fields are read all the same.
            let is_there = |item: &Item| item.properties().contains_key(&name);
            if !columns.contains(&name.as_str()) && !listing.items.iter().any(is_there) {
                let (set, column) = (listing.name.clone(), name.clone());
                return Err(HullInputError::NoEnergy { set, column, available: columns.join(", ") });
            }
        }
        let of_atom = name.to_ascii_lowercase().contains("per_atom");
        let amount = if of_atom { EnergyAmount::PerAtom } else { EnergyAmount::Cell };
        let formation = ["formation", "e_form"].iter().any(|word| name.to_ascii_lowercase().contains(word));
        let kind = if formation { EnergyKind::Formation } else { EnergyKind::Total };
        let method = match &choice.method {
            Some(method) => Some(method.clone()),
            None => method(listings)?,
        };
        Ok(Self { name, amount: choice.amount.unwrap_or(amount), scale: EnergyScale { kind, method } })
    }

    /// The energy per atom (eV/atom) of a row of `atoms` atoms, or why it has none.
    pub fn energy_per_atom(&self, item: &Item, atoms: usize) -> Result<f64, String> {
        let value = match item.properties().get(&self.name) {
            None => return Err(format!("no number in `{}`", self.name)),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_f64(),
        };
        let value: f64 = value.ok_or_else(|| {
            let text = item.properties().get(&self.name).map(properties::text).unwrap_or_default();
            format!("`{}` is `{text}`, no number", self.name)
        })?;
        if !value.is_finite() {
            return Err(format!("`{}` is {value}", self.name));
        }
        Ok(match self.amount {
            EnergyAmount::PerAtom => value,
            EnergyAmount::Cell => value / atoms as f64,
        })
    }
}

/// The column of relaxed structures, else the only one of a usual name.
fn usual(listings: &[&Listing]) -> Result<String, HullInputError> {
    let columns: Vec<&str> = listings.iter().flat_map(|l| numeric_columns(l)).collect();
    if columns.contains(&RELAXED) {
        return Ok(RELAXED.to_owned());
    }
    let found: Vec<&str> = USUAL.into_iter().filter(|name| columns.contains(name)).collect();
    match found.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => {
            let mut available = columns.clone();
            available.sort_unstable();
            available.dedup();
            let set = listings.first().map(|l| l.name.clone()).unwrap_or_default();
            let column = USUAL.join("` or `");
            Err(HullInputError::NoEnergy { set, column, available: available.join(", ") })
        }
        several => Err(HullInputError::SeveralEnergies { columns: several.join(", ") }),
    }
}

/// The method that the rows say their energies are of.
fn method(listings: &[&Listing]) -> Result<Option<String>, HullInputError> {
    let mut found: Option<String> = None;
    for item in listings.iter().flat_map(|l| &l.items) {
        let method = METHOD_COLUMNS.iter().find_map(|name| item.properties().get(*name));
        let Some(method) = method.map(properties::text) else { continue };
        match &found {
            None => found = Some(method),
            Some(first) if *first != method => {
                return Err(HullInputError::SeveralScales { first: first.clone(), second: method });
            }
            Some(_) => {}
        }
    }
    Ok(found)
}
