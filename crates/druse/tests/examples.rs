//! Every file of `examples/` is built and run.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_example_is_declared() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(folder) = fs::read_dir(package.join("../../examples")) else {
        eprintln!("skipped: the examples lie beside the package in the repository alone");
        return;
    };
    let files: BTreeSet<String> =
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
    let declared: BTreeSet<String> = manifest
        .lines()
        .filter_map(|line| {
            line.strip_prefix("path = \"../../examples/")?.strip_suffix('"').map(str::to_owned)
        })
        .collect();
    assert_eq!(declared, files, "each file has its `[[example]]` in crates/druse/Cargo.toml");
}
