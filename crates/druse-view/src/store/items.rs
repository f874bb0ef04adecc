//! Lines of runs and screenings as rows.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use druse_crystal::Composition;
use druse_data::{Absent, Item, list_json_line, properties};
use serde_json::Value;

use crate::lines::{Line, line_at};
use crate::places::FAILURES_FILE;

/// A structure that failed, as a run writes it.
#[derive(serde::Deserialize)]
struct Failed {
    index: u64,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    formula: String,
    reason: String,
    #[serde(default)]
    properties: serde_json::Map<String, Value>,
}

/// A row of a file of lines: a structure, or one that failed.
pub(super) fn item_of(line: &Line, path: &Path, row: usize) -> Item {
    let failures = path.file_name().is_some_and(|name| name == FAILURES_FILE);
    match failures.then(|| serde_json::from_str::<Failed>(&line.text)) {
        Some(Ok(failed)) => Item {
            id: failed.id.unwrap_or_else(|| failed.index.to_string()),
            counted: false,
            file: path.to_owned(),
            row: Some(row),
            line: Some(line.number),
            outcome: Err(Absent {
                reason: failed.reason,
                properties: scalars(
                    failed.properties.into_iter().chain([("index".into(), failed.index.into())]),
                ),
                composition: Composition::parse(&failed.formula).ok(),
            }),
            warnings: Vec::new(),
        },
        _ => list_json_line(&line.text, path, row, line.number),
    }
}

fn scalars(values: impl Iterator<Item = (String, Value)>) -> druse_crystal::Properties {
    values.filter_map(|(name, value)| Some((name, properties::scalar(&value)?))).collect()
}

/// A candidate of a screening, and where its relaxed structure is.
pub(super) fn candidate<'a>(
    line: &Line,
    path: &Path,
    places: &'a HashMap<String, (PathBuf, u64)>,
) -> (Item, Option<&'a (PathBuf, u64)>) {
    let mut object: serde_json::Map<String, Value> = serde_json::from_str(&line.text).unwrap_or_default();
    let text = |value: Option<Value>| value.and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let id = text(object.remove("id"));
    let formula = text(object.remove("formula"));
    let mut fell = None;
    if let Some(Value::Object(mut fall)) = object.remove("fell") {
        fell = fall.remove("reason").and_then(|r| r.as_str().map(str::to_owned));
        object.insert("gate".into(), fall.remove("gate").unwrap_or_default());
    }
    if let Some(Value::Array(shares)) = object.remove("decomposition") {
        let words = shares.iter().map(|share| {
            format!(
                "{:.3} {}",
                share["fraction"].as_f64().unwrap_or_default(),
                share["formula"].as_str().unwrap_or_default()
            )
        });
        object.insert("decomposition".into(), words.collect::<Vec<_>>().join(" + ").into());
    }
    let place = places.get(&id);
    let values = scalars(object.into_iter());
    let composition = Composition::parse(&formula).ok();
    let relaxed = place.and_then(|(file, offset)| {
        let item = list_json_line(&line_at(file, *offset).ok()?, file, 1, 1);
        item.outcome.ok()
    });
    let outcome = match (relaxed, fell) {
        (Some(mut structure), fell) => {
            structure.properties = values;
            if let Some(reason) = fell {
                structure.properties.insert("fell".into(), reason.into());
            }
            Ok(structure)
        }
        (None, fell) => Err(Absent {
            reason: fell.unwrap_or_else(|| "there is no relaxed structure".into()),
            properties: values,
            composition,
        }),
    };
    let place = place.filter(|_| outcome.is_ok());
    let item = Item {
        id,
        counted: false,
        file: path.to_owned(),
        row: Some(line.number),
        line: Some(line.number),
        outcome,
        warnings: Vec::new(),
    };
    (item, place)
}
