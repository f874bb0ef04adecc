//! JSON Lines: [`JsonlRecord`](crate::JsonlRecord)s, pymatgen dictionaries, or objects with a `cif` text.

use std::collections::BTreeMap;

use druse_crystal::Structure;
use druse_crystal::formats::{Format, Parsed, read_str};
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::{Found, Row, Rows};
use crate::Value;

/// Members that are the structure or its name, not properties.
const NOT_PROPERTIES: [&str; 11] = [
    "id",
    "material_id",
    "formula",
    "structure",
    "cif",
    "lattice",
    "species",
    "frac_coords",
    "labels",
    "properties",
    "notes",
];

pub(super) fn read(text: &str) -> Rows {
    let lines: Vec<(usize, &str)> = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).collect();
    let mut rows: Vec<Row> =
        lines.par_iter().enumerate().map(|(k, &(line, text))| row(k, line, text)).collect();
    let mut notes = Vec::new();
    // A writer that was stopped leaves one line without its end; what came before is whole.
    if !text.ends_with('\n') && rows.last().is_some_and(|r| r.outcome.is_err()) && rows.len() > 1 {
        rows.pop();
        notes.push("the last line is incomplete (its writer was interrupted) and left out".to_owned());
    }
    Rows { rows, notes }
}

fn row(index: usize, line: usize, text: &str) -> Row {
    let parsed: Result<Map<String, Json>, String> = match serde_json::from_str(text) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err("the line is no JSON object".to_owned()),
        Err(e) => Err(format!("the line is not JSON: {e}")),
    };
    let id = parsed.as_ref().ok().and_then(|object| {
        ["id", "material_id"].iter().find_map(|key| match object.get(*key) {
            Some(Json::String(id)) => Some(id.clone()),
            Some(Json::Number(id)) => Some(id.to_string()),
            _ => None,
        })
    });
    Row { row: Some(index + 1), line: Some(line + 1), id, outcome: parsed.and_then(found) }
}

fn found(mut object: Map<String, Json>) -> Result<Found, String> {
    let (structure, notes) = structure(&mut object)?;
    let mut properties = BTreeMap::new();
    let nested = match object.remove("properties") {
        Some(Json::Object(map)) => map,
        _ => Map::new(),
    };
    let beside = object.into_iter().filter(|(k, v)| {
        !k.starts_with('@') && !NOT_PROPERTIES.contains(&k.as_str()) && !v.is_object() && !v.is_array()
    });
    for (name, value) in nested.into_iter().chain(beside) {
        if let Some(value) = Value::from_json(&value) {
            properties.insert(name, value);
        }
    }
    Ok(Found { structure, properties, notes })
}

fn structure(object: &mut Map<String, Json>) -> Result<(Structure, Vec<String>), String> {
    if let Some(inner) = object.remove("structure") {
        return match inner {
            Json::Object(inner) => from_object(inner),
            Json::String(cif) => one(&cif, Format::Cif),
            _ => Err("the member `structure` is no object".to_owned()),
        };
    }
    if let Some(Json::String(cif)) = object.remove("cif") {
        return one(&cif, Format::Cif);
    }
    if object.contains_key("lattice") {
        return from_object(object.clone());
    }
    Err("the object has none of `structure`, `cif` and `lattice`".to_owned())
}

/// A pymatgen dictionary (with `sites`) or our own structure.
fn from_object(object: Map<String, Json>) -> Result<(Structure, Vec<String>), String> {
    if object.contains_key("sites") {
        return one(&Json::Object(object).to_string(), Format::PymatgenJson);
    }
    let mut own = Map::new();
    for key in ["lattice", "species", "frac_coords", "properties"] {
        if let Some(value) = object.get(key) {
            own.insert(key.to_owned(), value.clone());
        }
    }
    let raw: Structure = serde_json::from_value(Json::Object(own)).map_err(|e| e.to_string())?;
    let mut structure =
        Structure::new(raw.lattice, raw.species, raw.frac_coords).map_err(|e| e.to_string())?;
    structure.properties = raw.properties;
    Ok((structure, Vec::new()))
}

fn one(text: &str, format: Format) -> Result<(Structure, Vec<String>), String> {
    let mut parsed: Vec<Parsed> = read_str(text, format).map_err(|e| e.to_string())?;
    match (parsed.pop(), parsed.pop()) {
        (Some(one), None) => Ok((one.structure, one.notes)),
        _ => Err("the line does not hold exactly one structure".to_owned()),
    }
}
