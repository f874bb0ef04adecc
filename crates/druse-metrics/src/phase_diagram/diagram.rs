//! A phase diagram and what it is asked for.

use std::collections::{BTreeMap, HashMap};

use druse_crystal::{Composition, Element};

use super::simplex::{Columns, Mixture};
use super::{ChemicalSystem, HullError, LEAST_SHARE, PhaseEntry};

/// The lower hulls of all chemical systems that some entries span.
#[derive(Debug, Clone)]
pub struct PhaseDiagram {
    pub(super) entries: Vec<PhaseEntry>,
    /// Lowest entry of each element.
    pub(super) references: BTreeMap<Element, usize>,
    /// Lowest entry of each reduced composition.
    pub(super) lowest: HashMap<Composition, usize>,
    /// Whether an entry is the lowest of its composition and on the hull.
    pub(super) stable: Vec<bool>,
    /// What is known of each system that has entries of all of its elements, elements apart.
    pub(super) compounds: HashMap<ChemicalSystem, Compounds>,
    /// The keys of `compounds` in an order that does not change from run to run.
    pub(super) systems: Vec<ChemicalSystem>,
}

/// Compounds of one chemical system, those of its subsets apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Compounds {
    /// Those on the hull.
    pub stable: Vec<Phase>,
    /// Number of reduced compositions.
    pub compositions: usize,
}

/// The lowest entry of a composition.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    pub entry: usize,
    /// Formation energy (eV/atom).
    pub formation: f64,
    /// Atomic numbers with their fractions of the atoms.
    pub fractions: Vec<(u8, f64)>,
}

impl Phase {
    pub fn new(entry: usize, formation: f64, composition: &Composition) -> Self {
        Self { entry, formation, fractions: fractions(composition).collect() }
    }
}

fn fractions(composition: &Composition) -> impl Iterator<Item = (u8, f64)> + '_ {
    let atoms = composition.num_atoms() as f64;
    composition.iter().map(move |(e, count)| (e.z(), f64::from(count) / atoms))
}

/// The hull at a composition.
#[derive(Debug, Clone, PartialEq)]
pub struct HullPoint {
    /// Energy of the hull (eV/atom), on the scale of the entries.
    pub energy_per_atom: f64,
    /// The same, counted from the elements (eV/atom).
    pub formation_energy_per_atom: f64,
    /// The phases that the composition decomposes into, the largest share first. Where facets lie in one plane or
    /// polymorphs have one energy, this is one of several answers; the energies are the same for all.
    pub phases: Vec<PhaseShare>,
}

/// A phase of a decomposition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseShare {
    /// Index in [`PhaseDiagram::entries`].
    pub entry: usize,
    /// Its fraction of the atoms; those of a decomposition sum to 1.
    pub fraction: f64,
}

impl PhaseDiagram {
    /// The entries; of those that were given twice, the first.
    pub fn entries(&self) -> &[PhaseEntry] {
        &self.entries
    }

    /// The entry that formation energies of an element are counted from: its lowest; `None` without one.
    pub fn reference(&self, element: Element) -> Option<&PhaseEntry> {
        self.references.get(&element).map(|&i| &self.entries[i])
    }

    /// The elements of a system that no entry consists of, so that nothing in the system has a formation energy.
    pub fn missing_elements(&self, system: ChemicalSystem) -> Vec<Element> {
        system.elements().filter(|e| !self.references.contains_key(e)).collect()
    }

    /// Chemical systems of two or more elements with entries of all of them, small ones first.
    pub fn systems(&self) -> &[ChemicalSystem] {
        &self.systems
    }

    /// Number of different compositions of compounds among the entries that a system or its subsets have: what a phase of it
    /// is compared with, besides the elements.
    pub fn num_compounds(&self, system: ChemicalSystem) -> usize {
        self.within(system).map(|(_, compounds)| compounds.compositions).sum()
    }

