//! From entries to the hulls of all their chemical systems.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use druse_crystal::{Composition, Element};
use rayon::prelude::*;

use super::diagram::{Compounds, Phase};
use super::{ChemicalSystem, EntriesError, HullError, PhaseDiagram, PhaseEntry, SAME_ENERGY};

/// Compounds of a formation energy above this (eV/atom) never are on a hull.
const LEAST_BINDING: f64 = -1e-11;

impl PhaseDiagram {
    /// The hulls of all chemical systems of the entries, on all threads. An entry that stands twice counts once.
    ///
    /// An element without an entry is no error here: what needs it is refused when it is asked for.
    ///
    /// # Errors
    /// [`EntriesError`]: an entry without atoms or energy, or one that contradicts itself.
    pub fn new(entries: Vec<PhaseEntry>) -> Result<Self, EntriesError> {
        let entries = distinct(entries)?;
        let (references, lowest) = lowest(&entries);
        let mut stable = vec![false; entries.len()];
        references.values().for_each(|&entry| stable[entry] = true);
        let mut diagram =
            Self { entries, references, lowest, stable, compounds: HashMap::new(), systems: Vec::new() };
        let mut candidates = diagram.candidates();
        let mut order: Vec<ChemicalSystem> = candidates.keys().copied().collect();
        order.sort_unstable_by_key(|s| (s.len(), *s));
        // The hull of a system reads those of smaller ones.
        for level in order.chunk_by(|a, b| a.len() == b.len()) {
            let found: Vec<(ChemicalSystem, Compounds)> = level
                .iter()
                .map(|system| (*system, candidates.remove(system).unwrap_or_default()))
                .collect::<Vec<_>>()
                .into_par_iter()
                .map(|(system, Compounds { stable, compositions })| {
                    let stable = diagram.on_hull(system, stable)?;
                    Ok((system, Compounds { stable, compositions }))
                })
                .collect::<Result<_, HullError>>()?;
            for (system, compounds) in found {
                compounds.stable.iter().for_each(|phase| diagram.stable[phase.entry] = true);
                diagram.compounds.insert(system, compounds);
            }
            diagram.systems.extend(level);
        }
        Ok(diagram)
    }

    /// Compounds that may be on the hull of their system: the lowest of their composition, with negative formation energy.
    fn candidates(&self) -> HashMap<ChemicalSystem, Compounds> {
        let mut all: HashMap<ChemicalSystem, Compounds> = HashMap::new();
        for (composition, &entry) in self.lowest.iter().filter(|(c, _)| c.num_elements() > 1) {
            let compounds = all.entry(ChemicalSystem::from(composition)).or_default();
            compounds.compositions += 1;
            let energy = self.entries[entry].energy_per_atom();
            if let Ok(formation) = self.formation_energy(composition, energy)
                && formation <= LEAST_BINDING
            {
                compounds.stable.push(Phase::new(entry, formation, composition));
            }
        }
        all
    }

    /// Those of a system's own compounds that are on its hull.
    fn on_hull(&self, system: ChemicalSystem, mut phases: Vec<Phase>) -> Result<Vec<Phase>, HullError> {
        if phases.is_empty() {
            return Ok(phases);
        }
        phases.sort_by(|a, b| a.formation.total_cmp(&b.formation).then(a.entry.cmp(&b.entry)));
        let mut programme = self.programme(system);
        // A hull only sinks when phases are added, so what lies above an earlier one is out for good.
        let mut kept = Vec::new();
        for phase in phases {
            let composition = &self.entries[phase.entry].composition;
            if phase.formation - programme.solve(composition, None)?.energy <= SAME_ENERGY {
                programme.add(&phase);
                kept.push(phase);
            }
        }
        // All corners of an optimal facet are on the hull, so that one solution settles several phases.
        let mut settled: HashSet<usize> = HashSet::new();
        let mut on_hull = Vec::new();
        for phase in kept {
            if !settled.contains(&phase.entry) {
                let composition = &self.entries[phase.entry].composition;
                let mixture = programme.solve(composition, None)?;
                settled.extend(programme.corners(&mixture));
                if phase.formation - mixture.energy > SAME_ENERGY {
                    continue;
                }
            }
            on_hull.push(phase);
        }
        on_hull.sort_by_key(|phase| phase.entry);
        Ok(on_hull)
    }
}

/// The entries without repetitions.
fn distinct(entries: Vec<PhaseEntry>) -> Result<Vec<PhaseEntry>, EntriesError> {
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(entries.len());
    let mut kept: Vec<PhaseEntry> = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.composition.is_empty() {
            return Err(EntriesError::NoAtoms { id: entry.id });
        }
        if !entry.energy.is_finite() {
            return Err(EntriesError::NotFinite { id: entry.id, energy: entry.energy });
        }
        match seen.entry(entry.id.clone()) {
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(entry);
            }
            Entry::Occupied(place) => {
                let first = &kept[*place.get()];
                if first.contradicts(&entry) {
                    let (first, second) = (first.to_string(), entry.to_string());
                    return Err(EntriesError::Contradiction { id: entry.id, first, second });
                }
            }
        }
    }
    Ok(kept)
}

/// Lowest entry of each element and of each reduced composition; of equal ones the first.
fn lowest(entries: &[PhaseEntry]) -> (BTreeMap<Element, usize>, HashMap<Composition, usize>) {
    let mut lowest: HashMap<Composition, usize> = HashMap::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        lowest
            .entry(entry.composition.reduced().0)
            .and_modify(|best| {
                if entry.energy_per_atom() < entries[*best].energy_per_atom() {
                    *best = i;
                }
            })
            .or_insert(i);
    }
    let elemental = lowest.iter().filter(|(c, _)| c.num_elements() == 1);
    let references = elemental.flat_map(|(c, &entry)| c.elements().map(move |e| (e, entry))).collect();
    (references, lowest)
}
