//! The hull that candidates are compared with.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use druse_crystal::{Composition, Element, Structure};
use druse_data::{Item, Listing};
use druse_evaluate::hull::{
    EnergyAmount, EnergyChoice, EnergyColumn, EnergyKind, EnergyScale, Hull, HullEntries, HullInputError,
};
use druse_metrics::phase_diagram::{ChemicalSystem, PhaseEntry};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::Serialize;

use super::agreement::Agreement;
use super::energies::KnownEnergies;
use super::row::{Gate, ScreenRow};
use super::settings::{Corrections, References, ScreenSettings};
use crate::RunError;
use crate::elements;

/// Property with the energy of a relaxed structure (eV/atom).
pub(super) const ENERGY: &str = "relax_energy_per_atom";
/// Property under which candidates are placed (eV/atom).
const PLACED: &str = "screen_energy_per_atom";

/// No compound binds more strongly (eV/atom): fluorides of rare earths, the strongest, reach 4.5. Energies below are holes of a
/// potential far from what it learned.
const STRONGEST_BINDING: f64 = -6.0;

/// The terminal phase of an element.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Terminal {
    /// Its form, or the row of the reference.
    pub id: String,
    /// Its energy by the potential (eV/atom).
    pub energy_per_atom: f64,
}

/// What the hull is made of.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ReferenceSummary {
    /// Name of the reference.
    pub set: String,
    /// Where the energies of its rows are from.
    #[schemars(with = "String")]
    pub energies: References,
    /// Corrections of the potential's energies.
    #[schemars(with = "String")]
    pub corrections: Corrections,
    /// Its rows of the elements of candidates that are entries.
    pub entries: usize,
    /// Such rows that give no energy.
    pub failed: usize,
    /// The lowest phase of each element of candidates, by the potential.
    #[schemars(with = "BTreeMap<String, Terminal>")]
    pub terminals: BTreeMap<Element, Terminal>,
    /// Elements that no crystal with an energy is known of.
    #[schemars(with = "Vec<String>")]
    pub missing: Vec<Element>,
    /// Formation energies by the potential against those of the reference, where it has them.
    pub agreement: Option<Agreement>,
    /// The hull in words.
    pub hull: String,
}

/// Rows of the reference that a hull of the standing candidates needs: those with a structure whose elements are all in one of
/// them.
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

/// Sees that a reference has the column of its energies.
///
/// # Errors
/// [`HullInputError::NoEnergy`].
pub(super) fn see_given(reference: &Listing, column: &str) -> Result<(), HullInputError> {
    let choice = EnergyChoice { column: Some(column.to_owned()), ..EnergyChoice::default() };
    EnergyColumn::of(&[reference], &choice).map(|_| ())
}

/// The crystals of all elements of the standing candidates.
pub(super) fn elemental(rows: &[ScreenRow]) -> Listing {
    let elements: BTreeSet<Element> = systems(rows).into_iter().flat_map(ChemicalSystem::elements).collect();
    let of = |e: Element| elements::structures(e).map(|s| item(element_id(s), s.structure.clone()));
    let items = elements.into_iter().flat_map(of).collect();
    Listing { name: "elements".to_owned(), items, ..Listing::default() }
}

fn element_id(s: &elements::ElementStructure) -> String {
    format!("element:{}:{}", s.element, s.name)
}

fn item(id: String, structure: Structure) -> Item {
    Item {
        id,
        counted: false,
        file: Default::default(),
        row: None,
        line: None,
        outcome: Ok(structure),
        warnings: Vec::new(),
    }
}

fn systems(rows: &[ScreenRow]) -> HashSet<ChemicalSystem> {
    let standing = rows.iter().filter(|row| row.stands()).filter_map(|row| row.structure.as_ref());
    standing.map(|s| ChemicalSystem::of(s.species.iter().copied())).collect()
}

