//! Files as people have them: every command reads them through these functions, and all give the same structures.

mod common;

use std::path::Path;

use common::{cif, csv_text, gzip, halides, plain, put, rock_salt};
use druse_crystal::Composition;
use druse_crystal::formats::{self, Format};
use druse_data::{DataError, Dataset, ListOptions, LoadOptions, list, load, structure_from_json};
use serde_json::{Value, json};
use tempfile::tempdir;

/// Lists and loads a file; gives `id formula` of its structures.
fn read(path: &Path) -> Vec<String> {
    let formula = |id: &str, s: &druse_crystal::Structure| {
        format!("{id} {}", Composition::from_species(&s.species).reduced_formula())
    };
    let options = LoadOptions { niggli: false, max_skipped_share: 1.0, ..plain() };
    let loaded = load(path, &options).unwrap_or_else(|e| panic!("{e}"));
    let listing = list(path, &ListOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let listed: Vec<String> =
        listing.items.iter().filter_map(|item| Some(formula(&item.id, item.structure()?))).collect();
    let loaded: Vec<String> = loaded.entries.iter().map(|e| formula(&e.id, &e.structure)).collect();
    assert_eq!(loaded, listed, "{}", path.display());
    listed
}

fn salt() -> Value {
    json!({
        "@module": "pymatgen.core.structure", "@class": "Structure",
        "lattice": {"matrix": [[0, 2.82, 2.82], [2.82, 0, 2.82], [2.82, 2.82, 0]]},
        "sites": [
            {"species": [{"element": "Na", "oxidation_state": 1, "occu": 1}], "abc": [0, 0, 0]},
            {"species": [{"element": "Cl", "oxidation_state": -1, "occu": 1}], "abc": [0.5, 0.5, 0.5]},
        ],
    })
}

#[test]
fn one_crystal_in_any_character_set_and_compression() {
    let folder = tempdir().unwrap();
    let text = format!("# Müller, 90°\n{}", rock_salt("Na", "Cl", 5.64));
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    let marked = format!("\u{feff}{text}").into_bytes();
    let wide: Vec<u8> =
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for (name, bytes) in
        [("utf8", text.clone().into_bytes()), ("latin", latin), ("marked", marked), ("wide", wide)]
    {
        for (ending, bytes) in [(".cif", bytes.clone()), ("", bytes.clone()), (".cif.GZ", gzip(&bytes))] {
            let path = put(folder.path(), &format!("set/{name}{ending}"), &bytes);
            assert_eq!(read(&path), [format!("{name} NaCl")], "{name}{ending}");
        }
    }
    // The same in a folder, where names have to say what is a structure file.
    assert_eq!(read(&folder.path().join("set")).len(), 8);
    let parsed = formats::read_str(&text, Format::Cif).unwrap().remove(0).structure;
    let poscar = formats::write(&parsed, Format::Poscar, "salt");
    let path = put(folder.path(), "relaxed/CONTCAR.gz", gzip(poscar.as_bytes()));
    assert_eq!(read(&path), ["CONTCAR NaCl"]);
    assert_eq!(read(path.parent().unwrap()), ["CONTCAR NaCl"]);
    assert_eq!(read(&put(folder.path(), "unnamed", poscar)), ["unnamed NaCl"]);
}

#[test]
fn a_row_in_latin_1_changes_no_other_row() {
    let folder = tempdir().unwrap();
    let cif = rock_salt("Na", "Cl", 5.64);
    let rows = ["salt", "café"].map(|id| vec![id.to_owned(), cif.clone(), "Å".to_owned()]);
    let text = csv_text(&["material_id", "cif", "unit"], &rows);
    // The last row alone is in Latin-1.
    let at = text.find("café").unwrap();
    let latin: Vec<u8> = text[at..].chars().map(|c| c as u8).collect();
    let data =
        load(&put(folder.path(), "t.csv", [&text.as_bytes()[..at], &latin].concat()), &plain()).unwrap();
    for (entry, id) in data.entries.iter().zip(["salt", "café"]) {
        assert_eq!((entry.id.as_str(), &entry.structure.properties["unit"]), (id, &"Å".into()));
    }
    let line = |id: &str| json!({"id": id, "structure": salt()}).to_string();
    let latin: Vec<u8> = line("é").chars().map(|c| c as u8).collect();
    let bytes = [line("é").as_bytes(), b"\n", &latin, b"\n\0\n"].concat();
    let path = put(folder.path(), "t.jsonl", bytes);
    assert_eq!(read(&path), ["é NaCl", "é NaCl"], "the broken row is one of three");
}

#[test]
fn tables_with_other_separators() {
    let folder = tempdir().unwrap();
    let expected = ["salt NaCl", "sylvite KCl", "cscl CsCl", "lif LiF"];
    assert_eq!(read(&put(folder.path(), "t.csv", halides())), expected);
    let rows = |separator: char| {
        let row = |id: &str, cif: &str| format!("{id}{separator}\"{cif}\"{separator}1,5\n");
        let header = format!("\u{feff}material_id{separator}cif{separator}gap\n");
        header + &row("salt", &rock_salt("Na", "Cl", 5.64)) + &row("lif", &rock_salt("Li", "F", 4.03))
    };
    for (name, separator) in [("s.csv", ';'), ("t.csv.gz", '\t'), ("unnamed", ';')] {
        let bytes = rows(separator).into_bytes();
        let bytes = if name.ends_with(".gz") { gzip(&bytes) } else { bytes };
        assert_eq!(read(&put(folder.path(), name, bytes)), ["salt NaCl", "lif LiF"], "{name}");
    }
}

#[test]
fn layouts_of_json() {
    let folder = tempdir().unwrap();
    let document = |id: &str| json!({"material_id": id, "band_gap": 5.0, "structure": salt()});
    let text = rock_salt("Na", "Cl", 5.64);
    let numpy = json!({"@module": "numpy", "@class": "array", "dtype": "float64", "data": [0.5, 0.5, 0.5]});
    let mut with_numpy = document("mp-22862");
    with_numpy["structure"]["sites"][1]["abc"] = numpy;
    with_numpy["material_id"] = json!({"@module": "emmet.core.mpid", "@class": "MPID", "string": "mp-22862"});
    let entry = json!({"@class": "ComputedStructureEntry", "energy": -6.7, "entry_id": "mp-22862-GGA", "structure": salt()});
    let one = ["mp-22862 NaCl"];
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        ("a structure", salt(), vec!["set NaCl"]),
        ("an array of them", json!([salt(), salt()]), vec!["1 NaCl", "2 NaCl"]),
        ("a document", document("mp-22862"), one.into()),
        ("a list", json!([document("mp-22862"), document("mp-1")]), vec!["mp-22862 NaCl", "mp-1 NaCl"]),
        ("of the API", json!({"data": [document("mp-22862")], "meta": {"total_doc": 1}}), one.into()),
        ("of the old API", json!({"valid_response": true, "response": [document("mp-22862")]}), one.into()),
        ("a dictionary", json!({"a": salt(), "b": document("x")}), vec!["a NaCl", "b NaCl"]),
        ("a dictionary of texts", json!({"a": text, "b": null}), vec!["a NaCl"]),
        ("texts", json!([text]), vec!["row-1 NaCl"]),
        ("a CIF text", json!([{"material_id": "t", "structure": text}]), vec!["t NaCl"]),
        ("JSON in JSON", json!([{"material_id": "t", "structure": salt().to_string()}]), vec!["t NaCl"]),
        ("numpy", json!([with_numpy]), one.into()),
        ("an entry", json!([entry]), vec!["mp-22862-GGA NaCl"]),
        (
            "a table",
            json!({"index": ["p", "q"], "columns": ["structure", "gap"], "data": [[salt(), 1.0], [salt(), 2.0]]}),
            vec!["p NaCl", "q NaCl"],
        ),
        (
            "columns",
            json!({"cif": {"0": text, "10": text, "2": text}, "material_id": {"0": "p", "2": "q", "10": "r"}}),
            vec!["p NaCl", "q NaCl", "r NaCl"],
        ),
    ];
    for (what, value, expected) in cases {
        let path = put(folder.path(), "set.json", value.to_string());
        assert_eq!(read(&path), expected, "{what}");
        let path = put(folder.path(), "set.jsonl", serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(read(&path).len(), expected.len(), "{what}");
        // By content, and over several lines.
        let path = put(folder.path(), "set", gzip(serde_json::to_string_pretty(&value).unwrap().as_bytes()));
        assert_eq!(read(&path).len(), expected.len(), "{what}");
    }
    let path = put(folder.path(), "docs.json", json!([document("mp-22862")]).to_string());
    assert_eq!(load(&path, &plain()).unwrap().entries[0].structure.properties["band_gap"], 5.0);
    let lines = format!("{}\n{}\n", document("a"), document("b"));
    assert_eq!(read(&put(folder.path(), "lines.json", lines)), ["a NaCl", "b NaCl"]);
    let database = put(folder.path(), "db.json", r#"{"1": {"cell": []}, "ids": [1], "nextid": 2}"#);
    let error = load(&database, &plain()).unwrap_err().to_string();
    assert!(error.contains("database of ASE"), "{error}");
}

#[test]
fn species_with_charges_in_json() {
    let object = |species: Value| json!({"lattice": [[4,0,0],[0,4,0],[0,0,4]], "species": species, "frac_coords": [[0,0,0],[0.5,0.5,0.5]]});
    for (species, z) in [
        (json!(["Na+", "Cl-"]), [11, 17]),
        (json!(["Fe2.5+", "O2-"]), [26, 8]),
        (json!(["Fe3+,spin=5", "Fe0+"]), [26, 26]),
        (json!(["D", "D+"]), [1, 1]),
        (json!([11, 17.0]), [11, 17]),
        (json!(["Na", 17]), [11, 17]),
        (json!(["11", "17"]), [11, 17]),
    ] {
        let s = structure_from_json(&object(species.clone())).unwrap();
        assert_eq!(s.atomic_numbers(), z, "{species}");
        let mut types = object(species);
        types["atom_types"] = types["species"].take();
        types.as_object_mut().unwrap().remove("species");
        assert_eq!(structure_from_json(&types).unwrap().atomic_numbers(), z);
    }
    let error = structure_from_json(&object(json!(["Xx3+", "O"]))).unwrap_err();
    assert!(error.contains("unknown element `Xx3+`"), "{error}");
    assert_eq!(structure_from_json(&rock_salt("Na", "Cl", 5.64).into()).unwrap().len(), 8);
}

/// What a reader had to interpret stands beside each structure; what is doubtful is left out when asked to.
#[test]
fn warnings_of_each_row_and_strict_reading() {
    let folder = tempdir().unwrap();
    // `CO1` may be cobalt or a carbon of that name.
    let doubtful = cif("co", [4.0, 4.0, 4.0, 90.0, 90.0, 90.0], " . CO1 0 0 0\n")
        .replace(" _atom_site_type_symbol\n", "")
        .replace(" . CO1", " CO1");
    let rows = [vec!["sure".to_owned(), rock_salt("Na", "Cl", 5.64)], vec!["doubt".to_owned(), doubtful]];
    let path = put(folder.path(), "t.csv", csv_text(&["material_id", "cif"], &rows));
    let listing = list(&path, &ListOptions::default()).unwrap();
    assert!(listing.items[0].warnings.is_empty());
    assert!(listing.items[1].warnings[0].contains("CO1"), "{:?}", listing.items[1].warnings);
    let strict = list(&path, &ListOptions { strict: true, ..ListOptions::default() }).unwrap();
    assert!(strict.items[0].outcome.is_ok());
    let reason = strict.items[1].reason().unwrap();
    assert!(reason.starts_with("refused because of --strict") && reason.contains("CO1"), "{reason}");
    assert!(strict.items[1].composition().is_some());

    let cache = druse_data::Cache::Folder(folder.path().join("cache"));
    let options = LoadOptions { cache, max_skipped_share: 0.5, ..LoadOptions::default() };
    for _ in 0..2 {
        // The cache tells them apart.
        assert_eq!(load(&path, &options).unwrap().len(), 2);
        let strict = load(&path, &LoadOptions { strict: true, ..options.clone() }).unwrap();
        assert_eq!((strict.len(), strict.skipped.len()), (1, 1));
    }
    let refused = load(&path, &LoadOptions { strict: true, ..plain() });
    assert!(matches!(refused, Err(DataError::TooManySkipped { .. })));
}

#[test]
fn identifiers_that_were_counted_are_told_from_given_ones() {
    let folder = tempdir().unwrap();
    let counted = |path: &Path| -> Vec<bool> {
        list(path, &ListOptions::default()).unwrap().items.iter().map(|i| i.counted).collect()
    };
    let frame = |name: &str| format!("1\nLattice=\"3 0 0 0 3 0 0 0 3\" {name}\nPo 0 0 0\n");
    let path = put(folder.path(), "t.xyz", frame("") + &frame("name=po") + &frame("material_id=mp-7"));
    assert_eq!(counted(&path), [true, false, false]);
    let lines = format!("{}\n{}\n", json!({"structure": salt()}), json!({"id": 3, "structure": salt()}));
    assert_eq!(counted(&put(folder.path(), "t.jsonl", lines)), [true, false]);
    assert_eq!(counted(&put(folder.path(), "x.cif", rock_salt("Na", "Cl", 5.64))), [false]);
    let salt = formats::read_str(&rock_salt("Na", "Cl", 5.64), Format::Cif).unwrap().remove(0).structure;
    let listing = druse_data::Listing::from(Dataset::from_structures("m", [salt]));
    assert!(listing.items[0].counted);
}

/// The hand of a crystal survives tables, folders and compression.
#[test]
fn quartz_keeps_its_hand_through_every_output() {
    let folder = tempdir().unwrap();
    let right = druse_testkit::prototypes::quartz();
    let rows = right.lattice.rows().map(|[x, y, z]| [x, y, -z]);
    let left =
        druse_crystal::Structure { lattice: druse_crystal::Lattice::from_rows(rows).unwrap(), ..right };
    let number = |s: &druse_crystal::Structure| druse_crystal::symmetry::analyze(s, 0.01).unwrap().number;
    assert_eq!(number(&left), 152);
    let set = Dataset::from_structures("quartz", [left]);
    for format in druse_data::OutputFormat::all() {
        let path = folder.path().join(format!("out-{}", format.name()));
        let path = if format.is_folder() { path } else { folder.path().join(format.file_name("out")) };
        druse_data::write_dataset(&set, &path, format, false).unwrap();
        for niggli in [false, true] {
            let back = load(&path, &LoadOptions { niggli, ..plain() }).unwrap();
            assert_eq!(number(&back.entries[0].structure), 152, "{} {niggli}", format.name());
        }
    }
}
