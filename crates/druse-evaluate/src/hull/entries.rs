//! Entries of a phase diagram from sets of structures or of formulas.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use druse_crystal::Composition;
use druse_data::{Item, Listing, Skipped};
use druse_metrics::phase_diagram::PhaseEntry;
use serde::{Deserialize, Serialize};

use super::{EnergyColumn, EnergyScale, HullInputError};

/// Largest share of rows that may lack a composition or an energy.
const MAX_LEFT_OUT: f64 = 0.01;
/// What becomes of rows that give one identifier several compositions or energies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contradictions {
    /// They are refused.
    #[default]
    Refuse,
    /// The first row counts.
    First,
    /// The lowest energy counts.
    Lowest,
}

/// Entries with their scale and source: what a hull is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct HullEntries {
    /// The entries, each identifier once.
    pub entries: Vec<PhaseEntry>,
    /// What their energies count from.
    pub scale: EnergyScale,
    /// Where they are from, in words: names of data sets.
    pub source: String,
    /// Rows that take no part, with the reason.
    pub left_out: Vec<Skipped>,
    /// Rows that contradicted another one of their identifier.
    pub contradictions: usize,
}

impl HullEntries {
    /// Entries that were computed: by a potential, all of them with the same.
    pub fn computed(entries: Vec<PhaseEntry>, scale: EnergyScale, source: impl Into<String>) -> Self {
        Self { entries, scale, source: source.into(), left_out: Vec::new(), contradictions: 0 }
    }

    /// The rows of sets that have a composition, by their structure or their formula, and an energy.
    ///
    /// # Errors
    /// [`HullInputError::Contradiction`] unless they are allowed, [`HullInputError::TooManyLeftOut`].
    pub fn of(
        listings: &[&Listing],
        energy: &EnergyColumn,
        contradictions: Contradictions,
    ) -> Result<Self, HullInputError> {
        let mut found = Self::computed(Vec::new(), energy.scale.clone(), names(listings));
        // Index of each identifier's entry, and the row that it is from.
        let mut known: HashMap<String, (usize, &Item)> = HashMap::new();
        for (listing, item) in listings.iter().flat_map(|l| l.items.iter().map(move |i| (l, i))) {
            let entry = match entry(listing, item, energy) {
                Ok(entry) => entry,
                Err(reason) => {
                    found.left_out.push(left_out(item, reason));
                    continue;
                }
            };
            match known.entry(entry.id.clone()) {
                Entry::Vacant(place) => {
                    place.insert((found.entries.len(), item));
                    found.entries.push(entry);
                }
                Entry::Occupied(mut place) => {
                    let (index, first) = *place.get();
                    let kept = &mut found.entries[index];
                    if !kept.contradicts(&entry) {
                        continue;
                    }
                    found.contradictions += 1;
                    match contradictions {
                        Contradictions::Refuse => {
                            let say = |e: &PhaseEntry, i: &Item| format!("{e} ({})", place_of(i));
                            let (first, second) = (say(kept, first), say(&entry, item));
                            return Err(HullInputError::Contradiction { id: entry.id, first, second });
                        }
                        Contradictions::Lowest if entry.energy_per_atom() < kept.energy_per_atom() => {
                            *kept = entry;
                            place.insert((index, item));
                        }
                        Contradictions::First | Contradictions::Lowest => {}
                    }
                }
            }
        }
        let total: usize = listings.iter().map(|l| l.len()).sum();
        if found.left_out.len() as f64 > MAX_LEFT_OUT * total as f64 || found.entries.is_empty() {
            return Err(HullInputError::TooManyLeftOut { total, left_out: found.left_out });
        }
        Ok(found)
    }

    /// BLAKE3 (hex) over scale, compositions and energies in order: the same hull has the same hash.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.scale.to_string().as_bytes());
        for entry in &self.entries {
            hasher.update(entry.composition.to_string().as_bytes()).update(&[0]);
            hasher.update(&entry.energy.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// The composition of a row, from its structure or its formula.
pub(crate) fn composition(item: &Item) -> Result<Composition, String> {
    let reason = || item.reason().unwrap_or("it has no composition").to_owned();
    item.composition().filter(|c| !c.is_empty()).ok_or_else(reason)
}

fn entry(listing: &Listing, item: &Item, energy: &EnergyColumn) -> Result<PhaseEntry, String> {
    let composition = composition(item)?;
    let energy = energy.energy_per_atom(item, composition.num_atoms())?;
    // A counted name says nothing about rows of other sets.
    let id = if item.counted { format!("{}:{}", listing.name, item.id) } else { item.id.clone() };
    Ok(PhaseEntry::per_atom(id, composition, energy))
}

/// A row as one that takes no part.
fn left_out(item: &Item, reason: String) -> Skipped {
    Skipped {
        file: item.file.clone(),
        row: item.row,
        line: item.line,
        id: (!item.counted).then(|| item.id.clone()),
        reason,
    }
}

fn place_of(item: &Item) -> String {
    let place = item.file.display();
    match item.row {
        Some(row) => format!("{place}, row {row}"),
        None => place.to_string(),
    }
}

/// Names of sets, in words.
fn names(listings: &[&Listing]) -> String {
    let names: Vec<&str> = listings.iter().map(|l| l.name.as_str()).collect();
    names.join(" + ")
}
