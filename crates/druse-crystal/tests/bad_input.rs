//! Every way a structure file can be wrong is an error that names the place; none is a panic.

use druse_crystal::formats::{Format, FormatErrorKind as Kind, ReadError, read_path, read_str};

/// Error kind, line and message of a text that must not be readable.
fn refused(text: &str, format: Format) -> (Kind, Option<usize>, String) {
    match read_str(text, format) {
        Ok(parsed) => panic!("read as {parsed:?}:\n{text}"),
        Err(e) => (e.kind.clone(), e.line, e.to_string()),
    }
}

const CIF: &str = "data_x
_cell_length_a 3
_cell_length_b 4
_cell_length_c 5
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_Int_Tables_number 1
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Fe1 Fe 0 0 0 1
O1 O 0.5 0.5 0.5 1
";

#[test]
fn cif() {
    assert!(read_str(CIF, Format::Cif).is_ok());
    // What is replaced, by what, the line and words of the error.
    let cases: &[(&str, &str, Option<usize>, &str)] = &[
        ("_cell_length_a 3", "_cell_length_a 0", Some(2), "a = 0"),
        ("_cell_length_a 3", "_cell_length_a -3", Some(2), "must be positive"),
        ("_cell_length_a 3", "_cell_length_a nan", Some(2), "not finite"),
        ("_cell_length_a 3", "_cell_length_a 1e999", Some(2), "not finite"),
        ("_cell_length_a 3", "_cell_length_a three", Some(2), "not a number"),
        ("_cell_length_a 3", "_cell_length_a", Some(2), "has no value"),
        ("_cell_length_a 3", "_cell_length_a ?", Some(1), "`_cell_length_a` is missing"),
        ("_cell_length_a 3", "_cell_volume 0\n_cell_length_a 3", Some(2), "must be positive"),
        ("_cell_angle_gamma 90", "_cell_angle_gamma 0", Some(2), "enclose no cell"),
        ("_cell_angle_gamma 90", "_cell_angle_gamma 5(", Some(7), "not a number"),
        ("Fe1 Fe 0", "Xy1 Xy 0", Some(16), "unknown element `Xy` at site Xy1"),
        ("Fe1 Fe 0 0 0 1", "Fe1 Fe 0 0 0 0.7(1)", Some(16), "site Fe1 is partially occupied (Fe: 0.7)"),
        ("Fe1 Fe 0 0 0 1", "Fe1 Fe 0 0 0 -1", Some(16), "partially occupied"),
        ("Fe1 Fe 0 0 0 1", "Fe1 Fe 0 0 0 1.5", Some(16), "partially occupied"),
        ("Fe1 Fe 0 0 0 1", "Fe1 Fe 0.5 0.5 0.501 1", Some(17), "atoms Fe1 and O1 coincide"),
        (
            "Fe1 Fe 0 0 0 1",
            "Fe1 Fe ? 0 0 1",
            Some(16),
            "position of site Fe1 (`_atom_site_fract_x` is `?`) is missing",
        ),
        ("Fe1 Fe 0 0 0 1", "Fe1 Fe inf 0 0 1", Some(16), "not finite"),
        ("Fe1 Fe 0 0 0 1", "Fe1 Fe 1/2 0 0 1", Some(16), "not a number"),
        ("Fe1 Fe 0 0 0 1", "Fe1 Fe 0 0", Some(17), "last row is incomplete"),
        ("Fe1 Fe 0 0 0 1\nO1 O 0.5 0.5 0.5 1\n", "", Some(9), "no rows"),
        ("_atom_site_fract_y\n", "_atom_site_fract_q\n", Some(9), "column `_atom_site_fract_y` is missing"),
        ("_atom_site_fract_x", "_atom_site_Cartn_x", Some(9), "Cartesian"),
        ("number 1", "number 231", Some(8), "`231` is no space-group number"),
        ("number 1", "number x", Some(8), "no space-group number"),
        ("number 1", "number 225", Some(8), "does not fit the cell"),
        (
            "_symmetry_Int_Tables_number 1",
            "_space_group_name_H-M_alt 'Q 9'",
            Some(8),
            "unknown space group `Q 9`",
        ),
        (
            "number 1",
            "number 2\n_space_group_name_H-M_alt 'P 1'",
            Some(9),
            "is space group 1, but the number",
        ),
        ("number 1", "number 1\n_symmetry_equiv_pos_as_xyz 'x,y'", Some(9), "three parts"),
        ("number 1", "number 1\n_symmetry_equiv_pos_as_xyz 'y,x,z'", Some(9), "changes the lengths"),
        ("number 1", "number '1", Some(8), "not closed"),
        ("number 1", "number 1\n;", Some(9), "never closed"),
        ("number 1", "number 1 2", Some(8), "belongs to no tag"),
        ("data_x\n", "", Some(1), "data_NAME"),
        ("loop_\n", "loop_ loop_\n", Some(9), "names no columns"),
        ("data_x", "data_x save_y", Some(1), "dictionaries"),
    ];
    for (from, to, line, words) in cases {
        assert!(CIF.contains(from), "{from}");
        let (_, found, message) = refused(&CIF.replacen(from, to, 1), Format::Cif);
        assert!(message.contains(words), "{to}: {message}");
        assert_eq!(found, *line, "{to}: {message}");
    }
    assert!(matches!(refused("", Format::Cif).0, Kind::NoStructure(_)));
    assert!(matches!(refused("data_x\n_a b\n", Format::Cif).0, Kind::NoStructure(_)));
    for (from, to) in [("_cell_length_a 3\n", "_cell_length_a 3\ndata_y\n"), ("loop_", "data_y loop_")] {
        assert!(matches!(refused(&CIF.replacen(from, to, 1), Format::Cif).0, Kind::Missing(_)));
    }
    let many = format!("_symmetry_equiv_pos_as_xyz\n{}", "x,y,z\n".repeat(2000));
    let text = CIF.replacen("_symmetry_Int_Tables_number 1\n", &format!("loop_\n{many}"), 1);
    assert!(matches!(refused(&text, Format::Cif).0, Kind::Symmetry(_)));
}

