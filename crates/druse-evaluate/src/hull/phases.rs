//! Phases against a hull, a row each.

use druse_data::{Item, Listing};
use druse_metrics::phase_diagram::{ChemicalSystem, HullError, HullPoint, PhaseDiagram};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnergyColumn, Hull, HullInputError, composition};

/// A phase of a decomposition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// Identifier of the entry.
    pub id: String,
    /// Its reduced formula.
    pub formula: String,
    /// Its fraction of the atoms.
    pub fraction: f64,
}

/// A phase and where it lies; energies in eV/atom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseRow {
    /// Identifier.
    pub id: String,
    /// Reduced formula; empty where the row has no composition.
    pub formula: String,
    /// Its energy, on the scale of the entries.
    pub energy_per_atom: Option<f64>,
    /// Its energy counted from the elements.
    pub formation_energy_per_atom: Option<f64>,
    /// Its energy above the hull; negative below it.
    pub e_above_hull: Option<f64>,
    /// What it decomposes into; for a stable phase of the diagram itself.
    pub decomposition: Vec<Share>,
    /// Number of different compounds among the entries of its elements.
    pub compounds: usize,
    /// For a stable compound of the diagram: its energy above the hull of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equilibrium_reaction_energy: Option<f64>,
    /// Why something is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl PhaseRow {
    fn failed(id: String, formula: String, error: String) -> Self {
        Self {
            id,
            formula,
            energy_per_atom: None,
            formation_energy_per_atom: None,
            e_above_hull: None,
            decomposition: Vec::new(),
            compounds: 0,
            equilibrium_reaction_energy: None,
            error: Some(error),
        }
    }

    /// The decomposition in words: `0.75 Li2O + 0.25 Li`.
    pub fn decomposition_text(&self) -> String {
        let parts: Vec<String> = self
            .decomposition
            .iter()
            .map(|s| format!("{:.4} {} ({})", s.fraction, s.formula, s.id))
            .collect();
        parts.join(" + ")
    }
}

impl Hull {
    /// Where the rows of a set lie, in order, on all threads. A row without composition, energy or hull has the reason.
    ///
    /// # Errors
    /// [`HullInputError::Scales`] for energies on another scale, unless `forced`.
    pub fn query(
        &self,
        listing: &Listing,
        energy: &EnergyColumn,
        forced: bool,
    ) -> Result<Vec<PhaseRow>, HullInputError> {
        self.accept(energy, forced)?;
        Ok(listing.items.par_iter().map(|item| self.place(item, energy)).collect())
    }

    /// Refuses energies on another scale, unless `forced`.
    ///
    /// # Errors
    /// [`HullInputError::Scales`].
    pub fn accept(&self, energy: &EnergyColumn, forced: bool) -> Result<(), HullInputError> {
        match self.scale.differs(&energy.scale) {
            Some(_) if !forced => {
                Err(HullInputError::Scales { entries: self.scale.clone(), queries: energy.scale.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Where the entries of a system and its subsets lie, by rising energy above hull.
    pub fn entries_of(&self, system: ChemicalSystem) -> Vec<PhaseRow> {
        let of_system = |i: &usize| self.diagram.entries()[*i].system().is_subset(system);
        let indices: Vec<usize> = (0..self.diagram.entries().len()).filter(of_system).collect();
        let mut rows: Vec<PhaseRow> = indices.into_par_iter().map(|i| self.entry(i)).collect();
        let above = |row: &PhaseRow| row.e_above_hull.unwrap_or(f64::INFINITY);
        rows.sort_by(|a, b| above(a).total_cmp(&above(b)).then_with(|| a.id.cmp(&b.id)));
        rows
    }

    /// Where all entries lie, in order.
    pub fn all_entries(&self) -> Vec<PhaseRow> {
        (0..self.diagram.entries().len()).into_par_iter().map(|i| self.entry(i)).collect()
    }

    fn entry(&self, i: usize) -> PhaseRow {
        let entry = &self.diagram.entries()[i];
        let (energy, formula) = (entry.energy_per_atom(), entry.composition.reduced_formula());
        let found = || -> Result<PhaseRow, HullError> {
            let point = self.diagram.hull(&entry.composition)?;
            Ok(PhaseRow {
                id: entry.id.clone(),
                formula: formula.clone(),
                energy_per_atom: Some(energy),
                formation_energy_per_atom: Some(self.diagram.formation_energy(&entry.composition, energy)?),
                e_above_hull: Some(self.diagram.entry_above_hull(i)?),
                decomposition: shares(&self.diagram, &point),
                compounds: self.diagram.num_compounds(entry.system()),
                equilibrium_reaction_energy: self.diagram.equilibrium_reaction_energy(i)?,
                error: None,
            })
        };
        found().unwrap_or_else(|e| PhaseRow {
            energy_per_atom: Some(energy),
            ..PhaseRow::failed(entry.id.clone(), formula.clone(), e.to_string())
        })
    }

    fn place(&self, item: &Item, energy: &EnergyColumn) -> PhaseRow {
        let composition = match composition(item) {
            Ok(composition) => composition,
            Err(reason) => return PhaseRow::failed(item.id.clone(), String::new(), reason),
        };
        let mut row = PhaseRow::failed(item.id.clone(), composition.reduced_formula(), String::new());
        row.compounds = self.diagram.num_compounds(ChemicalSystem::from(&composition));
        let mut found = || -> Result<(), String> {
            let energy = energy.energy_per_atom(item, composition.num_atoms())?;
            row.energy_per_atom = Some(energy);
            let point = self.diagram.hull(&composition).map_err(|e| e.to_string())?;
            let formation = self.diagram.formation_energy(&composition, energy).map_err(|e| e.to_string())?;
            row.formation_energy_per_atom = Some(formation);
            row.e_above_hull = Some(energy - point.energy_per_atom);
            row.decomposition = shares(&self.diagram, &point);
            Ok(())
        };
        row.error = found().err();
        row
    }
}

fn shares(diagram: &PhaseDiagram, point: &HullPoint) -> Vec<Share> {
    let share = |s: &druse_metrics::phase_diagram::PhaseShare| {
        let entry = &diagram.entries()[s.entry];
        Share { id: entry.id.clone(), formula: entry.composition.reduced_formula(), fraction: s.fraction }
    };
    point.phases.iter().map(share).collect()
}
