//! Reading of tables, structure files and folders, and what happens to bad ones.

mod common;

use std::fs;

use common::{cscl, csv_text, gzip, halides, plain, put, rock_salt};
use druse_crystal::content::ContentError;
use druse_data::{Cache, DataError, Dataset, Filter, LoadOptions, load};
use proptest::prelude::*;
use tempfile::tempdir;

fn ids(dataset: &Dataset) -> Vec<&str> {
    dataset.entries.iter().map(|e| e.id.as_str()).collect()
}

fn message(error: &DataError) -> String {
    error.to_string()
}

#[test]
fn a_table_gives_structures_and_typed_properties() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "halides.csv", halides()), &plain()).unwrap();
    assert_eq!(ids(&data), ["salt", "sylvite", "cscl", "lif"]);
    let lif = &data.entries[3].structure.properties;
    assert_eq!(lif["band_gap"], 8.7);
    assert_eq!(lif["pretty_formula"], "LiF");
    assert_eq!(lif["theoretical"], true);
    assert_eq!(lif.len(), 3, "neither the unnamed index nor id and cif are properties: {lif:?}");
    assert!(!data.entries[2].structure.properties.contains_key("band_gap"), "an empty field is no property");
    assert_eq!(data.entries[0].structure.len(), 8);
    assert!((data.entries[0].structure.density() - 2.164).abs() < 2e-3);
    assert!(data.skipped.is_empty() && data.warnings.is_empty(), "{:?} {:?}", data.skipped, data.warnings);
    assert!(data.name.ends_with("/halides"), "{}", data.name);
}

#[test]
fn gzip_is_recognized_by_content_and_changes_nothing() {
    let folder = tempdir().unwrap();
    let a = load(&put(folder.path(), "a.csv", halides()), &plain()).unwrap();
    let b = load(&put(folder.path(), "b.csv.gz", gzip(halides().as_bytes())), &plain()).unwrap();
    let c = load(&put(folder.path(), "c.csv", gzip(halides().as_bytes())), &plain()).unwrap();
    let d = load(&put(folder.path(), "table", halides()), &plain()).unwrap();
    let e = load(&put(folder.path(), "e.csv", format!("\u{feff}{}", halides())), &plain()).unwrap();
    for other in [b, c, d, e] {
        assert_eq!(other.entries, a.entries);
        assert_eq!(other.content_hash, a.content_hash);
    }
}

#[test]
fn one_thread_or_three_give_the_same() {
    let folder = tempdir().unwrap();
    let rows: Vec<Vec<String>> =
        (0..200).map(|k| vec![format!("m{k}"), rock_salt("Na", "Cl", 5.0 + 0.01 * f64::from(k))]).collect();
    let path = put(folder.path(), "many.csv", csv_text(&["material_id", "cif"], &rows));
    let one = load(&path, &LoadOptions { threads: Some(1), ..plain() }).unwrap();
    let three = load(&path, &LoadOptions { threads: Some(3), ..plain() }).unwrap();
    assert_eq!(one, three);
    assert_eq!(one.entries[137].id, "m137");
}

#[test]
fn cells_are_niggli_reduced_unless_asked_otherwise() {
    let folder = tempdir().unwrap();
    // A sheared description of a primitive cubic lattice: b = a + b', 45 degrees.
    let sheared =
        common::cif("Po", [3.35, 3.35 * 2f64.sqrt(), 3.35, 90.0, 90.0, 45.0], " Po Po0 0.25 0.5 0.75\n");
    let path = put(folder.path(), "po.csv", csv_text(&["material_id", "cif"], &[vec!["po".into(), sheared]]));
    let reduced = load(&path, &plain()).unwrap();
    for (p, q) in
        reduced.entries[0].structure.lattice.parameters().iter().zip([3.35, 3.35, 3.35, 90.0, 90.0, 90.0])
    {
        assert!((p - q).abs() < 1e-6, "{p} against {q}");
    }
    let raw = load(&path, &LoadOptions { niggli: false, ..plain() }).unwrap();
    assert!((raw.entries[0].structure.lattice.angles()[2] - 45.0).abs() < 1e-9);
}

