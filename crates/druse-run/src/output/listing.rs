//! Reading what a run has written as a set of structures.

use std::path::Path;

use druse_crystal::Composition;
use druse_data::{Absent, Item, ListOptions, Listing, properties};

use super::{FAILURES_FILE, Failure, RUN_FILES, STRUCTURES_FILE, parse_lines};
use crate::RunError;

/// Lists a set of structures. Of a run that samples or relaxes (its folder, or the `structures.jsonl` in it) the structures that
/// failed are listed, too, as rows without a structure, in the order of all indices: a judge has to count them.
///
/// # Errors
/// [`RunError::Data`] when there is no set, [`RunError::Damaged`] when a line of the failures does not parse.
pub fn list_structures(path: &Path, options: &ListOptions) -> Result<Listing, RunError> {
    let is_run = |folder: &Path| RUN_FILES.iter().any(|name| folder.join(name).is_file());
    let file = match path.is_dir() && is_run(path) {
        true => path.join(STRUCTURES_FILE),
        false => path.to_owned(),
    };
    let mut listing = druse_data::list(&file, options)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    if !(file.ends_with(STRUCTURES_FILE) && is_run(folder)) {
        return Ok(listing);
    }
    let list = folder.join(FAILURES_FILE);
    let failures: Vec<Failure> = parse_lines(&list)?;
    if failures.is_empty() {
        return Ok(listing);
    }
    let count = failures.len();
    let row = |(i, f): (usize, Failure)| {
        let given = f.properties.iter().filter_map(|(k, v)| Some((k.clone(), properties::scalar(v)?)));
        Item {
            id: f.id.unwrap_or_else(|| f.index.to_string()),
            counted: false,
            file: list.clone(),
            row: Some(i + 1),
            line: Some(i + 1),
            outcome: Err(Absent {
                reason: f.reason,
                properties: given.chain([("index".into(), f.index.into())]).collect(),
                composition: Composition::parse(&f.label).ok(),
            }),
            warnings: Vec::new(),
        }
    };
    listing.extend(failures.into_iter().enumerate().map(row), &options.filters);
    let index =
        |item: &Item| item.properties().get("index").and_then(serde_json::Value::as_f64).unwrap_or(f64::MAX);
    listing.items.sort_by(|a, b| index(a).total_cmp(&index(b)));
    listing.warnings.push(format!("{count} structures that failed count as rows without a structure"));
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use std::collections::BTreeMap;

    use druse_crystal::{Element, Lattice, Structure};
    use druse_data::{Filter, write_jsonl_record};

    use super::super::{SAMPLING_FILE, record};
    use super::*;

    #[test]
    fn failures_of_a_run_are_listed_in_their_places() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let iron = Element::from_symbol("Fe").unwrap();
        let s = Structure::new(Lattice::cubic(2.9).unwrap(), vec![iron], vec![[0.0; 3]]).unwrap();
        let lines = [0, 2, 10].map(|i| {
            let mut line = Vec::new();
            write_jsonl_record(&mut line, &record(i, 7, s.clone(), &BTreeMap::new())).unwrap();
            line
        });
        fs::write(file(STRUCTURES_FILE), lines.concat()).unwrap();
        let failed = r#"{"index": 1, "formula": "NaCl", "reason": "no cell", "properties": {"start": "a"}}"#;
        fs::write(file(FAILURES_FILE), format!("{failed}\n")).unwrap();
        let list = |path: &Path, filters| {
            list_structures(path, &ListOptions { filters, ..ListOptions::default() }).unwrap()
        };
        // Without the manifest it is a file like any other.
        assert_eq!(list(&file(STRUCTURES_FILE), vec![]).len(), 3);
        fs::write(file(SAMPLING_FILE), "{}").unwrap();
        for path in [dir.path().to_owned(), file(STRUCTURES_FILE)] {
            let listing = list(&path, vec![]);
            let ids: Vec<&str> = listing.items.iter().map(|i| i.id.as_str()).collect();
            assert_eq!(ids, ["0", "1", "2", "10"]);
            let failure = &listing.items[1];
            assert_eq!(failure.reason(), Some("no cell"));
            assert_eq!(failure.composition().unwrap().reduced_formula(), "NaCl");
            assert_eq!(failure.properties()["start"], "a");
            assert!(listing.warnings.iter().any(|n| n.contains("failed")), "{:?}", listing.warnings);
        }
        let filter: Filter = "index>=1".parse().unwrap();
        assert_eq!(list(dir.path(), vec![filter]).len(), 3);
        fs::write(file(FAILURES_FILE), "{}\n").unwrap();
        assert!(list_structures(dir.path(), &ListOptions::default()).is_err());
    }
}
