//! Conversion: what is written is read back.

mod common;

use std::fs;

use common::{csv_text, halides, plain, put, rock_salt};
use druse_crystal::formats::Format;
use druse_data::{
    DataError, Dataset, LoadOptions, OutputFormat, load, write_dataset, write_symmetrized_folder,
};
use tempfile::tempdir;

/// Cells as they are: another reduction would hide what the file lost.
fn raw() -> LoadOptions {
    LoadOptions { niggli: false, ..plain() }
}

fn assert_same(a: &Dataset, b: &Dataset, tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.entries.iter().zip(&b.entries) {
        assert_eq!((&x.id, &x.structure.properties), (&y.id, &y.structure.properties));
        assert_eq!(x.structure.species, y.structure.species);
        let numbers =
            |d: &druse_crystal::Structure| [d.lattice.parameters().to_vec(), d.frac_coords.concat()].concat();
        for (p, q) in numbers(&x.structure).iter().zip(numbers(&y.structure)) {
            assert!((p - q).abs() < tolerance, "{}: {p} against {q}", x.id);
        }
    }
}

#[test]
fn tables_keep_structures_and_properties() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "halides.csv", halides()), &plain()).unwrap();
    for (name, tolerance) in [("a.csv", 1e-7), ("a.csv.gz", 1e-7), ("a.extxyz", 1e-7), ("a.jsonl", 1e-300)] {
        let path = folder.path().join(name);
        let format = OutputFormat::from_path(&path).unwrap();
        write_dataset(&data, &path, format, false).unwrap();
        let back = load(&path, &raw()).unwrap();
        assert_same(&data, &back, tolerance);
        if format == OutputFormat::JSONL {
            assert_eq!(back.content_hash, data.content_hash, "JSON Lines keep every bit");
        }
        let error = write_dataset(&data, &path, format, false).unwrap_err();
        assert!(matches!(error, DataError::OutputExists { .. }), "{error}");
        write_dataset(&data, &path, format, true).unwrap();
    }
}

#[test]
fn symmetrized_files_name_the_space_group() {
    let folder = tempdir().unwrap();
    let rows = [vec!["salt".to_owned(), rock_salt("Na", "Cl", 5.64)]];
    // The reduced cell of two atoms goes in, the conventional one of eight comes out.
    let data =
        load(&put(folder.path(), "t.csv", csv_text(&["material_id", "cif"], &rows)), &plain()).unwrap();
    let out = folder.path().join("symmetric");
    write_symmetrized_folder(&data, &out, 0.01, false).unwrap();
    let text = fs::read_to_string(out.join("salt.cif")).unwrap();
    assert!(text.contains("F m -3 m") && text.contains("Tables_number   225"), "{text}");
    let back = load(&out, &raw()).unwrap();
    assert_eq!(back.entries[0].structure.len(), 8);
    assert!((back.entries[0].structure.lattice.volume() - 5.64f64.powi(3)).abs() < 1e-4);
    let error = write_symmetrized_folder(&data, &out, 0.01, false).unwrap_err();
    assert!(matches!(error, DataError::OutputExists { .. }), "{error}");
}

#[test]
fn folders_hold_one_file_a_structure() {
    let folder = tempdir().unwrap();
    let rows: Vec<Vec<String>> = ["mp/1", "MP_1", "mp:1", ".."]
        .iter()
        .map(|id| vec![(*id).to_owned(), rock_salt("Na", "Cl", 5.64)])
        .collect();
    let data =
        load(&put(folder.path(), "t.csv", csv_text(&["material_id", "cif"], &rows)), &plain()).unwrap();
    for (name, format) in [("cifs", Format::Cif.into()), ("poscars", Format::Poscar.into())] {
        let out = folder.path().join(name);
        write_dataset(&data, &out, format, false).unwrap();
        let mut files: Vec<String> =
            fs::read_dir(&out).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        files.sort();
        assert_eq!(files.len(), 4, "identifiers that differ only in what file names cannot hold: {files:?}");
        let back = load(&out, &raw()).unwrap();
        assert_eq!(back.len(), 4);
        for entry in &back.entries {
            assert_eq!(entry.structure.species.len(), 8);
            assert!((entry.structure.density() - data.entries[0].structure.density()).abs() < 1e-6);
        }
        assert!(matches!(write_dataset(&data, &out, format, false), Err(DataError::OutputExists { .. })));
    }
}

#[test]
fn an_output_that_cannot_be_written_is_an_error() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "halides.csv", halides()), &plain()).unwrap();
    let blocked = put(folder.path(), "file", "x").join("below.csv");
    let error = write_dataset(&data, &blocked, OutputFormat::CSV, false).unwrap_err();
    assert!(matches!(&error, DataError::File(e) if e.path == folder.path().join("file")), "{error}");
    assert!("csv.xz".parse::<OutputFormat>().unwrap_err().to_string().contains("extxyz"));
}
