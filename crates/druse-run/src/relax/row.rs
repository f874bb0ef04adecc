//! One row of a relaxation.

use std::collections::BTreeMap;

use druse_crystal::{Composition, Properties};
use druse_data::{Item, JsonlRecord};
use druse_relax::{End, Relaxed};
use serde_json::{Value, json};

use super::plan::SPACE_GROUP;
use crate::energies::Energies;
use crate::output::Failure;

/// Property with the name of the potential, which tells energies of different scales apart.
pub const POTENTIAL: &str = "potential";

/// How a row of the input without a structure ends.
pub(super) const NO_STRUCTURE: &str = "no_structure";

/// What became of one row of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct RelaxRow {
    /// Its index in the input, from 0.
    pub index: u64,
    /// Its identifier in the input.
    pub id: String,
    /// Its reduced formula; empty where the row does not tell its elements.
    pub formula: String,
    /// Its properties in the input.
    pub properties: Properties,
    /// Name of the potential.
    pub potential: String,
    /// What became of it.
    pub end: RowEnd,
}

/// How a row ended.
#[derive(Debug, Clone, PartialEq)]
pub enum RowEnd {
    /// It was relaxed, whatever came of it.
    Relaxed(Box<Relaxed>),
    /// The input has no structure there, for this reason.
    Absent(String),
}

impl RelaxRow {
    pub(super) fn new(index: u64, item: &Item, potential: &str, end: RowEnd) -> Self {
        Self {
            index,
            id: item.id.clone(),
            formula: item.composition().map_or(String::new(), |c| c.reduced_formula()),
            properties: item.properties().clone(),
            potential: potential.to_owned(),
            end,
        }
    }

    /// The relaxation, where there was one.
    pub fn relaxed(&self) -> Option<&Relaxed> {
        match &self.end {
            RowEnd::Relaxed(relaxed) => Some(relaxed),
            RowEnd::Absent(_) => None,
        }
    }

    /// The energies of all potentials, where there are several.
    pub fn energies(&self) -> Option<Energies> {
        Energies::new(&self.potential, self.relaxed()?)
    }

    /// How it ended, in a word: [`End::name`], or `no_structure`.
    pub fn end_name(&self) -> &'static str {
        self.relaxed().map_or(NO_STRUCTURE, |relaxed| relaxed.end.name())
    }

    /// Why there is no relaxed structure, unless there is one.
    pub fn failure(&self) -> Option<String> {
        match &self.end {
            RowEnd::Absent(reason) => Some(reason.clone()),
            RowEnd::Relaxed(relaxed) if relaxed.end.gives_structure() => None,
            RowEnd::Relaxed(relaxed) => Some(relaxed.end.to_string()),
        }
    }

    /// The line of a row with a relaxed structure, or of one without.
    ///
    /// # Errors
    /// [`Failure`] is the line of a row without.
    pub fn line(&self) -> Result<Box<JsonlRecord>, Failure> {
        let mut all: BTreeMap<String, Value> = self.properties.clone();
        match &self.end {
            RowEnd::Relaxed(relaxed) => {
                all.extend(properties(relaxed));
                all.insert(POTENTIAL.into(), self.potential.as_str().into());
                if let Some(energies) = self.energies() {
                    energies.properties(&mut all);
                }
            }
            RowEnd::Absent(_) => _ = all.insert("relax_end".into(), self.end_name().into()),
        }
        match (&self.end, self.failure()) {
            (RowEnd::Relaxed(relaxed), None) => {
                all.insert("index".into(), self.index.into());
                let mut structure = relaxed.structure.clone();
                structure.properties = Properties::new();
                let (id, formula) = (self.id.clone(), self.formula.clone());
                Ok(Box::new(JsonlRecord { id, formula, structure, properties: all }))
            }
            (end, reason) => {
                // The input's index is that of another run.
                all.remove("index");
                let label = match end {
                    RowEnd::Relaxed(relaxed) => {
                        Composition::from_species(&relaxed.structure.species).formula()
                    }
                    RowEnd::Absent(_) => self.formula.clone(),
                };
                Err(Failure {
                    index: self.index,
                    id: Some(self.id.clone()),
                    label,
                    reason: reason.unwrap_or_default(),
                    properties: all,
                })
            }
        }
    }
}

/// The figures of a relaxation as properties of a structure; their names begin with `relax_`.
pub fn properties(relaxed: &Relaxed) -> Properties {
    let mut all = Properties::new();
    let mut put = |name: &str, value: Value| _ = all.insert(format!("relax_{name}"), value);
    put("end", relaxed.end.name().into());
    put("converged", (relaxed.end == End::Converged).into());
    put("steps", relaxed.steps.into());
    if let Some(figures) = &relaxed.figures {
        put("energy", figures.energy.into());
        put("energy_per_atom", figures.energy_per_atom().into());
        put("start_energy_per_atom", figures.start_energy_per_atom().into());
        put("fmax", figures.fmax.into());
        put("max_force", figures.max_force.into());
        let s = &figures.stress;
        put("stress", json!([s[0][0], s[1][1], s[2][2], s[1][2], s[0][2], s[0][1]]));
        put("pressure", figures.internal_pressure().into());
        put("start_volume", figures.start_volume.into());
        put("volume", figures.volume.into());
        put("volume_change", figures.volume_change().into());
        put("rmsd", figures.displacement.rms.into());
        put("max_displacement", figures.displacement.max.into());
        if let Some(moments) = &figures.magnetic_moments {
            put("magnetic_moments", json!(moments));
        }
    }
    if let Some(number) = relaxed.space_group {
        all.insert(SPACE_GROUP.into(), number.into());
    }
    all
}