    /// Formation energy (eV/atom) of an energy per atom (eV/atom).
    ///
    /// # Errors
    /// [`HullError::MissingElements`], [`HullError::NoAtoms`].
    pub fn formation_energy(
        &self,
        composition: &Composition,
        energy_per_atom: f64,
    ) -> Result<f64, HullError> {
        Ok(energy_per_atom - self.elemental_energy(composition)?)
    }

    /// Whether an entry is on the hull: a compound of negative formation energy that no mixture lies below, or the reference of
    /// an element. Of polymorphs with one energy the first counts.
    ///
    /// # Panics
    /// For an index that is no entry's.
    pub fn is_stable(&self, entry: usize) -> bool {
        self.stable[entry]
    }

    /// Indices of the entries on the hull.
    pub fn stable_entries(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len()).filter(|&i| self.stable[i])
    }

    /// Indices of the entries on the hull of one system, its elements included.
    pub fn stable_in(&self, system: ChemicalSystem) -> Vec<usize> {
        let elements = system.elements().filter_map(|e| self.references.get(&e).copied());
        let compounds = self.within(system).flat_map(|(_, c)| c.stable.iter().map(|p| p.entry));
        let mut all: Vec<usize> = elements.chain(compounds).collect();
        all.sort_unstable();
        all
    }

    /// The hull at a composition.
    ///
    /// # Errors
    /// [`HullError`].
    pub fn hull(&self, composition: &Composition) -> Result<HullPoint, HullError> {
        let elemental = self.elemental_energy(composition)?;
        if let Some(&entry) = self.lowest.get(&composition.reduced().0)
            && self.stable[entry]
        {
            let energy_per_atom = self.entries[entry].energy_per_atom();
            let phases = vec![PhaseShare { entry, fraction: 1.0 }];
            return Ok(HullPoint {
                energy_per_atom,
                formation_energy_per_atom: energy_per_atom - elemental,
                phases,
            });
        }
        let programme = self.programme(ChemicalSystem::from(composition));
        Ok(programme.point(&programme.solve(composition, None)?, elemental))
    }

    /// How far an energy per atom lies above the hull (eV/atom); negative for a phase below it, which no entry is.
    ///
    /// # Errors
    /// [`HullError`].
    pub fn energy_above_hull(
        &self,
        composition: &Composition,
        energy_per_atom: f64,
    ) -> Result<f64, HullError> {
        Ok(energy_per_atom - self.hull(composition)?.energy_per_atom)
    }

    /// How far an entry lies above the hull (eV/atom): 0 for a stable one, else not below 0.
    ///
    /// # Errors
    /// [`HullError`].
    ///
    /// # Panics
    /// For an index that is no entry's.
    pub fn entry_above_hull(&self, entry: usize) -> Result<f64, HullError> {
        if self.stable[entry] {
            return Ok(0.0);
        }
        let PhaseEntry { composition, .. } = &self.entries[entry];
        let above = self.energy_above_hull(composition, self.entries[entry].energy_per_atom())?;
        // What is below 0 is the rounding of an entry that the hull touches.
        Ok(above.max(0.0))
    }

    /// Energy (eV/atom) of a stable compound against the phases that it forms from: its energy above the hull of the other stable
    /// entries, which is negative (0 where it lies on their tie line); `None` for elements and for entries that are not stable.
    ///
    /// # Errors
    /// [`HullError::Rounding`].
    ///
    /// # Panics
    /// For an index that is no entry's.
    pub fn equilibrium_reaction_energy(&self, entry: usize) -> Result<Option<f64>, HullError> {
        let PhaseEntry { composition, .. } = &self.entries[entry];
        if !self.stable[entry] || composition.num_elements() < 2 {
            return Ok(None);
        }
        let programme = self.programme(ChemicalSystem::from(composition));
        let without = programme.entries.iter().position(|&e| e == entry);
        let others = programme.solve(composition, without)?;
        let formation = self.formation_energy(composition, self.entries[entry].energy_per_atom())?;
        Ok(Some(formation - others.energy))
    }

    /// Energy (eV/atom) of the elements in the ratio of a composition.
    pub(super) fn elemental_energy(&self, composition: &Composition) -> Result<f64, HullError> {
        if composition.is_empty() {
            return Err(HullError::NoAtoms);
        }
        let atoms = composition.num_atoms() as f64;
        let mut sum = 0.0;
        for (element, count) in composition.iter() {
            let Some(&reference) = self.references.get(&element) else {
                let system = ChemicalSystem::from(composition);
                return Err(HullError::MissingElements { system, elements: self.missing_elements(system) });
            };
            sum += f64::from(count) / atoms * self.entries[reference].energy_per_atom();
        }
        Ok(sum)
    }

    /// Systems of compounds that are `system` or part of it.
    fn within(&self, system: ChemicalSystem) -> impl Iterator<Item = (ChemicalSystem, &Compounds)> {
        // Looking all subsets up is quicker than looking at all systems, unless there are too many.
        let few = system.len() < 20 && (1usize << system.len()) <= self.systems.len();
        let subsets = few.then(|| system.subsets()).into_iter().flatten();
        let scanned = self.systems.iter().copied().filter(move |s| !few && s.is_subset(system));
        subsets.chain(scanned).filter_map(|s| Some((s, self.compounds.get(&s)?)))
    }

    /// The programme of a system: its elements and the stable compounds of its subsets.
    pub(super) fn programme(&self, system: ChemicalSystem) -> Programme {
        let mut programme = Programme::new(system, &self.references);
        for (_, compounds) in self.within(system) {
            compounds.stable.iter().for_each(|phase| programme.add(phase));
        }
        programme
    }
}

