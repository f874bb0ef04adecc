//! The order of candidates for one composition: how likely a model finds them, and how low their energies are.
//!
//! The score of a candidate is ln p - w (E - E₀): p its probability by the model, E its energy per atom, E₀ the lowest of its
//! group. It is the logarithm of a posterior where the model is the prior and the error of an energy difference has the scale
//! 1/w, so w says how far energies are trusted.

use std::collections::HashMap;

use druse_data::{Item, Listing};
use serde_json::Value;

use crate::hull::{EnergyChoice, EnergyColumn, HullInputError};

/// Property with the logarithm of the probability of a candidate.
pub const LOG_PROBABILITY: &str = "log_probability";
/// Property that says which structure of a data set a candidate is for.
pub const LIKE: &str = "like";

/// How candidates are ordered.
#[derive(Debug, Clone, PartialEq)]
pub struct RankingSettings {
    /// How energies are read.
    pub energy: EnergyChoice,
    /// What an eV/atom counts against the logarithm of the probability.
    pub weight: f64,
    /// Least logarithm of a probability; that of candidates without one.
    pub least: f64,
}

impl Default for RankingSettings {
    /// 20 for an eV/atom: energies of relaxed candidates are trusted to 50 meV/atom; probabilities down to 6e-6.
    fn default() -> Self {
        Self { energy: EnergyChoice::default(), weight: 20.0, least: -12.0 }
    }
}

/// A candidate in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Row of the listing.
    pub row: usize,
    /// Group of candidates, from 0 in the order of their first rows.
    pub group: usize,
    /// Place in its group, from 1.
    pub rank: usize,
    /// ln p - w (E - E₀); `None` without an energy or without a structure: such candidates come last.
    pub score: Option<f64>,
    /// Energy above the lowest of the group (eV/atom).
    pub above_lowest: Option<f64>,
}

/// What a candidate is for: the row of a data set that it says, else its reduced composition.
fn group(item: &Item) -> String {
    match item.properties().get(LIKE) {
        Some(Value::String(like)) => format!("like {like}"),
        Some(like) if !like.is_null() => format!("like {like}"),
        _ => item.composition().map_or_else(String::new, |c| c.reduced_formula()),
    }
}

/// The rows of a listing by groups, the best candidate of each first. Equally good ones stay in the order of the listing.
///
/// # Errors
/// [`HullInputError`] when the column of energies is missing or not the only one, or energies are of several methods.
pub fn ranked(listing: &Listing, settings: &RankingSettings) -> Result<Vec<Ranked>, HullInputError> {
    let column = EnergyColumn::of(&[listing], &settings.energy)?;
    let energy = |item: &Item| {
        let structure = item.structure()?;
        column.energy_per_atom(item, structure.len()).ok()
    };
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut lowest: Vec<f64> = Vec::new();
    let mut rows = Vec::with_capacity(listing.len());
    for item in &listing.items {
        let next = numbers.len();
        let group = *numbers.entry(group(item)).or_insert(next);
        lowest.resize(numbers.len(), f64::INFINITY);
        let energy = energy(item);
        lowest[group] = energy.map_or(lowest[group], |e| e.min(lowest[group]));
        let likely = item.properties().get(LOG_PROBABILITY).and_then(Value::as_f64);
        rows.push((group, energy, likely.map_or(settings.least, |p| p.max(settings.least))));
    }
    let placed = |(row, &(group, energy, likely)): (usize, &(usize, Option<f64>, f64))| {
        let above_lowest = energy.map(|e| e - lowest[group]);
        Ranked {
            row,
            group,
            rank: 0,
            score: above_lowest.map(|e| likely - settings.weight * e),
            above_lowest,
        }
    };
    let mut ranked: Vec<Ranked> = rows.iter().enumerate().map(placed).collect();
    let better = |a: &Ranked, b: &Ranked| match (a.score, b.score) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    ranked.sort_by(|a, b| a.group.cmp(&b.group).then_with(|| better(a, b)));
    let mut before = None;
    for candidate in &mut ranked {
        candidate.rank = match before {
            Some((group, rank)) if group == candidate.group => rank + 1,
            _ => 1,
        };
        before = Some((candidate.group, candidate.rank));
    }
    Ok(ranked)
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Lattice, Structure};
    use druse_data::Dataset;
    use serde_json::json;

    use super::*;

    fn candidate(cation: &str, properties: Value) -> Structure {
        let species = vec![cation.parse().unwrap(), "Cl".parse().unwrap()];
        let mut s = Structure::new(Lattice::cubic(4.0).unwrap(), species, vec![[0.0; 3], [0.5; 3]]).unwrap();
        s.properties = properties.as_object().unwrap().clone().into_iter().collect();
        s
    }

    fn order(structures: Vec<Structure>, weight: f64) -> Vec<(usize, usize, usize)> {
        let listing = Listing::from(Dataset::from_structures("candidates", structures));
        let settings = RankingSettings { weight, ..RankingSettings::default() };
        let found = ranked(&listing, &settings).unwrap();
        found.iter().map(|r| (r.row, r.group, r.rank)).collect()
    }

    #[test]
    fn likely_and_low_candidates_come_first() {
        let of = |p: f64, e: f64| json!({ "log_probability": p, "energy_per_atom": e });
        let all = vec![
            candidate("Na", of(-0.1, -3.00)),
            candidate("Cs", of(-2.0, -3.40)),
            candidate("Na", of(-1.0, -3.10)),
            candidate("Na", json!({ "energy_per_atom": -3.05 })),
            candidate("Cs", json!({ "log_probability": -0.1 })),
        ];
        // 0.1 eV/atom are worth 2 at 20 per eV/atom: more than 0.9, less than what is missing where nothing is known.
        assert_eq!(order(all.clone(), 20.0), [(2, 0, 1), (0, 0, 2), (3, 0, 3), (1, 1, 1), (4, 1, 2)]);
        // Energies that are not trusted.
        assert_eq!(order(all.clone(), 0.0), [(0, 0, 1), (2, 0, 2), (3, 0, 3), (1, 1, 1), (4, 1, 2)]);
        // Energies alone.
        assert_eq!(order(all, 1e6), [(2, 0, 1), (3, 0, 2), (0, 0, 3), (1, 1, 1), (4, 1, 2)]);
    }

    #[test]
    fn candidates_for_rows_of_a_set_are_compared_row_by_row() {
        let of = |like: &str, e: f64| json!({ "like": like, "energy_per_atom": e });
        let all = vec![
            candidate("Na", of("a", -1.0)),
            candidate("Na", of("b", -2.0)),
            candidate("Na", of("a", -3.0)),
        ];
        assert_eq!(order(all, 1.0), [(2, 0, 1), (0, 0, 2), (1, 1, 1)]);
    }

    #[test]
    fn energies_are_needed() {
        let listing = Listing::from(Dataset::from_structures("none", [candidate("Na", json!({}))]));
        let error = ranked(&listing, &RankingSettings::default()).unwrap_err();
        assert!(matches!(error, HullInputError::NoEnergy { .. }), "{error}");
    }
}