#[test]
fn the_identifier_column_is_found() {
    let folder = tempdir().unwrap();
    let row =
        |id: &str, tag: &str| vec!["1.5".to_owned(), tag.to_owned(), id.to_owned(), cscl("Cs", "Cl", 4.12)];
    let path =
        put(folder.path(), "t.csv", csv_text(&["x", "tag", "name", "cif"], &[row("p", "u"), row("q", "u")]));
    let data = load(&path, &plain()).unwrap();
    assert_eq!(ids(&data), ["p", "q"], "`tag` repeats and cannot tell rows apart");
    assert_eq!(data.entries[0].structure.properties["tag"], "u");

    let path = put(folder.path(), "bare.csv", csv_text(&["cif"], &[vec![cscl("Cs", "Cl", 4.12)]]));
    assert_eq!(ids(&load(&path, &plain()).unwrap()), ["row-1"]);
}

#[test]
fn a_formula_that_looks_like_a_number_stays_text() {
    let folder = tempdir().unwrap();
    let row =
        |id: &str, formula: &str, x: &str| vec![id.into(), cscl("Cs", "Cl", 4.12), formula.into(), x.into()];
    let rows = [row("a", "NaN", "1"), row("b", "InF", "nan"), row("c", "KCl", "n/a"), row("d", "KBr", "2")];
    let path = put(folder.path(), "t.csv", csv_text(&["material_id", "cif", "formula", "x"], &rows));
    let data = load(&path, &plain()).unwrap();
    assert_eq!(data.entries[0].structure.properties["formula"], "NaN");
    assert_eq!(data.entries[1].structure.properties["formula"], "InF");
    // `x` has one field that is no number.
    assert_eq!(data.entries[3].structure.properties["x"], "2");
    let rows = [row("a", "NaN", "1"), row("b", "InF", "nan")];
    let data = load(
        &put(folder.path(), "u.csv", csv_text(&["material_id", "cif", "formula", "x"], &rows)),
        &plain(),
    );
    let data = data.unwrap();
    assert_eq!(data.entries[0].structure.properties["x"], 1.0);
    assert!(!data.entries[1].structure.properties.contains_key("x"), "NaN is a missing value");
}

#[test]
fn broken_rows_are_skipped_counted_and_listed() {
    let folder = tempdir().unwrap();
    let mut rows: Vec<Vec<String>> =
        (0..10).map(|k| vec![format!("m{k}"), rock_salt("Na", "Cl", 5.64), "1".into()]).collect();
    rows[2][1] = "data_x\n_cell_length_a five\n".into();
    rows[4][1] = rock_salt("Na", "Qq", 5.64);
    rows[5][1] = String::new();
    rows[7].pop();
    rows[8][1] =
        common::cif("FeO", [4.0, 4.0, 4.0, 90.0, 90.0, 90.0], " Fe Fe0 0.1 0.2 0.3\n O O1 0.1 0.2 0.3\n");
    let path = put(folder.path(), "t.csv", csv_text(&["material_id", "cif", "x"], &rows));

    let error = load(&path, &plain()).unwrap_err();
    let DataError::TooManySkipped { skipped, total, allowed, .. } = &error else { panic!("{error}") };
    assert_eq!((skipped.len(), *total, *allowed), (5, 10, 0.01));
    let text = message(&error);
    for part in [
        "t.csv", "5 of 10", "row 3", "id m2", "row 5", "Qq", "row 6", "empty", "row 8", "2 fields",
        "coincide",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }

    let data = load(&path, &LoadOptions { max_skipped_share: 0.5, ..plain() }).unwrap();
    assert_eq!(ids(&data), ["m0", "m1", "m3", "m6", "m9"]);
    assert_eq!(data.skipped.len(), 5);
    assert_eq!(data.skipped[0].file, path);
    assert_eq!(data.skipped[0].row, Some(3));
    // The header and two CIFs of 22 lines come before.
    let cif_lines = rock_salt("Na", "Cl", 5.64).lines().count();
    assert_eq!(data.skipped[0].line, Some(2 + 2 * (cif_lines + 1)));
}