/// Energies by the potential of what the hull is made of.
pub(super) struct Evaluated<'a> {
    /// Crystals of the elements, and what is known of them.
    pub elements: (&'a Listing, &'a KnownEnergies),
    /// Rows of the reference, and what is known of them; `None` where their given energies count.
    pub reference: (&'a Listing, Option<&'a KnownEnergies>),
}

/// The hull, and what it is made of.
///
/// # Errors
/// [`RunError::Hull`].
pub(super) fn hull(
    evaluated: &Evaluated<'_>,
    rows: &[ScreenRow],
    settings: &ScreenSettings,
    potential: &str,
) -> Result<(Hull, ReferenceSummary), RunError> {
    let (elements, of_elements) = evaluated.elements;
    let (reference, of_reference) = evaluated.reference;
    let mut entries: Vec<PhaseEntry> = Vec::new();
    let mut terminals: BTreeMap<Element, Terminal> = BTreeMap::new();
    let mut names: HashSet<String> = HashSet::new();
    let energy = |known: &KnownEnergies, structure: &Structure| {
        let known = known.of(structure)?;
        let corrected = match settings.corrections {
            Corrections::None => 0.0,
            Corrections::Mp2020 => known.mp2020?,
        };
        Some(known.energy_per_atom? + corrected)
    };
    let mut computed = |listing: &Listing, known: &KnownEnergies| {
        let (mut found, mut failed) = (0, 0);
        for item in &listing.items {
            let Some(structure) = item.structure() else { continue };
            let Some(energy) = energy(known, structure) else {
                failed += 1;
                continue;
            };
            found += 1;
            let composition = Composition::from_species(&structure.species);
            // Rows of several files may have one name.
            let mut id = item.id.clone();
            for n in 2.. {
                if names.insert(id.clone()) {
                    break;
                }
                id = format!("{} ({n})", item.id);
            }
            if let (1, Some(element)) = (composition.num_elements(), composition.elements().next()) {
                let own = Terminal { id: id.clone(), energy_per_atom: energy };
                let lowest = terminals.entry(element).or_insert_with(|| own.clone());
                if energy < lowest.energy_per_atom {
                    *lowest = own;
                }
            }
            entries.push(PhaseEntry::per_atom(id, composition, energy));
        }
        (found, failed)
    };
    computed(elements, of_elements);
    let mut counts = of_reference.map(|known| computed(reference, known));
    let before = entries.len();
    entries.retain(|entry| {
        let binding = elemental_energy(&entry.composition, &terminals).map(|e| entry.energy_per_atom() - e);
        binding.is_none_or(|binding| binding >= STRONGEST_BINDING)
    });
    if let Some((found, failed)) = &mut counts {
        *found -= before - entries.len();
        *failed += before - entries.len();
    }

    let method = match settings.corrections {
        Corrections::None => potential.to_owned(),
        Corrections::Mp2020 => format!("{potential} with MP2020"),
    };
    let wanted: BTreeSet<Element> = systems(rows).into_iter().flat_map(ChemicalSystem::elements).collect();
    let missing: Vec<Element> = wanted.iter().copied().filter(|e| !terminals.contains_key(e)).collect();
    let (entries, method, (count, failed)) = match counts {
        Some(counts) => (entries, method, counts),
        None => {
            let (mut given, mut failed): (Vec<PhaseEntry>, usize) = (Vec::new(), 0);
            let mut names: HashSet<&str> = HashSet::new();
            for item in &reference.items {
                let composition = item.composition().filter(|c| c.num_elements() > 1);
                match (composition, formation(item, settings)) {
                    (Some(c), Some(energy)) if names.insert(&item.id) => {
                        given.push(PhaseEntry::per_atom(item.id.clone(), c, energy));
                    }
                    (Some(_), None) => failed += 1,
                    _ => {}
                }
            }
            // What an element counts from is a crystal that the potential has an energy of.
            given.extend(terminals.keys().map(|e| PhaseEntry::element(*e)));
            let count = given.len() - terminals.len();
            (given, format!("formation energies `{}`", settings.formation_energy), (count, failed))
        }
    };
    let scale = EnergyScale { kind: EnergyKind::Total, method: Some(method) };
    let agreement = of_reference.and_then(|known| {
        let pair = |item: &Item| {
            let structure = item.structure()?;
            let composition = Composition::from_species(&structure.species);
            let own = energy(known, structure)? - elemental_energy(&composition, &terminals)?;
            Some((composition, own, formation(item, settings)?))
        };
        Agreement::of(reference.items.iter().filter_map(pair))
    });
    let hull = Hull::new(HullEntries::computed(entries, scale, &reference.name), [])?;
    let summary = ReferenceSummary {
        set: reference.name.clone(),
        energies: settings.references,
        corrections: settings.corrections,
        entries: count,
        failed,
        terminals,
        missing,
        agreement,
        hull: hull.describe(),
    };
    Ok((hull, summary))
}