/// The phases that may take part in the hull of a system.
pub(super) struct Programme {
    system: ChemicalSystem,
    /// Place of each element, by atomic number.
    place: [u8; 128],
    columns: Columns,
    /// The entry of each column.
    entries: Vec<usize>,
}

impl Programme {
    fn new(system: ChemicalSystem, references: &BTreeMap<Element, usize>) -> Self {
        let mut place = [0; 128];
        let mut entries = Vec::new();
        for (k, element) in system.elements().enumerate() {
            place[usize::from(element.z())] = k as u8;
            // Whoever asks has seen to it that no element is missing.
            entries.push(references.get(&element).copied().unwrap_or(usize::MAX));
        }
        Self { system, place, columns: Columns::elements(system.len()), entries }
    }

    /// Adds a phase.
    pub fn add(&mut self, phase: &Phase) {
        let place = &self.place;
        let fractions = phase.fractions.iter().map(|(z, x)| (usize::from(place[usize::from(*z)]), *x));
        self.columns.push(phase.formation, fractions);
        self.entries.push(phase.entry);
    }

    /// The mixture of lowest energy at a composition of all elements of the system.
    pub fn solve(&self, composition: &Composition, without: Option<usize>) -> Result<Mixture, HullError> {
        // Elements in the order of the columns' rows, by atomic number.
        let x: Vec<f64> = fractions(composition).map(|(_, fraction)| fraction).collect();
        self.columns.lowest(&x, without).ok_or(HullError::Rounding { system: self.system })
    }

    /// The entries at the corners of the facet that a mixture lies on, those without a share included.
    pub fn corners<'a>(&'a self, mixture: &'a Mixture) -> impl Iterator<Item = usize> + 'a {
        mixture.phases.iter().map(|(column, _)| self.entries[*column])
    }

    fn point(&self, mixture: &Mixture, elemental: f64) -> HullPoint {
        let mut phases: Vec<PhaseShare> = mixture
            .phases
            .iter()
            .filter(|(_, fraction)| *fraction >= LEAST_SHARE)
            .map(|&(column, fraction)| PhaseShare { entry: self.entries[column], fraction })
            .collect();
        phases.sort_by(|a, b| b.fraction.total_cmp(&a.fraction).then(a.entry.cmp(&b.entry)));
        HullPoint {
            energy_per_atom: elemental + mixture.energy,
            formation_energy_per_atom: mixture.energy,
            phases,
        }
    }
}