#[test]
fn a_table_that_ends_inside_a_quoted_field_loses_its_last_row_loudly() {
    let folder = tempdir().unwrap();
    let rows: Vec<Vec<String>> = (0..3).map(|k| vec![format!("m{k}"), rock_salt("Na", "Cl", 5.64)]).collect();
    let text = csv_text(&["material_id", "cif"], &rows);
    // Cut behind the line of a site: what is left of the CIF alone would read as a smaller crystal.
    let cut = text.rfind(" Cl Cl6").unwrap();
    let path = put(folder.path(), "cut.csv", &text[..cut]);
    let data = load(&path, &LoadOptions { max_skipped_share: 0.5, ..plain() }).unwrap();
    assert_eq!(ids(&data), ["m0", "m1"]);
    assert!(data.skipped[0].reason.contains("cut off"), "{}", data.skipped[0]);
}

#[test]
fn bad_files_have_their_own_errors() {
    let folder = tempdir().unwrap();
    let f = folder.path();
    let load = |path: &std::path::Path| load(path, &plain());

    let whole = gzip(halides().as_bytes());
    let error = load(&put(f, "cut.csv.gz", &whole[..whole.len() / 2])).unwrap_err();
    assert!(
        matches!(error, DataError::Content { source: ContentError::TruncatedGzip { .. }, .. }),
        "{error}"
    );
    assert!(message(&error).contains("cut.csv.gz"));

    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let error = load(&put(f, "damaged.csv.gz", &damaged)).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::Content { source: ContentError::DamagedGzip { .. }, .. }
                | DataError::Content { source: ContentError::TruncatedGzip { .. }, .. }
        ),
        "{error}"
    );

    let error = load(&put(f, "plain.csv.gz", halides())).unwrap_err();
    assert!(matches!(error, DataError::Content { source: ContentError::NotGzip { .. }, .. }), "{error}");
    assert!(message(&error).contains(",material_id"), "{error}");

    let error = load(&put(f, "other.csv", "material_id,smiles\na,CCO\n")).unwrap_err();
    let DataError::NoCifColumn { columns, .. } = &error else { panic!("{error}") };
    assert_eq!(columns, &["material_id", "smiles"]);

    let nothing = gzip(b"");
    let empties: [(&str, &[u8]); 4] = [
        ("zero.csv", b""),
        ("header.csv", b"material_id,cif\n"),
        ("zero.jsonl", b"\n\n"),
        ("zero.csv.gz", &nothing),
    ];
    for (name, content) in empties {
        let error = load(&put(f, name, content)).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{name}: {error}");
    }
    let error = load(&put(f, "binary.cif", b"data_x\n\0\x01")).unwrap_err();
    assert!(message(&error).contains("binary.cif` is no text: line 2"), "{error}");
    let error = load(&put(f, "packed.csv", b"PK\x03\x04\0\0")).unwrap_err();
    assert!(message(&error).contains("compressed with zip"), "{error}");

    assert!(matches!(load(&f.join("nowhere.csv")).unwrap_err(), DataError::File(_)));
    assert!(matches!(load(&put(f, "notes.txt", "hello\n")).unwrap_err(), DataError::UnknownFormat { .. }));
    let empty = f.join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(matches!(load(&empty).unwrap_err(), DataError::Empty { .. }));
    let tables = f.join("tables");
    put(&tables, "train.csv", halides());
    let error = load(&tables).unwrap_err();
    assert!(message(&error).contains("train.csv"), "{error}");
}

