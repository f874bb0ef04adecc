//! Parquet: what is written is read, layouts of other programs, damage.

mod common;

use std::fs;
use std::path::Path;

use common::{halides, plain, put};
use druse_data::{
    DataError, Dataset, Entry, ListOptions, LoadOptions, OutputFormat, ParquetOptions, SetReader, list, load,
    write_dataset, write_parquet,
};
use druse_testkit::prototypes;
use serde_json::{Value, json};
use tempfile::tempdir;

fn raw() -> LoadOptions {
    LoadOptions { niggli: false, ..plain() }
}

/// The prototypes with properties of each kind, some missing, in several row groups' worth of rows.
fn entries(copies: usize) -> Dataset {
    let mut all = Vec::new();
    for k in 0..copies {
        for (name, mut structure) in prototypes() {
            let properties = &mut structure.properties;
            properties.insert("gap".into(), (0.1 + k as f64).into());
            properties.insert("mixed \"name\"".into(), if k % 2 == 0 { json!(k) } else { json!("text") });
            if k % 3 == 0 {
                properties.insert("stable".into(), (k % 2 == 0).into());
            }
            all.push(Entry { id: format!("{name}-{k}"), structure });
        }
    }
    Dataset::new("prototypes", all)
}

#[test]
fn what_is_written_is_read() {
    let folder = tempdir().unwrap();
    let data = entries(3);
    let path = folder.path().join("set/a.parquet");
    let format = OutputFormat::from_path(&path).unwrap();
    write_dataset(&data, &path, format, false).unwrap();
    let back = load(&path, &raw()).unwrap();
    assert_eq!(back.len(), data.len());
    for (got, want) in back.entries.iter().zip(&data.entries) {
        // A property with numbers and texts is text.
        let mut want = want.clone();
        let mixed = want.structure.properties.get_mut("mixed \"name\"").unwrap();
        *mixed = mixed.as_str().map_or_else(|| mixed.to_string(), str::to_owned).into();
        assert_eq!(*got, want);
    }
    assert!(matches!(write_dataset(&data, &path, format, false), Err(DataError::OutputExists { .. })));
    // With CIF texts, too: the sites are what is read.
    write_parquet(&data, &path, &ParquetOptions { cif: true, overwrite: true }).unwrap();
    assert_eq!(load(&path, &raw()).unwrap().entries, back.entries);
    let mut named = entries(1);
    named.entries[0].structure.properties.insert("lattice".into(), "fcc".into());
    let error = write_parquet(&named, &path, &ParquetOptions { cif: false, overwrite: true }).unwrap_err();
    assert!(matches!(error, DataError::ReservedProperty { .. }), "{error}");
    assert_eq!(load(&path, &raw()).unwrap().entries, back.entries, "what was there is there");
}

#[test]
fn it_agrees_with_the_other_formats() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "halides.csv", halides()), &raw()).unwrap();
    round_trip(&data, folder.path());
    let Some(shared) = druse_testkit::shared_dir() else { return };
    for name in ["perov_5", "carbon_24", "mp_20_bt", "mpts_52"] {
        let folder = tempdir().unwrap();
        let data = load(&shared.join("data").join(name).join("val.csv.gz"), &raw()).unwrap();
        round_trip(&data, folder.path());
    }
}

fn round_trip(data: &Dataset, folder: &Path) {
    let [parquet, jsonl, store] = ["a.parquet", "a.jsonl", "a.druse"].map(|name| folder.join(name));
    for path in [&parquet, &jsonl, &store] {
        write_dataset(data, path, OutputFormat::from_path(path).unwrap(), false).unwrap();
        let back = load(path, &raw()).unwrap();
        assert_eq!(back.content_hash, data.content_hash, "{}", path.display());
    }
    // Read block by block, and from one to the other.
    let set = SetReader::open(&parquet, &raw()).unwrap();
    let second = folder.join("b.parquet");
    write_dataset(&set, &second, OutputFormat::from_path(&second).unwrap(), false).unwrap();
    assert_eq!(fs::read(&second).unwrap(), fs::read(&parquet).unwrap());
    let listing = list(&parquet, &ListOptions::default()).unwrap();
    assert!(listing.items.iter().map(|i| i.structure()).eq(data.structures().map(Some)));
}

