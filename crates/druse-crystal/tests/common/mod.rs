//! Helpers shared by the integration tests: where the reference data lies and how it is read.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use druse_crystal::{Element, Lattice, Structure};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// The folder of shared reference data: `$DRUSE_SHARED`, else `shared` beside the repository.
///
/// When it is missing the calling test is skipped with a message; under `CI` that is a failure.
pub fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("DRUSE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "no reference data in {}", path.display());
    eprintln!("skipped: no reference data in {} (set DRUSE_SHARED)", path.display());
    None
}

/// The lines of `<shared>/golden/<name>` as JSON values; `.gz` is decompressed.
pub fn golden(name: &str) -> Option<Vec<Value>> {
    let path = shared()?.join("golden").join(name);
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader: Box<dyn BufRead> = if name.ends_with(".gz") {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    Some(
        reader
            .lines()
            .enumerate()
            .map(|(i, line)| {
                let line = line.unwrap_or_else(|e| panic!("{}:{}: {e}", path.display(), i + 1));
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("{}:{}: {e}", path.display(), i + 1))
            })
            .collect(),
    )
}

/// One field of a record as any deserialisable type.
pub fn field<T: serde::de::DeserializeOwned>(record: &Value, name: &str) -> T {
    serde_json::from_value(record[name].clone()).unwrap_or_else(|e| panic!("{} {name}: {e}", record["id"]))
}

/// The parsed structure of a record of `structures.jsonl.gz` (`lattice`, `atomic_numbers`, `frac_coords`).
pub fn structure(record: &Value) -> Structure {
    let species = field::<Vec<u8>>(record, "atomic_numbers");
    Structure::new(
        Lattice::from_rows(field(record, "lattice")).unwrap(),
        species.into_iter().map(|z| Element::from_z(z).unwrap()).collect(),
        field(record, "frac_coords"),
    )
    .unwrap()
}

/// Asserts that every pair of numbers agrees to `tol` relative to the larger of the expected one and 1.
pub fn assert_close(what: &str, got: &[f64], want: &[f64], tol: f64) {
    assert_eq!(got.len(), want.len(), "{what}: {got:?} against {want:?}");
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= tol * w.abs().max(1.0), "{what}: {got:?} against {want:?}");
    }
}
