//! The reference data: values of the field's programs and public data sets, in a folder beside the repository.
//!
//! Without that folder a test that asks for it is skipped: it says so on stderr, past the harness, which would swallow the
//! message of a test that passes, and returns. Two settings make that a failure, so that a check which should have the
//! data cannot pass without it: `CI` without `DRUSE_SHARED=none`, and `DRUSE_SHARED` with the path of no folder under `CI`.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use druse_crystal::{Element, Lattice, Structure};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The folder of reference data: `$DRUSE_SHARED`, else `shared` beside the repository.
///
/// `None`, with a message, skips the calling test. `DRUSE_SHARED=none` asks for that.
///
/// # Panics
///
/// When there is no such folder although `CI` is set.
pub fn shared_dir() -> Option<PathBuf> {
    let (asked, ci) = (env::var_os("DRUSE_SHARED"), env::var_os("CI"));
    match find(asked.as_deref(), ci.is_some()) {
        Ok(path) => Some(path),
        Err(Missing { reason, fatal: true }) => panic!("{reason}"),
        Err(Missing { reason, fatal: false }) => {
            let thread = std::thread::current();
            // Not `eprintln`: the harness shows what that writes only when the test fails. Lost if stderr is closed.
            let _ = writeln!(std::io::stderr(), "skipped {}: {reason}", thread.name().unwrap_or("a test"));
            None
        }
    }
}

/// Why there is no reference data, and whether that is a failure.
#[derive(Debug)]
struct Missing {
    reason: String,
    fatal: bool,
}

/// [`shared_dir`] for given values of `DRUSE_SHARED` and whether `CI` is set.
fn find(asked: Option<&OsStr>, ci: bool) -> Result<PathBuf, Missing> {
    if asked.is_some_and(|value| value == "none") {
        return Err(Missing {
            reason: "no reference data, as DRUSE_SHARED=none asks".to_owned(),
            fatal: false,
        });
    }
    let path =
        asked.map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    if path.is_dir() {
        return Ok(path);
    }
    let hint = if ci { "; under CI, DRUSE_SHARED=none skips these tests" } else { " (set DRUSE_SHARED)" };
    Err(Missing { reason: format!("no reference data in {}{hint}", path.display()), fatal: ci })
}

/// The path of `<shared>/golden/<name>`; `None` skips the test (see [`shared_dir`]).
pub fn golden_path(name: &str) -> Option<PathBuf> {
    Some(shared_dir()?.join("golden").join(name))
}

/// The lines of `<shared>/golden/<name>` as JSON values, decompressed where needed; `None` skips the test.
///
/// # Panics
///
/// As [`json_lines`]: when the folder is there but the file is not, or is no JSON Lines.
pub fn golden(name: &str) -> Option<Vec<Value>> {
    Some(json_lines(&golden_path(name)?))
}

/// The text of a file, decompressed if it is gzip (told by its first bytes).
///
/// # Panics
///
/// When the file cannot be read or is no UTF-8.
pub fn read_text(path: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let (mut bytes, mut text) = (Vec::new(), String::new());
        File::open(path)?.read_to_end(&mut bytes)?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text)?;
        } else {
            bytes.as_slice().read_to_string(&mut text)?;
        }
        Ok(text)
    };
    read().unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The JSON value in a file, decompressed if it is gzip.
///
/// # Panics
///
/// When the file cannot be read or is no JSON.
pub fn json(path: &Path) -> Value {
    serde_json::from_str(&read_text(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The JSON values in the lines of a file, decompressed if it is gzip.
///
/// # Panics
///
/// When the file cannot be read or a line is no JSON.
pub fn json_lines(path: &Path) -> Vec<Value> {
    let parse = |(i, line)| {
        serde_json::from_str(line).unwrap_or_else(|e| panic!("{}:{}: {e}", path.display(), i + 1))
    };
    read_text(path).lines().enumerate().map(parse).collect()
}

/// One field of a record as any deserializable type.
///
/// # Panics
///
/// When the field is missing or of another type.
pub fn field<T: DeserializeOwned>(record: &Value, name: &str) -> T {
    serde_json::from_value(record[name].clone()).unwrap_or_else(|e| panic!("{} {name}: {e}", record["id"]))
}

/// The elements of a list of atomic numbers.
fn elements(record: &Value, name: &str) -> Vec<Element> {
    let numbers: Vec<u8> = field(record, name);
    numbers
        .into_iter()
        .map(|z| Element::from_z(z).unwrap_or_else(|e| panic!("{} {name}: {e}", record["id"])))
        .collect()
}

/// The structure of a record with `lattice` (rows, Å), `atomic_numbers` and `frac_coords`, as `structures.jsonl.gz` has them.
///
/// # Panics
///
/// When a field is missing or no structure can be built.
pub fn structure(record: &Value) -> Structure {
    let built = Lattice::from_rows(field(record, "lattice")).map_err(|e| e.to_string()).and_then(|lattice| {
        Structure::new(lattice, elements(record, "atomic_numbers"), field(record, "frac_coords"))
            .map_err(|e| e.to_string())
    });
    built.unwrap_or_else(|e| panic!("{}: {e}", record["id"]))
}

/// The crystal of six parameters that generative models work on (`lengths` in Å, `angles` in degrees, `atom_types`,
/// `frac_coords`), as `canonical` of `niggli.jsonl.gz` and the lines of the `e2e_*` files hold it; `None` where no cell
/// can be built.
///
/// # Panics
///
/// When a field is missing or an atomic number is that of no element.
pub fn crystal(record: &Value) -> Option<Structure> {
    let ([a, b, c], [al, be, ga]): ([f64; 3], [f64; 3]) = (field(record, "lengths"), field(record, "angles"));
    let species = elements(record, "atom_types");
    let lattice = Lattice::from_parameters([a, b, c, al, be, ga]).ok()?;
    Structure::new(lattice, species, field(record, "frac_coords")).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn missing_data_skips_and_fails_only_where_it_is_asked_for() {
        let here = env!("CARGO_MANIFEST_DIR");
        assert_eq!(find(Some(here.as_ref()), true).unwrap(), Path::new(here));
        let fatal = |asked: &str, ci| find(Some(asked.as_ref()), ci).unwrap_err().fatal;
        assert!(!fatal("none", false) && !fatal("none", true));
        assert!(!fatal("/no/such/folder", false) && fatal("/no/such/folder", true));
        let reason = find(Some("/no/such/folder".as_ref()), false).unwrap_err().reason;
        assert!(reason.contains("/no/such/folder") && reason.contains("DRUSE_SHARED"), "{reason}");
    }

    #[test]
    fn records_become_structures() {
        let record = serde_json::json!({
            "id": "salt", "lengths": [4.12, 4.12, 4.12], "angles": [90.0, 90.0, 90.0], "atom_types": [55, 17],
            "lattice": [[4.12, 0.0, 0.0], [0.0, 4.12, 0.0], [0.0, 0.0, 4.12]], "atomic_numbers": [55, 17],
            "frac_coords": [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]],
        });
        let (a, b) = (crystal(&record).unwrap(), structure(&record));
        assert_eq!((&a.species, &a.frac_coords), (&b.species, &b.frac_coords));
        assert!((a.lattice.volume() - b.lattice.volume()).abs() < 1e-9);
        let flat = serde_json::json!({
            "id": 1, "lengths": [1.0, 1.0, 1.0], "angles": [10.0, 10.0, 170.0], "atom_types": [1],
            "frac_coords": [[0.0, 0.0, 0.0]],
        });
        assert_eq!(crystal(&flat), None);
    }
}