#[test]
fn a_folder_of_them_is_one_set() {
    let folder = tempdir().unwrap();
    let data = entries(2);
    for (k, chunk) in data.entries.chunks(7).enumerate() {
        let path = folder.path().join(format!("set/train-{k:05}.parquet"));
        let part = Dataset::new("part", chunk.to_vec());
        write_dataset(&part, &path, OutputFormat::from_path(&path).unwrap(), false).unwrap();
    }
    let back = load(&folder.path().join("set"), &raw()).unwrap();
    assert_eq!(back.len(), data.len());
    assert!(back.structures().map(|s| &s.frac_coords).eq(data.structures().map(|s| &s.frac_coords)));
}

/// Files that Python's pyarrow wrote, in the layouts that people exchange; beside them what they hold.
#[test]
fn layouts_of_other_programs_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    let salt = prototypes::rock_salt("Na", "Cl", 5.64);
    for name in ["ase", "lemat", "cif", "pymatgen_json", "pymatgen_struct", "parameters", "flat"] {
        let data = load(&folder.join(format!("{name}.parquet")), &raw()).unwrap();
        assert_eq!((data.len(), data.skipped.len()), (2, 0), "{name}");
        let entry = &data.entries[0];
        assert_eq!(entry.id, "mp-22862", "{name}");
        assert_eq!(entry.structure.species, salt.species, "{name}");
        assert!((entry.structure.lattice.volume() - salt.lattice.volume()).abs() < 1e-4, "{name}");
        assert!((entry.structure.density() - salt.density()).abs() < 1e-6, "{name}");
        let gap = |k: usize| data.entries[k].structure.properties.get("band_gap").cloned();
        assert_eq!((gap(0), gap(1)), (Some(Value::from(5)), None), "{name}");
        assert_eq!(entry.structure.properties["stable"], true, "{name}");
        assert!(!entry.structure.properties.contains_key("forces"), "{name}");
        assert!(data.warnings.iter().any(|w| w.contains("`forces`")), "{name}: {:?}", data.warnings);
    }
}

#[test]
fn errors_say_where() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    let data =
        load(&folder.join("broken_rows.parquet"), &LoadOptions { max_skipped_share: 1.0, ..raw() }).unwrap();
    let told: Vec<String> = data.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(data.len(), 1);
    for (k, (row, words)) in [
        ("row 2", "column `lattice` is empty"),
        ("row 3", "`species`, `frac_coords`"),
        ("row 4", "Xx"),
        ("row 5", "column `lattice` has 8 numbers"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(told[k].contains(row) && told[k].contains(words), "{}", told[k]);
    }
    let error = load(&folder.join("no_structures.parquet"), &raw()).unwrap_err();
    assert!(
        matches!(&error, DataError::NoStructureColumns { columns, .. } if columns == &["formula", "energy"]),
        "{error}"
    );
    let folder = tempdir().unwrap();
    let error = load(&put(folder.path(), "x.parquet", "no parquet at all"), &raw()).unwrap_err();
    assert!(matches!(error, DataError::Parquet { .. }), "{error}");
}

#[test]
fn damage_is_an_error_that_names_the_place() {
    let folder = tempdir().unwrap();
    let data = entries(2);
    let path = folder.path().join("a.parquet");
    write_dataset(&data, &path, OutputFormat::from_path(&path).unwrap(), false).unwrap();
    let good = fs::read(&path).unwrap();
    for n in (0..good.len()).step_by(211) {
        fs::write(&path, &good[..n]).unwrap();
        assert!(load(&path, &raw()).is_err(), "cut to {n} bytes");
    }
    let mut placed = 0;
    for n in (0..good.len()).step_by(17) {
        let mut bad = good.clone();
        bad[n] ^= 0x55;
        fs::write(&path, &bad).unwrap();
        // Parquet has no checksum of its own here: what is read may differ, but nothing panics.
        if let Err(e) = load(&path, &raw()) {
            let text = e.to_string();
            assert!(text.contains("a.parquet"), "{text}");
            placed += usize::from(text.contains("row group 1") && text.contains("column `"));
        }
    }
    assert!(placed > 20, "only {placed} damages were placed");
}
