//! The result of an evaluation: what `--json` writes, reports show and comparisons read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use druse_data::Listing;
use druse_metrics::Metric;
use druse_metrics::generation::Protocol;
use druse_metrics::stability::StabilityDefinition;
use druse_metrics::symmetry::SymmetryStatistics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Chart, EvaluateError};

/// Version of the layout of [`Evaluation`].
pub const FORMAT: u32 = 1;

/// What was evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// A generated set against a reference set.
    Generation,
    /// Each structure against the one it was made from.
    Reconstruction,
    /// Candidates against the structure that was asked for.
    Prediction,
    /// Relaxed structures against a hull.
    Stability,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Generation => "generation",
            Self::Reconstruction => "reconstruction",
            Self::Prediction => "prediction",
            Self::Stability => "stability",
        })
    }
}

/// A set that took part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetSummary {
    /// Short name: `mp_20/test`.
    pub name: String,
    /// Where it was read from.
    pub path: PathBuf,
    /// BLAKE3 over cells, species and coordinates: the same set has the same hash, whatever its file.
    pub structures_hash: String,
    /// Rows of the source.
    pub rows: usize,
    /// Rows that give a structure.
    pub structures: usize,
}

impl SetSummary {
    /// Of a set.
    pub fn of(listing: &Listing) -> Self {
        Self {
            name: listing.name.clone(),
            path: listing.path.clone(),
            structures_hash: listing.structures_hash(),
            rows: listing.len(),
            structures: listing.items.iter().filter(|i| i.structure().is_some()).count(),
        }
    }
}

/// A row and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowReason {
    /// Index in the set, from 0.
    pub index: usize,
    /// Identifier.
    pub id: String,
    /// The file.
    pub file: PathBuf,
    /// Row of the table or number in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// Line of the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The reason.
    pub reason: String,
}

impl RowReason {
    /// Of row `index` of a set.
    pub(crate) fn of(listing: &Listing, index: usize, reason: impl Into<String>) -> Self {
        let item = &listing.items[index];
        let (id, file) = (item.id.clone(), item.file.clone());
        Self { index, id, file, row: item.row, line: item.line, reason: reason.into() }
    }

    /// The rows of a set that give no structure.
    pub(crate) fn without_structure(listing: &Listing) -> Vec<Self> {
        let rows = listing.items.iter().enumerate();
        rows.filter_map(|(i, item)| Some(Self::of(listing, i, item.reason()?))).collect()
    }
}

/// A generated structure and the reference closest to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClosestReference {
    /// Index in the generated set, from 0.
    pub index: usize,
    /// Identifier of the generated structure.
    pub id: String,
    /// Its reduced formula.
    pub formula: String,
    /// Identifier of the reference.
    pub reference: String,
    /// Reduced formula of the reference.
    pub reference_formula: String,
    /// Distance of the CrystalNN fingerprints, or normalized RMS distance of a matched pair.
    pub distance: f64,
    /// Why the generated structure is invalid; `None` for a valid one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
}

/// What an evaluation of stability says of each row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StabilityReport {
    /// The definition.
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub definition: StabilityDefinition,
    /// The hulls, in words, one a potential.
    pub hulls: Vec<String>,
    /// Structures that were submitted.
    pub submitted: usize,
    /// The rows.
    pub rows: Vec<StabilityRow>,
}

/// A structure and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StabilityRow {
    /// Identifier.
    pub id: String,
    /// Reduced formula; empty where there is no composition.
    pub formula: String,
    /// Mean energy above the hulls (eV/atom).
    pub e_above_hull: Option<f64>,
    /// Whether the definition looks at it.
    pub evaluated: bool,
    /// Whether it is valid; true where the definition does not ask.
    pub valid: bool,
    /// Whether it is stable.
    pub stable: bool,
    /// Whether it is metastable.
    pub metastable: bool,
    /// Whether it is unique.
    pub unique: bool,
    /// Whether it is novel; `None` without known structures.
    pub novel: Option<bool>,
    /// Whether it is stable, unique and novel.
    pub sun: Option<bool>,
    /// Why there is no structure, energy or hull.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Everything an evaluation found, as JSON under stable keys. It holds no times, so that the same input gives the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    /// Version of the layout, 1 ([`FORMAT`]).
    pub format: u32,
    /// Version of the program.
    pub druse: String,
    /// The task.
    pub task: Task,
    /// What was judged.
    pub generated: SetSummary,
    /// What it was compared with.
    pub reference: SetSummary,
    /// The training set, where novelty or a baseline was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<SetSummary>,
    /// The rules.
    pub protocol: Protocol,
    /// What holds for all metrics: where cut-offs come from, what was left out, how structures were paired.
    pub remarks: Vec<String>,
    /// The values by key, for programs in a hurry.
    #[serde(rename = "metrics")]
    pub values: BTreeMap<String, Option<f64>>,
    /// The metrics with protocol, sample sizes and intervals, in the order of reports.
    #[serde(rename = "figures")]
    pub metrics: Vec<Metric>,
    /// Every generated row that is not valid, with the first reason.
    pub invalid: Vec<RowReason>,
    /// Reference rows that could not take part, with the reason.
    pub left_out: Vec<RowReason>,
    /// The generated structures closest to the reference.
    pub best: Vec<ClosestReference>,
    /// Those farthest from it.
    pub worst: Vec<ClosestReference>,
    /// Space groups and site symmetries of the generated and of the reference set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symmetry: Option<[SymmetryStatistics; 2]>,
    /// Distributions of the generated set beside those of the reference.
    pub charts: Vec<Chart>,
    /// What is stable, unique and novel, row by row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<StabilityReport>,
}

impl Evaluation {
    /// The metric with this key.
    pub fn metric(&self, key: &str) -> Option<&Metric> {
        self.metrics.iter().find(|m| m.key == key)
    }

    /// The evaluation in the bytes of a file that [`Evaluation`]'s JSON was written to; `None` when they are something else.
    /// `path` is named in errors.
    ///
    /// # Errors
    /// [`EvaluateError::Format`] for an evaluation of another version of the layout, or a damaged one.
    pub fn from_json(bytes: &[u8], path: &Path) -> Result<Option<Self>, EvaluateError> {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else { return Ok(None) };
        if value.get("figures").is_none() || value.get("task").is_none() {
            return Ok(None);
        }
        let wrong = |problem: String| EvaluateError::Format { path: path.to_owned(), problem };
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if format != Some(FORMAT.into()) {
            let found = format.map_or("none".to_owned(), |f| f.to_string());
            let text = format!("has format {found}, this program reads {FORMAT}; evaluate the set again");
            return Err(wrong(text));
        }
        serde_json::from_value(value).map(Some).map_err(|e| wrong(format!("is a damaged evaluation: {e}")))
    }

    /// Fills [`Evaluation::values`] from the metrics.
    pub(crate) fn with_values(mut self) -> Self {
        self.values = self.metrics.iter().map(|m| (m.key.clone(), m.value)).collect();
        self
    }
}
