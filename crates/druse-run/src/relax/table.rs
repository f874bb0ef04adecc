//! `relaxed.csv`: the figures of every row.

use std::io::Write;
use std::path::Path;

use druse_crystal::{Composition, Properties, files};
use druse_data::{JsonlRecord, properties};
use serde_json::Value;

use super::row::NO_STRUCTURE;
use crate::RunError;
use crate::output::{FAILURES_FILE, Failure, STRUCTURES_FILE, index_of, parse_lines};
use crate::predict::csv_field;

/// Name of the table.
pub const TABLE_FILE: &str = "relaxed.csv";

/// Columns of the table. Those from `end` to `space_group` are the properties of the same names with `relax_` before them;
/// a figure that a row does not have is empty.
pub const COLUMNS: [&str; 29] = [
    "index",
    "id",
    "formula",
    "atoms",
    "end",
    "steps",
    "energy",
    "energy_per_atom",
    "start_energy_per_atom",
    "energy_per_atom_mean",
    "energy_per_atom_difference",
    "fmax",
    "max_force",
    "stress_xx",
    "stress_yy",
    "stress_zz",
    "stress_yz",
    "stress_xz",
    "stress_xy",
    "pressure",
    "start_volume",
    "volume",
    "volume_change",
    "rmsd",
    "max_displacement",
    "space_group",
    "converged",
    "has_structure",
    "reason",
];

/// Components of the stress in the order of the property `relax_stress`.
const STRESS: [&str; 6] = ["stress_xx", "stress_yy", "stress_zz", "stress_yz", "stress_xz", "stress_xy"];

/// A row, from the line of a structure or of a failure.
struct Row {
    index: u64,
    id: String,
    formula: String,
    atoms: Option<usize>,
    properties: Properties,
    reason: Option<String>,
}

/// Writes the table of a folder of relaxed structures from its lines, in the order of indices.
///
/// # Errors
/// [`RunError::Damaged`] when a line does not parse, [`RunError::Write`].
pub fn write_table(folder: &Path) -> Result<(), RunError> {
    let mut rows = Vec::new();
    let path = folder.join(STRUCTURES_FILE);
    for record in parse_lines::<JsonlRecord>(&path)? {
        let index = index_of(&path, &record)?;
        let JsonlRecord { id, formula, structure, properties } = record;
        let atoms = Some(structure.len());
        rows.push(Row { index, id, formula, atoms, properties, reason: None });
    }
    for Failure { index, id, label, reason, properties } in parse_lines(&folder.join(FAILURES_FILE))? {
        let composition = Composition::parse(&label).ok();
        // Without a structure the label need not be the content of a cell.
        let known = properties.get("relax_end").is_some_and(|end| end != NO_STRUCTURE);
        let atoms = composition.as_ref().map(Composition::num_atoms).filter(|_| known);
        let formula = composition.map_or(label, |c| c.reduced_formula());
        let id = id.unwrap_or_else(|| index.to_string());
        rows.push(Row { index, id, formula, atoms, properties, reason: Some(reason) });
    }
    rows.sort_by_key(|row| row.index);
    files::write_atomic_with(&folder.join(TABLE_FILE), |file| {
        let mut out = std::io::BufWriter::new(file);
        writeln!(out, "{}", COLUMNS.join(","))?;
        for row in &rows {
            let cells: Vec<String> = COLUMNS.iter().map(|column| csv_field(&row.cell(column))).collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        out.flush()
    })?;
    Ok(())
}

impl Row {
    fn cell(&self, column: &str) -> String {
        match column {
            "index" => self.index.to_string(),
            "id" => self.id.clone(),
            "formula" => self.formula.clone(),
            "atoms" => self.atoms.map_or(String::new(), |n| n.to_string()),
            "has_structure" => self.reason.is_none().to_string(),
            "reason" => self.reason.clone().unwrap_or_default(),
            _ => match STRESS.iter().position(|name| *name == column) {
                Some(at) => text(self.properties.get("relax_stress").and_then(|stress| stress.get(at))),
                None => text(self.properties.get(&format!("relax_{column}"))),
            },
        }
    }
}

/// Numbers to ten decimals: what comes after them is noise, and -0.00000000000000002 no help.
fn text(value: Option<&Value>) -> String {
    match value.and_then(Value::as_f64) {
        Some(x) => ((x * 1e10).round() / 1e10 + 0.0).to_string(),
        None => value.map_or(String::new(), properties::text),
    }
}
