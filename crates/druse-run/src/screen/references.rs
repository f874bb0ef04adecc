//! The hull on the scale of the potential.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use druse_crystal::{Composition, Element};
use druse_data::{Item, JsonlRecord, Listing};
use druse_evaluate::hull::{EnergyAmount, EnergyColumn, EnergyKind, EnergyScale, Hull, HullEntries};
use druse_metrics::phase_diagram::{ChemicalSystem, PhaseEntry};
use rayon::prelude::*;
use serde::Serialize;

use super::fit::{Compound, ElementFit, fit};
use super::row::{Gate, ScreenRow};
use crate::RunError;
use crate::output::{FAILURES_FILE, Failure, STRUCTURES_FILE, parse_lines};

/// Property with the energy of a relaxed structure (eV/atom).
pub(super) const ENERGY: &str = "relax_energy_per_atom";

/// What the hull is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReferenceSummary {
    /// Name of the reference.
    pub set: String,
    /// Its rows of the elements of candidates that were evaluated.
    pub evaluated: usize,
    /// Rows that the potential gave nothing for.
    pub failed: usize,
    /// Elements that the reference has a structure of.
    pub elements: Vec<Element>,
    /// The other elements, from formation energies of compounds.
    pub fit: ElementFit,
    /// The hull in words.
    pub hull: String,
}

/// The rows of the reference that a hull of the standing candidates needs: those with a structure whose elements are all in one
/// of them.
pub(super) fn relevant(reference: &Listing, rows: &[ScreenRow]) -> Listing {
    let systems: Vec<ChemicalSystem> = systems(rows).into_iter().collect();
    let needed = |item: &&Item| {
        let Some(structure) = item.structure() else { return false };
        let own = ChemicalSystem::of(structure.species.iter().copied());
        systems.iter().any(|s| own.is_subset(*s))
    };
    let items: Vec<Item> = reference.items.par_iter().filter(needed).cloned().collect();
    Listing { name: reference.name.clone(), items, ..Listing::default() }
}

fn systems(rows: &[ScreenRow]) -> HashSet<ChemicalSystem> {
    let standing = rows.iter().filter(|row| row.stands()).filter_map(|row| row.structure.as_ref());
    standing.map(|s| ChemicalSystem::of(s.species.iter().copied())).collect()
}

/// The hull of the evaluated reference in `folder`.
///
/// # Errors
/// [`RunError::Damaged`], [`RunError::Hull`].
pub(super) fn hull(
    folder: &Path,
    rows: &[ScreenRow],
    set: &str,
    potential: &str,
    formation_energy: &str,
) -> Result<(Hull, ReferenceSummary), RunError> {
    let records: Vec<JsonlRecord> = parse_lines(&folder.join(STRUCTURES_FILE))?;
    let failed = parse_lines::<Failure>(&folder.join(FAILURES_FILE))?.len();
    let mut entries: Vec<PhaseEntry> = Vec::new();
    let mut names: HashSet<String> = HashSet::new();
    let mut known: BTreeMap<Element, f64> = BTreeMap::new();
    let mut compounds: Vec<Compound> = Vec::new();
    for (n, record) in records.iter().enumerate() {
        let number = |name: &str| record.properties.get(name).and_then(serde_json::Value::as_f64);
        let Some(energy) = number(ENERGY).filter(|e| e.is_finite()) else { continue };
        let composition = Composition::from_species(&record.structure.species);
        // Rows of several files may have one name.
        let mut id = record.id.clone();
        if !names.insert(id.clone()) {
            id = format!("{id} ({n})");
            names.insert(id.clone());
        }
        if let (1, Some(element)) = (composition.num_elements(), composition.elements().next()) {
            let lowest = known.entry(element).or_insert(energy);
            *lowest = lowest.min(energy);
        } else if let Some(formation) = number(formation_energy).filter(|e| e.is_finite()) {
            compounds.push((composition.clone(), energy - formation));
        }
        entries.push(PhaseEntry::per_atom(id, composition, energy));
    }
    let wanted: BTreeSet<Element> = systems(rows).into_iter().flat_map(ChemicalSystem::elements).collect();
    let elements: Vec<Element> = wanted.iter().copied().filter(|e| known.contains_key(e)).collect();
    let fit = fit(&compounds, &known, &wanted);
    let evaluated = entries.len();
    entries.extend(fit.energies.iter().map(|(&element, &energy)| {
        PhaseEntry::per_atom(fitted_id(element), Composition::from_counts([(element, 1)]), energy)
    }));
    let scale = EnergyScale { kind: EnergyKind::Total, method: Some(potential.to_owned()) };
    let hull = Hull::new(HullEntries::computed(entries, scale, set), [])?;
    let words = hull.describe();
    Ok((hull, ReferenceSummary { set: set.to_owned(), evaluated, failed, elements, fit, hull: words }))
}

fn fitted_id(element: Element) -> String {
    format!("fitted:{element}")
}

/// Places the standing candidates against the hull; those without one fall. Whether an energy above hull is small enough is left
/// open where the hull there rests on `fit`.
///
/// # Errors
/// [`RunError::Hull`].
pub(super) fn place(
    rows: &mut [ScreenRow],
    hull: &Hull,
    fit: &ElementFit,
    largest: f64,
    formation_energy: &str,
) -> Result<(), RunError> {
    let standing: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].stands()).collect();
    let item = |&i: &usize| {
        let structure = rows[i].structure.clone()?;
        Some(Item {
            id: rows[i].id.clone(),
            counted: false,
            file: Default::default(),
            row: None,
            line: None,
            outcome: Ok(structure),
            warnings: Vec::new(),
        })
    };
    let items: Vec<Item> = standing.iter().filter_map(item).collect();
    let column =
        EnergyColumn { name: ENERGY.to_owned(), amount: EnergyAmount::PerAtom, scale: hull.scale.clone() };
    let listing = Listing { name: "candidates".into(), items, ..Listing::default() };
    let fitted: HashSet<String> = fit.energies.keys().map(|e| fitted_id(*e)).collect();
    let placed = hull.query(&listing, &column, false)?;
    for (i, phase) in standing.into_iter().zip(placed) {
        let row = &mut rows[i];
        row.compounds = Some(phase.compounds);
        match phase.e_above_hull {
            Some(above) => {
                let fitted =
                    phase.decomposition.iter().filter(|s| fitted.contains(&s.id)).map(|s| s.fraction);
                // Not the sum's own start, which is -0.
                row.fitted_fraction = Some(fitted.sum::<f64>() + 0.0);
                row.e_above_hull = Some(above);
                row.within = (!row.rests_on_fit()).then_some(above <= largest);
                row.formation_energy_per_atom = phase.formation_energy_per_atom;
                row.decomposition = phase.decomposition;
            }
            None => {
                let reason = phase.error.unwrap_or_else(|| "there is no hull".to_owned());
                let reason = format!(
                    "{reason}: the reference has no structure of it, and its `{formation_energy}` does not tell its energy"
                );
                row.fall(Gate::Hull, "no reference energy of an element", reason);
            }
        }
    }
    Ok(())
}