#[test]
fn folders_are_read_in_the_order_of_their_names() {
    let folder = tempdir().unwrap();
    put(folder.path(), "b.cif", rock_salt("K", "Br", 6.6));
    put(folder.path(), "a.cif.gz", gzip(rock_salt("Na", "Cl", 5.64).as_bytes()));
    put(
        folder.path(),
        "deep/POSCAR",
        "CsCl\n1.0\n4.12 0 0\n0 4.12 0\n0 0 4.12\nCs Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n",
    );
    put(folder.path(), "c.cif", rock_salt("K", "Br", 6.6) + &cscl("Cs", "Cl", 4.12));
    put(folder.path(), "readme.md", "about");
    put(folder.path(), ".hidden.cif", "garbage");
    let data = load(folder.path(), &plain()).unwrap();
    assert_eq!(ids(&data), ["a", "b", "c/KBr", "c/CsCl", "deep/POSCAR"]);
    assert_eq!(data.entries[4].structure.len(), 2);
    assert_eq!(data.warnings.len(), 1, "{:?}", data.warnings);

    put(folder.path(), "broken.cif", "data_x\n");
    put(folder.path(), "deep/empty.cif", "");
    let data = load(folder.path(), &LoadOptions { max_skipped_share: 0.3, ..plain() }).unwrap();
    assert_eq!(data.len(), 5);
    let files: Vec<_> = data.skipped.iter().map(|s| s.file.clone()).collect();
    assert_eq!(files, [folder.path().join("broken.cif"), folder.path().join("deep/empty.cif")]);
}

#[test]
fn a_cif_of_several_blocks_survives_a_broken_one() {
    let folder = tempdir().unwrap();
    let broken = "data_bad\n_cell_length_a 1\n_atom_site_label\n";
    let path = put(folder.path(), "many.cif", cscl("Cs", "Cl", 4.12) + broken + &rock_salt("Na", "Cl", 5.64));
    let data = load(&path, &LoadOptions { max_skipped_share: 0.5, ..plain() }).unwrap();
    assert_eq!(data.len(), 2);
    assert_eq!(data.entries[1].structure.len(), 8);
    assert_eq!(data.skipped[0].id.as_deref(), Some("bad"));
    assert_eq!(data.skipped[0].line, Some(1 + cscl("Cs", "Cl", 4.12).lines().count()));
}

#[test]
fn extended_xyz_frames_survive_a_broken_one() {
    let folder = tempdir().unwrap();
    let frame = |a: f64, second: &str| {
        format!(
            "2\nLattice=\"{a} 0 0 0 {a} 0 0 0 {a}\" Properties=species:S:1:pos:R:3 energy=-1.5 pbc=\"T T T\"\nCs 0 0 0\n{second}\n"
        )
    };
    let text = frame(4.12, "Cl 2.06 2.06 2.06") + &frame(4.2, "Xx 2 2 2") + &frame(4.3, "Cl 2.1 2.1 2.1");
    let path = put(folder.path(), "t.extxyz", text);
    let data = load(&path, &LoadOptions { max_skipped_share: 0.5, ..plain() }).unwrap();
    assert_eq!(data.len(), 2);
    assert_eq!(data.entries[0].structure.properties["energy"], -1.5);
    assert_eq!((data.skipped[0].row, data.skipped[0].line), (Some(2), Some(5)));
    assert!(data.skipped[0].reason.contains("Xx"), "{}", data.skipped[0]);
}

