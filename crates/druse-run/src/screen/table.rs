//! The files of a finished screening.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};

use druse_crystal::Properties;
use druse_crystal::files;
use druse_crystal::formats::{self, Format};
use druse_data::{JsonlRecord, write_jsonl_record};
use druse_evaluate::hull::Hull;
use serde_json::json;

use super::Screening;
use super::row::ScreenRow;
use super::settings::References;
use crate::RunError;
use crate::folder::RunFolder;
use crate::predict::csv_field;

/// Table of all rows.
pub const TABLE_FILE: &str = "screen.csv";
/// The same, one row a line as JSON.
pub const LINES_FILE: &str = "screen.jsonl";
/// The ranked structures with their energies.
pub const RANKED_FILE: &str = "ranked.jsonl";
/// The entries of the hull with their energies.
pub const ENTRIES_FILE: &str = "entries.csv";
/// The funnel, and what the hull is made of.
pub const SUMMARY_FILE: &str = "summary.json";
/// The funnel, the best and their energies as one page for a browser.
pub const REPORT_FILE: &str = "report.html";
/// Folder of the best candidates, a CIF each.
pub const BEST_FOLDER: &str = "best";

/// Columns of the table.
pub const COLUMNS: [&str; 19] = [
    "rank",
    "index",
    "id",
    "formula",
    "gate",
    "reason",
    "same_as",
    "charge_neutral",
    "space_group",
    "converged",
    "energy_per_atom",
    "correction_per_atom",
    "formation_energy_per_atom",
    "e_above_hull",
    "within",
    "compounds",
    "decomposition",
    "novel",
    "known_as",
];

/// Writes all files; each appears whole.
pub(super) fn write(
    folder: &RunFolder,
    screening: &Screening,
    keep: usize,
    page: &str,
    hull: &Hull,
) -> Result<(), RunError> {
    let best = folder.join(BEST_FOLDER);
    files::create_dir_all(&best)?;
    for row in screening.rows.iter().take(keep) {
        let (Some(rank), Some(structure)) = (row.rank, &row.structure) else { break };
        let name = format!("{rank:0>3}-{}", row.formula);
        let mut structure = structure.clone();
        structure.properties = Properties::new();
        let text = formats::write(&structure, Format::Cif, &name);
        files::write_atomic(&best.join(format!("{name}.cif")), text.as_bytes())?;
    }
    write_sets(folder, screening, hull)?;
    let summary = json!({ "funnel": screening.funnel, "references": screening.references });
    let text = serde_json::to_vec_pretty(&summary).expect("a summary is plain text and numbers");
    files::write_atomic(&folder.join(SUMMARY_FILE), &text)?;
    files::write_atomic(&folder.join(REPORT_FILE), page.as_bytes())?;
    files::write_atomic_with(&folder.join(LINES_FILE), |file| {
        let mut out = BufWriter::new(file);
        for row in &screening.rows {
            serde_json::to_writer(&mut out, row)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    })?;
    // Last: a folder with the table is a finished screening.
    files::write_atomic_with(&folder.join(TABLE_FILE), |file| {
        let mut out = BufWriter::new(file);
        writeln!(out, "{}", COLUMNS.join(","))?;
        for row in &screening.rows {
            let cells: Vec<String> = COLUMNS.iter().map(|column| csv_field(&cell(row, column))).collect();
            writeln!(out, "{}", cells.join(","))?;
        }
        out.flush()
    })?;
    Ok(())
}

/// Writes the ranked structures and the entries of the hull, with energies on one scale: sets for `druse hull` and
/// `druse evaluate --task stability`.
fn write_sets(folder: &RunFolder, screening: &Screening, hull: &Hull) -> Result<(), RunError> {
    // The name of the column says what energies count from.
    let given = screening.references.energies == References::Given;
    let column = if given { "formation_energy_per_atom" } else { "energy_per_atom" };
    let scale = hull.scale.method.clone().unwrap_or_default();
    files::write_atomic_with(&folder.join(ENTRIES_FILE), |file| {
        let mut out = BufWriter::new(file);
        writeln!(out, "id,formula,{column},energy_scale")?;
        for entry in hull.diagram.entries() {
            let id = csv_field(&entry.id);
            let (formula, energy) = (entry.composition.formula(), entry.energy_per_atom());
            writeln!(out, "{id},{formula},{energy},{}", csv_field(&scale))?;
        }
        out.flush()
    })?;
    files::write_atomic_with(&folder.join(RANKED_FILE), |file| {
        let mut out = BufWriter::new(file);
        for row in &screening.rows {
            let (Some(rank), Some(structure)) = (row.rank, &row.structure) else { continue };
            let energy = if given { row.formation_energy_per_atom } else { row.corrected() };
            let mut structure = structure.clone();
            structure.properties = Properties::new();
            let mut properties = BTreeMap::from([
                ("rank".to_owned(), json!(rank)),
                ("energy_scale".to_owned(), json!(scale)),
                ("e_above_hull".to_owned(), json!(row.e_above_hull)),
                ("novel".to_owned(), json!(row.novel)),
            ]);
            properties.insert(column.to_owned(), json!(energy));
            let (id, formula) = (row.id.clone(), row.formula.clone());
            write_jsonl_record(&mut out, &JsonlRecord { id, formula, structure, properties })?;
        }
        out.flush()
    })?;
    Ok(())
}

fn cell(row: &ScreenRow, column: &str) -> String {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map_or(String::new(), |v| v.to_string())
    }
    // To ten decimals: what comes after them is noise.
    let number = |x: Option<f64>| text(x.map(|x| (x * 1e10).round() / 1e10 + 0.0));
    match column {
        "rank" => text(row.rank),
        "index" => row.index.to_string(),
        "id" => row.id.clone(),
        "formula" => row.formula.clone(),
        "gate" => text(row.fell.as_ref().map(|fall| fall.gate)),
        "reason" => text(row.fell.as_ref().map(|fall| &fall.reason)),
        "same_as" => text(row.same_as.as_ref()),
        "charge_neutral" => text(row.charge_neutral),
        "space_group" => text(row.space_group),
        "converged" => text(row.converged),
        "correction_per_atom" => number(row.correction_per_atom),
        "energy_per_atom" => number(row.energy_per_atom),
        "formation_energy_per_atom" => number(row.formation_energy_per_atom),
        "e_above_hull" => number(row.e_above_hull),
        "within" => text(row.within),
        "compounds" => text(row.compounds),
        "decomposition" => row.decomposition_text(),
        "novel" => text(row.novel),
        "known_as" => text(row.known_as.as_ref()),
        _ => String::new(),
    }
}
