//! JSON files of structures with what belongs to them: documents of the Materials Project and the like.
//!
//! | layout | what is read |
//! | --- | --- |
//! | `[{…}, {…}]` | each object, or each CIF text |
//! | `{"structure": {…}, "material_id": …}` | one document; also pymatgen's `ComputedStructureEntry` |
//! | `{"data": […]}`, `{"response": […]}` and the like | what an API answered |
//! | `{"columns": ["structure", …], "data": [[…], …]}` | a table as pandas and Matbench write it |
//! | `{"structure": {"0": {…}, …}, "gap": {"0": …}}` | the same, column by column |
//! | `{"mp-149": {…}, "mp-13": {…}}` | structures or documents by their identifiers |

use druse_crystal::formats::Format;
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::json_lines::{parse, row};
use super::{Reading, Row, Rows};

/// Members that hold, or describe, a structure.
const STRUCTURE: [&str; 5] = ["structure", "sites", "cif", "lattice", "lengths"];

/// Members under which an answer or an export keeps its documents.
const WRAPPERS: [&str; 8] =
    ["data", "response", "results", "documents", "docs", "entries", "structures", "materials"];

/// A document, and the identifier that its place gives it.
type Document = (Option<String>, Json);

/// The rows of one JSON document. `None` when the text is none, or neither object nor array.
pub(super) fn read(text: &str, reading: Reading) -> Option<Rows> {
    let documents = match parse(text).ok()? {
        Json::Object(object) if is_ase_database(&object) => {
            let reason = "it is a database of ASE, which is not read; \
                          `ase convert` writes it as extended XYZ";
            return Some(Rows { rows: vec![Row::broken(None, reason.to_owned())], warnings: Vec::new() });
        }
        value @ (Json::Object(_) | Json::Array(_)) => unwrap(value),
        _ => return None,
    };
    let read = |(k, (id, value)): (usize, Document)| {
        let row = row(k, Ok(value), reading);
        Row { id: id.or(row.id), ..row }
    };
    Some(Rows { rows: documents.into_par_iter().enumerate().map(read).collect(), warnings: Vec::new() })
}

/// Whether a text is JSON about something else, such as the settings of the program that wrote the structures beside it:
/// an object without any that has a structure.
pub(super) fn is_something_else(text: &str) -> bool {
    match parse(text) {
        Ok(Json::Object(object)) if is_ase_database(&object) => false,
        Ok(value @ Json::Object(_)) => !unwrap(value).iter().any(|(_, value)| has_structure(value)),
        _ => false,
    }
}

/// The documents of a value: itself where it is one, or where nothing in it is.
fn unwrap(value: Json) -> Vec<Document> {
    let mut object = match value {
        Json::Array(list) => return list.into_iter().map(|value| (None, value)).collect(),
        Json::Object(object) => object,
        other => return vec![(None, other)],
    };
    if let Some(rows) = columns(&object) {
        return rows;
    }
    if STRUCTURE.iter().any(|key| object.contains_key(*key)) {
        return vec![(None, Json::Object(object))];
    }
    if let Some(rows) = table(&object) {
        return rows;
    }
    for key in WRAPPERS {
        let inside = match object.get(key) {
            Some(Json::Array(list)) => list.iter().any(has_structure),
            Some(value @ Json::Object(inner)) => has_structure(value) || is_dictionary(inner),
            _ => false,
        };
        if inside && let Some(value) = object.remove(key) {
            return unwrap(value);
        }
    }
    if is_dictionary(&object) {
        return object.into_iter().map(|(id, value)| (Some(id), value)).collect();
    }
    vec![(None, Json::Object(object))]
}

/// Whether a value is a document, a structure, or the text of one.
fn has_structure(value: &Json) -> bool {
    match value {
        Json::Object(object) => STRUCTURE.iter().any(|key| object.contains_key(*key)),
        Json::String(text) => Format::from_content(text).is_some(),
        _ => false,
    }
}

/// Whether an object holds structures by their identifiers.
fn is_dictionary(object: &Map<String, Json>) -> bool {
    object.values().all(|v| v.is_object() || v.is_string() || v.is_null())
        // A document with a structure and something else is no dictionary.
        && !object.keys().any(|key| STRUCTURE.contains(&key.as_str()) || key.starts_with('@'))
        && object.values().any(has_structure)
}

/// The rows of a table whose columns are named beside it.
fn table(object: &Map<String, Json>) -> Option<Vec<Document>> {
    let columns: Option<Vec<&str>> = object.get("columns")?.as_array()?.iter().map(Json::as_str).collect();
    let columns = columns.filter(|names| names.iter().any(|name| STRUCTURE.contains(name)))?;
    let index = object.get("index").and_then(Json::as_array);
    let rows = object.get("data")?.as_array()?.iter().enumerate().map(|(k, cells)| {
        let id = match index.and_then(|index| index.get(k)) {
            Some(Json::String(id)) => Some(id.clone()),
            _ => None,
        };
        let value = match cells {
            Json::Array(cells) if cells.len() == columns.len() => {
                columns.iter().map(|name| (*name).to_owned()).zip(cells.iter().cloned()).collect()
            }
            _ => Json::Null,
        };
        (id, value)
    });
    Some(rows.collect())
}

/// The rows of a table that is an object of columns, each an object of cells by their rows.
fn columns(object: &Map<String, Json>) -> Option<Vec<Document>> {
    let columns: Option<Vec<(&String, &Map<String, Json>)>> =
        object.iter().map(|(name, column)| Some((name, column.as_object()?))).collect();
    let columns = columns?;
    let is_column = |cells: &Map<String, Json>| {
        !STRUCTURE.iter().any(|key| cells.contains_key(*key)) && cells.values().any(has_structure)
    };
    let (_, structures) = columns
        .iter()
        .find(|(name, cells)| matches!(name.as_str(), "structure" | "cif") && is_column(cells))?;
    let mut rows: Vec<Document> = Vec::new();
    for key in structures.keys() {
        let cell =
            |(name, cells): &(&String, &Map<String, Json>)| Some(((*name).clone(), cells.get(key)?.clone()));
        // pandas numbers the rows of a table without an index.
        let id = key.parse::<u64>().is_err().then(|| key.clone());
        rows.push((id, columns.iter().filter_map(cell).collect()));
    }
    if rows.iter().all(|(id, _)| id.is_none()) {
        // The order of the numbers, not that of their digits.
        let keys: Vec<u64> = structures.keys().filter_map(|key| key.parse().ok()).collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&k| keys[k]);
        return Some(order.into_iter().map(|k| std::mem::take(&mut rows[k])).collect());
    }
    Some(rows)
}

/// Whether an object is what `ase.db` writes as JSON.
fn is_ase_database(object: &Map<String, Json>) -> bool {
    object.contains_key("ids") && object.contains_key("nextid")
}