#[test]
fn json_lines_of_every_kind() {
    let folder = tempdir().unwrap();
    let own = r#"{"id":"a","formula":"CsCl","structure":{"lattice":[[4.12,0,0],[0,4.12,0],[0,0,4.12]],"species":["Cs","Cl"],"frac_coords":[[0,0,0],[0.5,0.5,0.5]]},"properties":{"seed":3},"converged":true}"#;
    let pymatgen = r#"{"@module":"pymatgen.core.structure","@class":"Structure","charge":0,"material_id":"b","lattice":{"matrix":[[4.12,0,0],[0,4.12,0],[0,0,4.12]]},"sites":[{"species":[{"element":"Cs","occu":1}],"abc":[0,0,0],"label":"Cs"},{"species":[{"element":"Cl","occu":1}],"abc":[0.5,0.5,0.5],"label":"Cl"}]}"#;
    let cif = serde_json::json!({"id": "c", "cif": cscl("Cs", "Cl", 4.12), "gap": 5}).to_string();
    let path = put(folder.path(), "t.jsonl", format!("{own}\n\n{pymatgen}\n{cif}\n"));
    let data = load(&path, &plain()).unwrap();
    assert_eq!(ids(&data), ["a", "b", "c"]);
    for entry in &data.entries {
        assert_eq!(entry.structure.len(), 2, "{}", entry.id);
        assert!((entry.structure.lattice.volume() - 4.12f64.powi(3)).abs() < 1e-9);
    }
    let properties = &data.entries[0].structure.properties;
    assert_eq!(properties["seed"], 3.0);
    assert_eq!(properties["converged"], true);
    assert_eq!(data.entries[2].structure.properties["gap"], 5.0);

    // A line that its writer did not finish is no reason to refuse the others.
    let path = put(folder.path(), "cut.jsonl", format!("{own}\n{}", &own[..80]));
    let data = load(&path, &plain()).unwrap();
    assert_eq!(ids(&data), ["a"]);
    assert!(data.warnings[0].contains("incomplete"), "{:?}", data.warnings);

    let bad = own.replace("[0.5,0.5,0.5]]", "[0.5,0.5,0.5],[0,0,0.2]]");
    let error = load(&put(folder.path(), "bad.jsonl", format!("{bad}\n")), &plain()).unwrap_err();
    assert!(message(&error).contains("2 species but 3"), "{error}");
}

#[test]
fn filters_choose_and_name_what_there_is() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "halides.csv", halides());
    let with = |filters: &[Filter]| load(&path, &LoadOptions { filters: filters.to_vec(), ..plain() });
    let whole = with(&[]).unwrap();
    let el =
        |symbols: &[&str]| symbols.iter().map(|s| druse_crystal::Element::from_symbol(s).unwrap()).collect();

    let gap = with(&["band_gap<5.05".parse().unwrap()]).unwrap();
    assert_eq!(ids(&gap), ["salt"], "a structure without the property does not pass");
    assert_ne!(gap.content_hash, whole.content_hash);
    assert_eq!(ids(&with(&[Filter::MaxAtoms(2)]).unwrap()), ["cscl"]);
    assert_eq!(
        ids(&with(&[Filter::MinAtoms(3), "theoretical=False".parse().unwrap()]).unwrap()),
        ["salt", "sylvite"]
    );
    assert_eq!(ids(&with(&[Filter::ExcludedElements(el(&["Cl"]))]).unwrap()), ["lif"]);
    assert_eq!(ids(&with(&[Filter::RequiredElements(el(&["Cl", "K"]))]).unwrap()), ["sylvite"]);
    assert_eq!(ids(&with(&[Filter::AllowedElements(el(&["Cl", "K", "Na"]))]).unwrap()), ["salt", "sylvite"]);
    assert_eq!(
        ids(&with(&["pretty_formula!=NaCl".parse().unwrap(), "band_gap>=5.1".parse().unwrap()]).unwrap()),
        ["sylvite", "lif"]
    );

    let error = with(&["gap<1".parse().unwrap()]).unwrap_err();
    assert!(message(&error).contains("band_gap, pretty_formula, theoretical"), "{error}");
    let error = with(&["pretty_formula<1".parse().unwrap()]).unwrap_err();
    assert!(message(&error).contains("salt") && message(&error).contains("NaCl"), "{error}");
    assert!(matches!(with(&[Filter::MaxAtoms(1)]).unwrap_err(), DataError::NothingLeft { total: 4, .. }));
    for bad in ["", "band_gap", "<3", "band_gap<", "a!b", "0<band_gap<1"] {
        assert!(bad.parse::<Filter>().is_err(), "{bad}");
    }
    assert!("band_gap<NaCl".parse::<Filter>().unwrap_err().to_string().contains("NaCl"));
}

#[test]
fn remarks_of_the_readers_are_kept_with_their_count() {
    let folder = tempdir().unwrap();
    let rows: Vec<Vec<String>> = (0..3).map(|k| vec![format!("m{k}"), rock_salt("Li", "D", 4.07)]).collect();
    let path = put(folder.path(), "t.csv", csv_text(&["material_id", "cif"], &rows));
    let data = load(&path, &plain()).unwrap();
    assert_eq!(data.entries[0].structure.species[7].symbol(), "H");
    assert_eq!(data.warnings.len(), 1, "{:?}", data.warnings);
    assert!(data.warnings[0].contains("3 times"), "{:?}", data.warnings);
}

