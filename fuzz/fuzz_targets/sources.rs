//! Any bytes of a data set's file, rows of JSON Lines and CSV above all, are structures and rows without one, or an error:
//! never a panic. The first byte chooses the format, the others are the file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use druse_data::{
    Cache, JsonlRecord, ListOptions, LoadOptions, list, load, structure_from_json, write_jsonl_record,
};
use libfuzzer_sys::fuzz_target;

/// Names of the formats; `0` to `5` in the seeds.
const EXTENSIONS: [&str; 6] = ["jsonl", "csv", "json", "cif", "vasp", "extxyz"];

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let path = folder().join("source").with_extension(EXTENSIONS[usize::from(first) % EXTENSIONS.len()]);
    fs::write(&path, bytes).expect("a writable folder for temporary files");
    let options = LoadOptions { cache: Cache::Off, max_skipped_share: 1.0, ..LoadOptions::default() };
    if let Ok(set) = load(&path, &options) {
        assert!(set.entries.iter().all(|entry| !entry.structure.is_empty()));
    }
    let Ok(listing) = list(&path, &ListOptions::default()) else { return };
    for item in &listing.items {
        let Ok(structure) = &item.outcome else { continue };
        assert_eq!(structure.species.len(), structure.frac_coords.len());
        assert!(structure.frac_coords.as_flattened().iter().all(|x| (0.0..1.0).contains(x)));
        // What the program writes it can read.
        let record = JsonlRecord {
            id: item.id.clone(),
            formula: String::new(),
            structure: structure.clone(),
            properties: structure.properties.clone(),
        };
        let mut line = Vec::new();
        write_jsonl_record(&mut line, &record).expect("memory takes a line");
        let value = serde_json::from_slice(&line).expect("a record is JSON");
        let again = structure_from_json(&value).expect("a record is a structure");
        assert_eq!((&again.species, again.frac_coords.len()), (&structure.species, structure.len()));
    }
});

/// A folder of this process alone.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("druse-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a writable folder for temporary files");
        folder
    })
}
