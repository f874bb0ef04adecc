//! Why there is no hull of some sets.

use druse_data::Skipped;
use druse_metrics::phase_diagram::{EntriesError, HullError};

use super::EnergyScale;

/// Rows that an error message lists.
const LISTED: usize = 5;

/// Entries or queries that do not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HullInputError {
    /// The column of the energy is missing.
    #[error("`{set}` has no column `{column}` of energies; its columns of numbers are: {available}")]
    NoEnergy {
        /// Name of the set.
        set: String,
        /// The column that was looked for.
        column: String,
        /// Those with numbers.
        available: String,
    },
    /// Which column is meant cannot be told.
    #[error("several columns may be the energy ({columns}); name one")]
    SeveralEnergies {
        /// The columns.
        columns: String,
    },
    /// The rows of a set are of several methods.
    #[error("the energies are of several methods, {first} and {second}, which make no hull")]
    SeveralScales {
        /// One method.
        first: String,
        /// Another one.
        second: String,
    },
    /// Entries and queries are on different scales.
    #[error("energies on different scales cannot be compared: entries have {entries}, queries {queries}")]
    Scales {
        /// That of the entries.
        entries: EnergyScale,
        /// That of the queries.
        queries: EnergyScale,
    },
    /// One identifier with several compositions or energies.
    #[error("entry `{id}` contradicts itself: {first}, and {second}")]
    Contradiction {
        /// The identifier.
        id: String,
        /// What one row says, and where.
        first: String,
        /// What another one says.
        second: String,
    },
    /// Too many rows cannot be used.
    #[error("{} of {total} rows of the entries have no composition or no energy:{}", left_out.len(), list(left_out))]
    TooManyLeftOut {
        /// Rows in all.
        total: usize,
        /// Those that cannot be used.
        left_out: Vec<Skipped>,
    },
    /// The entries make no phase diagram.
    #[error(transparent)]
    Entries(#[from] EntriesError),
    /// There is no hull where it was asked for.
    #[error(transparent)]
    Hull(#[from] HullError),
    /// A column to check against is missing.
    #[error("no entry has the number `{column}` to be checked against")]
    NothingToCheck {
        /// The column.
        column: String,
    },
}

fn list(left_out: &[Skipped]) -> String {
    let mut text: String = left_out.iter().take(LISTED).map(|s| format!("\n  {s}")).collect();
    if left_out.len() > LISTED {
        text.push_str(&format!("\n  … and {} more", left_out.len() - LISTED));
    }
    text
}
