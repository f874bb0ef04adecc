//! A hull against energies above hull that are known from elsewhere.

use std::collections::HashMap;

use druse_data::Listing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Hull, HullInputError, PhaseRow};
use crate::columns::number;

/// Largest energies above hull (eV/atom) that count as stable.
const THRESHOLDS: [f64; 3] = [0.0, 0.025, 0.1];
/// Differences that are counted (eV/atom).
const WITHIN: [f64; 3] = [0.001, 0.01, 0.05];
/// Rounding of published energies above hull (eV/atom).
const ROUNDING: f64 = 1e-9;

/// How a hull compares with a given column of energies above hull.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// The column.
    pub column: String,
    /// Entries that have it.
    pub compared: usize,
    /// Mean of the column less ours (eV/atom): how optimistic the hull is.
    pub bias: f64,
    /// Largest difference (eV/atom).
    pub largest: f64,
    /// Entries that are higher above our hull than the column says: none, if the entries are among the phases that the column's
    /// hull is made of.
    pub above: usize,
    /// Shares of entries within 1, 10 and 50 meV/atom.
    pub within: Vec<(f64, f64)>,
    /// Who is called stable.
    pub agreement: Vec<Agreement>,
}

/// Agreement about what is stable up to a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// Largest energy above hull that counts as stable (eV/atom).
    pub threshold: f64,
    /// Stable on our hull.
    pub ours: usize,
    /// Stable by the column.
    pub theirs: usize,
    /// Stable by both.
    pub both: usize,
    /// Share of ours that are theirs, too.
    pub precision: Option<f64>,
    /// Share of theirs that are ours, too.
    pub recall: Option<f64>,
}

impl Check {
    /// Compares rows of a hull's entries with the columns of the sets that they are from: each row counts with the first of the
    /// columns that it has.
    ///
    /// # Errors
    /// [`HullInputError::NothingToCheck`].
    pub fn of(rows: &[PhaseRow], listings: &[&Listing], columns: &[String]) -> Result<Self, HullInputError> {
        let mut known: HashMap<&str, f64> = HashMap::new();
        for item in listings.iter().flat_map(|l| &l.items) {
            if let Some(value) = columns.iter().find_map(|name| number(item, name)) {
                known.entry(&item.id).or_insert(value);
            }
        }
        let pairs: Vec<(f64, f64)> =
            rows.iter().filter_map(|row| Some((row.e_above_hull?, *known.get(row.id.as_str())?))).collect();
        let column = columns.join(", ");
        if pairs.is_empty() {
            return Err(HullInputError::NothingToCheck { column });
        }
        let gaps: Vec<f64> = pairs.iter().map(|(ours, theirs)| theirs - ours).collect();
        let n = gaps.len() as f64;
        let share = |limit: &f64| {
            let within = gaps.iter().filter(|gap| gap.abs() <= limit + ROUNDING).count();
            (*limit, within as f64 / n)
        };
        Ok(Self {
            column,
            compared: gaps.len(),
            bias: gaps.iter().sum::<f64>() / n,
            largest: gaps.iter().copied().fold(0.0, |a, b| if b.abs() > f64::abs(a) { b } else { a }),
            above: gaps.iter().filter(|gap| **gap < -ROUNDING).count(),
            within: WITHIN.iter().map(share).collect(),
            agreement: THRESHOLDS.iter().map(|t| Agreement::of(&pairs, *t)).collect(),
        })
    }
}

impl Agreement {
    fn of(pairs: &[(f64, f64)], threshold: f64) -> Self {
        let stable = |x: f64| x <= threshold + ROUNDING;
        let ours = pairs.iter().filter(|p| stable(p.0)).count();
        let theirs = pairs.iter().filter(|p| stable(p.1)).count();
        let both = pairs.iter().filter(|p| stable(p.0) && stable(p.1)).count();
        let share = |of: usize| (of > 0).then(|| both as f64 / of as f64);
        Self { threshold, ours, theirs, both, precision: share(ours), recall: share(theirs) }
    }
}

impl Hull {
    /// Compares the entries with columns of the sets that they are from ([`Check::of`]).
    ///
    /// # Errors
    /// [`HullInputError::NothingToCheck`].
    pub fn check(&self, listings: &[&Listing], columns: &[String]) -> Result<Check, HullInputError> {
        Check::of(&self.all_entries(), listings, columns)
    }
}