#[test]
fn cutting_a_file_anywhere_never_panics() {
    let samples = [
        (CIF, Format::Cif),
        (POSCAR, Format::Poscar),
        (EXTXYZ, Format::ExtXyz),
        (JSON, Format::PymatgenJson),
    ];
    for (text, format) in samples {
        for end in 0..text.len() {
            let _ = read_str(&text[..end], format);
            let _ = read_str(&text[end..], format);
            let _ = read_str(&format!("{}\0é'\"{}", &text[..end], &text[end..]), format);
        }
    }
}

const POSCAR: &str = "FeO
1.0
3 0 0
0 4 0
0 0 5
Fe O
1 1
Direct
0 0 0
0.5 0.5 0.5
";

#[test]
fn poscar() {
    assert!(read_str(POSCAR, Format::Poscar).is_ok());
    let cases: &[(&str, &str, Option<usize>, &str)] = &[
        ("1.0", "0", Some(2), "must not be zero"),
        ("1.0", "x", Some(2), "not a number"),
        ("1.0", "1 -1 1", Some(2), "positive"),
        ("0 4 0", "6 0 0", Some(5), "no volume"),
        ("0 4 0", "0 4", Some(4), "three numbers"),
        ("0 4 0", "0 inf 0", Some(4), "not finite"),
        ("Fe O\n", "Fe Xq\n", Some(6), "unknown element `Xq`"),
        ("Fe O\n", "Fe\n", Some(6), "1 element names but 2 atom counts"),
        ("Fe O\n", "", Some(6), "line of element names"),
        ("1 1\n", "1 2\n", Some(10), "coordinates of atom 3 of 3"),
        ("1 1\n", "0 0\n", Some(7), "no atoms"),
        ("1 1\n", "1 -1\n", Some(7), "no number of atoms"),
        ("1 1\n", "1 99999999999\n", Some(7), "more than 1000000 atoms"),
        ("1 1\n", "1 18446744073709551615\n", Some(7), "more than 1000000 atoms"),
        ("Direct\n", "", Some(8), "`Direct` or `Cartesian` before the coordinates"),
        ("Direct\n0 0 0\n", "Direct\n0.1-100 0 0\n", Some(9), "not a number"),
        ("0 0 0\n0.5", "0 0 NaN\n0.5", Some(9), "not finite"),
        ("0.5 0.5 0.5", "1 0 1.0001", Some(10), "atoms Fe1 and O2 coincide"),
    ];
    for (from, to, line, words) in cases {
        assert!(POSCAR.contains(from), "{from}");
        let (_, found, message) = refused(&POSCAR.replacen(from, to, 1), Format::Poscar);
        assert!(message.contains(words), "{to}: {message}");
        assert_eq!(found, *line, "{to}: {message}");
    }
    assert!(matches!(refused(" \n", Format::Poscar).0, Kind::NoStructure(_)));
}

