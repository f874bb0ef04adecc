//! The lines of a run as a set in memory.

use std::path::Path;

use druse_crystal::{Composition, Structure};
use druse_data::{Absent, Item, JsonlRecord, Listing};
use druse_run::output::Failure as Failed;

/// The structures and failures of a run, in the order of their indices. A failure is a row without a structure.
pub fn listing(name: &str, path: &Path, records: Vec<JsonlRecord>, failures: Vec<Failed>) -> Listing {
    let row = |id: String, outcome| Item {
        id,
        counted: false,
        file: path.to_owned(),
        row: None,
        line: None,
        outcome,
        warnings: Vec::new(),
    };
    let found = records.into_iter().map(|JsonlRecord { id, structure, properties, .. }| {
        row(id, Ok(Structure { properties, ..structure }))
    });
    let failed = failures.into_iter().map(|Failed { index, id, label, reason, mut properties }| {
        properties.insert("index".into(), index.into());
        let composition = Composition::parse(&label).ok();
        row(id.unwrap_or_else(|| index.to_string()), Err(Absent { reason, properties, composition }))
    });
    let mut items: Vec<Item> = found.chain(failed).collect();
    items.sort_by_key(|item| item.properties().get("index").and_then(serde_json::Value::as_u64));
    Listing { name: name.to_owned(), path: path.to_owned(), items, ..Listing::default() }
}
