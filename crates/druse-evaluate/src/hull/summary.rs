//! What a hull holds.

use std::collections::{BTreeMap, BTreeSet};

use druse_crystal::Element;
use druse_metrics::phase_diagram::ChemicalSystem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EnergyScale, Hull, HullInputError, PhaseRow};

/// Numbers of a hull.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HullSummary {
    /// Where the entries are from.
    pub source: String,
    /// What their energies count from.
    pub scale: EnergyScale,
    /// BLAKE3 over compositions and energies.
    pub hash: String,
    /// Entries, elements at 0 included.
    pub entries: usize,
    /// Elements with an entry.
    pub elements: usize,
    /// Elements that compounds hold, but no entry consists of: nothing with them has a hull.
    #[schemars(with = "Vec<String>")]
    pub missing_elements: Vec<Element>,
    /// Chemical systems of two or more elements with a compound of all of them, by number of elements.
    pub systems: BTreeMap<usize, usize>,
    /// Compounds on the hull, by number of elements.
    pub stable: BTreeMap<usize, usize>,
    /// Systems with too few references.
    pub few_references: Vec<FewReferences>,
}

/// A system with fewer compounds, its subsets' included, than elements: next to nothing competes with its phases, so that
/// "stable" says little.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FewReferences {
    /// The system.
    #[schemars(with = "String")]
    pub system: ChemicalSystem,
    /// Number of different compounds of its elements.
    pub compounds: usize,
}

/// The phase diagram of one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemSummary {
    /// The system.
    #[schemars(with = "String")]
    pub system: ChemicalSystem,
    /// Entries of the system and its subsets.
    pub entries: usize,
    /// Different compounds among them.
    pub compounds: usize,
    /// The phases on the hull.
    pub stable: Vec<PhaseRow>,
    /// The others, by rising energy above hull.
    pub unstable: Vec<PhaseRow>,
}

impl Hull {
    /// Numbers of the whole.
    pub fn summary(&self) -> HullSummary {
        let d = &self.diagram;
        let (mut systems, mut stable) = (BTreeMap::new(), BTreeMap::new());
        d.systems().iter().for_each(|s| *systems.entry(s.len()).or_default() += 1);
        let on_hull = d.stable_entries().map(|i| d.entries()[i].system().len()).filter(|n| *n > 1);
        on_hull.for_each(|n| *stable.entry(n).or_default() += 1);
        let few = |s: &ChemicalSystem| {
            let compounds = d.num_compounds(*s);
            (compounds < s.len()).then_some(FewReferences { system: *s, compounds })
        };
        let all: BTreeSet<Element> = d.entries().iter().flat_map(|e| e.composition.elements()).collect();
        let missing_elements = d.missing_elements(ChemicalSystem::of(all.iter().copied()));
        HullSummary {
            source: self.source.clone(),
            scale: self.scale.clone(),
            hash: self.hash.clone(),
            entries: d.entries().len(),
            elements: all.len() - missing_elements.len(),
            missing_elements,
            systems,
            stable,
            few_references: d.systems().iter().filter_map(few).collect(),
        }
    }

    /// The phase diagram of a system.
    ///
    /// # Errors
    /// [`HullInputError::Hull`] for a missing element.
    pub fn system(&self, system: ChemicalSystem) -> Result<SystemSummary, HullInputError> {
        let elements = self.diagram.missing_elements(system);
        if !elements.is_empty() {
            return Err(druse_metrics::phase_diagram::HullError::MissingElements { system, elements }.into());
        }
        let on_hull: BTreeSet<&str> = self
            .diagram
            .stable_in(system)
            .into_iter()
            .map(|i| self.diagram.entries()[i].id.as_str())
            .collect();
        let rows = self.entries_of(system);
        let entries = rows.len();
        let (stable, unstable) = rows.into_iter().partition(|row| on_hull.contains(row.id.as_str()));
        let compounds = self.diagram.num_compounds(system);
        Ok(SystemSummary { system, entries, compounds, stable, unstable })
    }
}