const EXTXYZ: &str = r#"2
Lattice="3 0 0 0 4 0 0 0 5" Properties=species:S:1:pos:R:3 energy=-1.5 pbc="T T T"
Fe 0 0 0
O 1.5 2 2.5
"#;

#[test]
fn extxyz() {
    assert!(read_str(EXTXYZ, Format::ExtXyz).is_ok());
    let cases: &[(&str, &str, Option<usize>, &str)] = &[
        ("2\n", "two\n", Some(1), "expected the number of atoms"),
        ("2\n", "3\n", Some(1), "atom 3 is missing"),
        ("2\n", "0\n", Some(1), "no atoms"),
        ("2\n", "-1\n", Some(1), "number of atoms"),
        ("2\n", "99999999\n", Some(1), "more than 1000000 atoms"),
        ("2\n", "1\n", Some(4), "frame 2: expected the number of atoms"),
        ("Lattice", "Grid", Some(2), "`Lattice="),
        ("3 0 0 0 4 0 0 0 5", "3 0 0 0 4 0 0 0", Some(2), "8 numbers"),
        ("3 0 0 0 4 0 0 0 5", "3 0 0 0 4 0 0 0 nan", Some(2), "not finite"),
        ("3 0 0 0 4 0 0 0 5", "3 0 0 6 0 0 0 0 5", Some(2), "no volume"),
        ("T T T", "T T F", Some(2), "not periodic along c"),
        ("\"T T T\"", "[F, t, \"False\"]", Some(2), "not periodic along a and c"),
        ("T T T", "F", Some(2), "not periodic along any direction"),
        ("T T T", "x y z", Some(2), "does not say for three directions"),
        ("T T T", "T T", Some(2), "does not say for three directions"),
        ("T T T\"", "T T T", Some(2), "never closed"),
        ("species:S:1", "species:S", Some(2), "no number of columns"),
        ("species:S:1:pos:R:3", "species:S:1:force:R:3", Some(2), "pos:R:3 is missing"),
        ("species:S:1:pos:R:3", "q:S:1:pos:R:3", Some(2), "species:S:1 is missing"),
        ("pos:R:3", "pos:R:99999999999", Some(2), "no number of columns"),
        ("Fe 0", "Zz 0", Some(3), "unknown element `Zz`"),
        ("Fe 0 0 0", "Fe 0 0", Some(3), "too few columns"),
        ("Fe 0 0 0", "Fe 0 0 inf", Some(3), "not finite"),
        ("1.5 2 2.5", "3 0 0.001", Some(4), "atoms Fe1 and O2 coincide"),
    ];
    for (from, to, line, words) in cases {
        assert!(EXTXYZ.contains(from), "{from}");
        let (_, found, message) = refused(&EXTXYZ.replacen(from, to, 1), Format::ExtXyz);
        assert!(message.contains(words), "{to}: {message}");
        assert_eq!(found, *line, "{to}: {message}");
    }
    assert!(matches!(refused("\n\n", Format::ExtXyz).0, Kind::NoStructure(_)));
}