#[test]
fn the_allowed_share_must_be_a_share() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "halides.csv", halides());
    for max_skipped_share in [-0.1, 1.5, f64::NAN] {
        let error = load(&path, &LoadOptions { max_skipped_share, ..plain() }).unwrap_err();
        assert!(matches!(error, DataError::SkippedShare { .. }), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a few bytes of damage make of a file, the reader answers and loses no row without a word.
    #[test]
    fn damaged_files_never_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        compress in any::<bool>(),
    ) {
        let mut bytes = if compress { gzip(halides().as_bytes()) } else { halides().into_bytes() };
        for (at, byte) in damage {
            let k = at.index(bytes.len());
            bytes[k] = byte;
        }
        bytes.truncate(bytes.len().min(cut.index(2 * bytes.len()) + 1));
        let folder = tempdir().unwrap();
        let path = put(folder.path(), if compress { "t.csv.gz" } else { "t.csv" }, bytes);
        if let Ok(data) = load(&path, &LoadOptions { max_skipped_share: 1.0, ..plain() }) {
            prop_assert!(!data.is_empty());
            prop_assert!(data.structures().all(|s| s.lattice.volume() > 0.0 && !s.is_empty()));
        }
    }
}

#[test]
fn the_cache_gives_back_the_same_and_notices_changes() {
    let folder = tempdir().unwrap();
    let cache = folder.path().join("cache");
    let options = LoadOptions { cache: Cache::Folder(cache.clone()), ..LoadOptions::default() };
    let files = || fs::read_dir(&cache).unwrap().map(|f| f.unwrap().path()).collect::<Vec<_>>();
    let path = put(folder.path(), "halides.csv", halides());

    let fresh = load(&path, &plain()).unwrap();
    let first = load(&path, &options).unwrap();
    assert_eq!(files().len(), 1);
    let packed = fs::read(&files()[0]).unwrap();
    let second = load(&path, &options).unwrap();
    assert_eq!((&first, &second), (&fresh, &fresh));

    // A damaged file is replaced, whatever the damage.
    for damage in [packed[..packed.len() / 2].to_vec(), b"nonsense".to_vec(), Vec::new()] {
        fs::write(&files()[0], damage).unwrap();
        assert_eq!(load(&path, &options).unwrap(), fresh);
        assert_eq!(fs::read(&files()[0]).unwrap(), packed, "the cache is built anew");
    }

    // Other options and other content have other files.
    let raw = load(&path, &LoadOptions { niggli: false, ..options.clone() }).unwrap();
    assert_eq!(raw.len(), 4);
    assert_eq!(files().len(), 2);
    put(folder.path(), "halides.csv", halides().replace("8.7e0", "8.8"));
    let changed = load(&path, &options).unwrap();
    assert_eq!(changed.entries[3].structure.properties["band_gap"], 8.8);
    assert_eq!(files().len(), 3);
}

#[test]
fn the_cache_remembers_skipped_rows() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "t.csv", halides() + "4,bad,data_x,,,\n");
    let options = LoadOptions {
        cache: Cache::Folder(folder.path().join("cache")),
        max_skipped_share: 0.2,
        ..LoadOptions::default()
    };
    let first = load(&path, &options).unwrap();
    assert_eq!(first.skipped.len(), 1);
    assert_eq!(load(&path, &options).unwrap(), first);
    let strict = LoadOptions { max_skipped_share: 0.1, ..options };
    assert!(matches!(load(&path, &strict).unwrap_err(), DataError::TooManySkipped { .. }));
}

#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "halides.csv", halides());
    let blocked = put(folder.path(), "file", "in the way");
    let options = LoadOptions { cache: Cache::Folder(blocked), ..LoadOptions::default() };
    assert_eq!(load(&path, &options).unwrap().len(), 4);
}