fn formation(item: &Item, settings: &ScreenSettings) -> Option<f64> {
    let value = item.properties().get(&settings.formation_energy)?;
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|e: &f64| e.is_finite())
}

/// Energy (eV/atom) of the elements in the ratio of a composition.
fn elemental_energy(composition: &Composition, terminals: &BTreeMap<Element, Terminal>) -> Option<f64> {
    let atoms = composition.num_atoms() as f64;
    let share =
        |(e, count): (Element, u32)| Some(f64::from(count) / atoms * terminals.get(&e)?.energy_per_atom);
    composition.iter().map(share).sum()
}

/// Places the standing candidates against the hull; those without one fall.
///
/// # Errors
/// [`RunError::Hull`].
pub(super) fn place(
    rows: &mut [ScreenRow],
    hull: &Hull,
    summary: &ReferenceSummary,
    settings: &ScreenSettings,
) -> Result<(), RunError> {
    let mut items: Vec<Item> = Vec::new();
    for row in rows.iter_mut().filter(|row| row.stands()) {
        let Some(structure) = &row.structure else { continue };
        let composition = Composition::from_species(&structure.species);
        let elements = elemental_energy(&composition, &summary.terminals);
        row.formation_energy_per_atom =
            row.corrected().zip(elements).map(|(energy, elements)| energy - elements);
        if let Some(binding) = row.formation_energy_per_atom.filter(|e| *e < STRONGEST_BINDING) {
            let reason = format!(
                "a formation energy of {binding:.2} eV/atom: no compound is below {STRONGEST_BINDING}, the potential fails here"
            );
            row.fall(Gate::Hull, "an energy that cannot be", reason);
            continue;
        }
        let mut structure = structure.clone();
        let energy = match settings.references {
            References::Given => row.formation_energy_per_atom,
            References::Relaxed | References::AsTheyAre => row.corrected(),
        };
        structure.properties.extend(energy.map(|e| (PLACED.to_owned(), e.into())));
        items.push(item(row.id.clone(), structure));
    }
    let standing: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].stands()).collect();
    let column =
        EnergyColumn { name: PLACED.to_owned(), amount: EnergyAmount::PerAtom, scale: hull.scale.clone() };
    let listing = Listing { name: "candidates".into(), items, ..Listing::default() };
    let placed = hull.query(&listing, &column, false)?;
    for (i, phase) in standing.into_iter().zip(placed) {
        let row = &mut rows[i];
        row.compounds = Some(phase.compounds);
        match phase.e_above_hull {
            Some(above) => {
                row.e_above_hull = Some(above);
                row.within = Some(above <= settings.max_e_above_hull);
                row.decomposition = phase.decomposition;
            }
            None => {
                let reason = phase.error.unwrap_or_else(|| "there is no hull".to_owned());
                let reason = format!(
                    "{reason}: neither the reference nor the table of elements has a crystal of it with an energy by the potential"
                );
                row.fall(Gate::Hull, "no energy of an element", reason);
            }
        }
    }
    Ok(())
}