const JSON: &str = r#"{"lattice": {"matrix": [[3,0,0],[0,4,0],[0,0,5]]},
"sites": [{"species": [{"element": "Fe3+", "occu": 1}], "abc": [0,0,0], "label": "Fe1"},
{"species": [{"element": "O", "occu": 1.0}], "abc": [0.5,0.5,0.5]}]}"#;

#[test]
fn pymatgen_json() {
    assert!(read_str(JSON, Format::PymatgenJson).is_ok());
    let cases: &[(&str, &str, Option<usize>, &str)] = &[
        ("}]}", "}", Some(3), "JSON"),
        ("}]}", "}]", Some(3), "file ends early"),
        ("[3,0,0]", "[NaN,0,0]", Some(1), "JSON"),
        ("[3,0,0]", "[1e999,0,0]", Some(1), "JSON"),
        ("[3,0,0]", "[3,0]", None, "not a pymatgen structure"),
        ("\"matrix\"", "\"rows\"", None, "`lattice.matrix` (or all of"),
        ("\"abc\": [0,0,0]", "\"at\": [0,0,0]", None, "site Fe1: `abc` (or `xyz`) is missing"),
        ("[{\"element\": \"Fe3+\", \"occu\": 1}]", "[]", None, "site Fe1: its species is missing"),
        (
            "{\"element\": \"Fe3+\", \"occu\": 1}",
            "{\"element\": \"Fe2+\", \"occu\": 0.5}, {\"element\": \"Fe3+\", \"occu\": 0.4}",
            None,
            "partially occupied (Fe: 0.9)",
        ),
        ("[3,0,0]", "[0,4,0]", None, "no volume"),
        ("lattice", "grid", None, "`lattice`"),
        ("\"occu\": 1}", "\"occu\": 0.5}", None, "site Fe1 is partially occupied (Fe: 0.5)"),
        ("\"occu\": 1}]", "\"occu\": 0.5}, {\"element\": \"Co\", \"occu\": 0.5}]", None, "Fe3+ and Co"),
        ("Fe3+", "Xx", None, "unknown element `Xx` at site Fe1"),
        ("[0.5,0.5,0.5]", "[0,1,0]", None, "coincide"),
        ("\"sites\"", "\"places\"", None, "`sites` is empty"),
    ];
    for (from, to, line, words) in cases {
        assert!(JSON.contains(from), "{from}");
        let (_, found, message) = refused(&JSON.replacen(from, to, 1), Format::PymatgenJson);
        assert!(message.contains(words), "{to}: {message}");
        assert_eq!(found, *line, "{to}: {message}");
    }
    let array = format!("[{JSON}, {}]", JSON.replacen("Fe3+", "Qq", 1));
    assert!(refused(&array, Format::PymatgenJson).2.contains("entry 1 of the array: unknown element"));
    for text in ["", "[]", "3", "null", "[3]"] {
        refused(text, Format::PymatgenJson);
    }
    refused(&"[".repeat(100_000), Format::PymatgenJson);
}

#[test]
fn files_are_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.cif");
    let error = read_path(&path).unwrap_err();
    assert!(matches!(error, ReadError::File(_)) && error.to_string().contains("broken.cif"));
    std::fs::write(&path, CIF.replacen("Fe 0", "Xy 0", 1)).unwrap();
    let message = read_path(&path).unwrap_err().to_string();
    assert!(message.contains("broken.cif: line 16: unknown element `Xy`"), "{message}");
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "nothing\n").unwrap();
    assert!(matches!(read_path(&path), Err(ReadError::UnknownFormat { .. })));
    // Latin-1 bytes in a comment do no harm.
    let path = folder.path().join("latin.cif");
    std::fs::write(&path, [b"# \xe9\xff\n", CIF.as_bytes()].concat()).unwrap();
    assert_eq!(read_path(&path).unwrap()[0].structure.len(), 2);
    std::fs::write(&path, CIF.replacen("Fe1", "Fe\0", 1)).unwrap();
    let message = read_path(&path).unwrap_err().to_string();
    assert!(message.contains("latin.cif` is no text: line 16 holds the byte 0"), "{message}");
}
