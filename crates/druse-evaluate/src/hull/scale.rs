//! What energies count from: those on different scales make no hull.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What energies count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnergyKind {
    /// The elements, which are at 0.
    Formation,
    /// What the method counts from; an entry of each element is needed.
    Total,
}

/// What the energies of a set count from and which method they are of. Energies are comparable on one scale alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnergyScale {
    /// What they count from.
    pub kind: EnergyKind,
    /// The method: a potential, a functional, a correction scheme; `None` where nothing tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

impl EnergyScale {
    /// Why energies on this scale cannot be compared with those on another; `None` for one scale.
    ///
    /// An unnamed scale is no named one: whether it is the same cannot be told.
    pub fn differs(&self, other: &Self) -> Option<String> {
        (self != other).then(|| format!("{self} and {other}"))
    }
}

impl fmt::Display for EnergyScale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            EnergyKind::Formation => "formation energies",
            EnergyKind::Total => "total energies",
        };
        match &self.method {
            Some(method) => write!(f, "{kind} of {method}"),
            None => write!(f, "{kind} of an unnamed method"),
        }
    }
}
