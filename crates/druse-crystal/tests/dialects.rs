//! Spellings of one crystal that programs write and read: all give the same structure.

use druse_crystal::formats::{Format, Parsed, WarningKind, read_path, read_str};
use druse_crystal::{Composition, Structure};

fn read(text: &str, format: Format) -> Parsed {
    read_str(text, format).unwrap_or_else(|e| panic!("{e}\n{text}")).remove(0)
}

fn assert_same(got: &Structure, want: &Structure, what: &str) {
    assert_eq!(got.species, want.species, "{what}");
    let numbers = |s: &Structure| -> Vec<f64> {
        s.lattice.rows().iter().chain(&s.frac_coords).flatten().copied().collect()
    };
    for (x, y) in numbers(got).iter().zip(numbers(want)) {
        assert!((x - y).abs() < 1e-9, "{what}: {x} against {y}");
    }
}

const POSCAR: &str = "salt
1.0
0.0 2.82 2.82
2.82 0.0 2.82
2.82 2.82 0.0
Na Cl
1 1
Direct
0.0 0.0 0.0
0.5 0.5 0.5
";

#[test]
fn poscars_of_many_hands() {
    let plain = read(POSCAR, Format::Poscar).structure;
    assert_eq!(Composition::from_species(&plain.species).reduced_formula(), "NaCl");
    let swaps: &[&[(&str, &str)]] = &[
        &[("Direct", "Fractional coordinates")],
        &[("Direct", "d")],
        &[("Direct", "Relative")],
        &[("Direct", "")],
        &[("Direct", "Selective dynamics\nDirect"), ("0.5 0.5 0.5", "0.5 0.5 0.5 T F T")],
        &[("Direct", "Cartesian"), ("0.5 0.5 0.5", "2.82 2.82 2.82")],
        &[("Direct", "kartesisch"), ("0.5 0.5 0.5", "2.82 2.82 2.82")],
        &[("1.0\n", "1.0D+00 ! scale\n"), ("0.5 0.5 0.5", "0.5d0 5.0D-1 .5D+00")],
        &[("1.0\n", "-44.851536\n")],
        &[("1.0\n", "1.0 1.0D0 1.0\n")],
        &[("0.0 0.0 0.0\n", "3*0.0\n"), ("0.5 0.5 0.5", "-0.500-0.500-0.500")],
        &[("Na Cl\n1 1", "Na\nCl\n1\n1")],
        &[("Na Cl\n1 1", "Na Cl # names\n1\n1 ! counts")],
        &[("Na Cl", "Na_pv/1a2b3c4d Cl")],
        &[("Na Cl", "Na+ Cl-")],
        &[("Na Cl\n", ""), ("0.0 0.0 0.0", "0.0 0.0 0.0 Na"), ("0.5 0.5 0.5", "0.5 0.5 0.5 Cl")],
        &[("salt", "Na Cl"), ("Na Cl\n1 1", "1\n1")],
        &[("0.5 0.5 0.5\n", "0.5 0.5 0.5\n\n0.0 0.0 0.0\n0.1 0.1 0.1\n\n1\n0.5D0\n")],
        &[("0.5 0.5 0.5\n", "0.5 0.5 0.5\nLattice velocities and vectors\n1\n0 0 0\n")],
        &[("\n", "\r\n")],
        &[(" ", "\t")],
    ];
    for swaps in swaps {
        let mut text = POSCAR.to_owned();
        for (from, to) in *swaps {
            assert!(text.contains(from), "{from}");
            text = match *from {
                "\n" | " " => text.replace(from, to),
                // The name line, not the comment.
                "Na Cl\n" => text.replacen("\nNa Cl\n", &format!("\n{to}"), 1),
                _ => text.replacen(from, to, 1),
            };
        }
        assert_same(&read(&text, Format::Poscar).structure, &plain, &text);
    }
    let said = |mode: &str| read(&POSCAR.replace("Direct", mode), Format::Poscar).warnings;
    assert!(said("Fractional").is_empty() && said("Direct").is_empty());
    assert_eq!(said("Relative")[0].kind, WarningKind::Interpreted);
}

/// As VASP writes more than twenty groups.
#[test]
fn poscar_names_and_counts_on_several_lines() {
    let symbols = ["Fe", "Cr", "Ni"].map(|s| s.to_owned());
    let names: Vec<&str> = (0..25).map(|k| symbols[k % 3].as_str()).collect();
    let lines = |words: &[&str], n: usize| words.chunks(n).map(|c| c.join(" ") + "\n").collect::<String>();
    let sites: String = (0..25).map(|k| format!("0 0 {}\n", f64::from(k) / 25.0)).collect();
    let text =
        |names: &str, counts: &str| format!("alloy\n1\n3 0 0\n0 3 0\n0 0 75\n{names}{counts}Direct\n{sites}");
    let ones = vec!["1"; 25];
    let long = read(&text(&lines(&names, 25), &lines(&ones, 25)), Format::Poscar).structure;
    assert_eq!(Composition::from_species(&long.species).formula(), "Cr8 Fe9 Ni8");
    for (n, m) in [(20, 20), (25, 20), (20, 25), (7, 3)] {
        let got = read(&text(&lines(&names, n), &lines(&ones, m)), Format::Poscar).structure;
        assert_same(&got, &long, &format!("{n} names, {m} counts a line"));
    }
    let too_few = read_str(&text(&lines(&names, 20), &lines(&ones[1..], 20)), Format::Poscar).unwrap_err();
    assert!(too_few.to_string().contains("25 element names but 24 atom counts"), "{too_few}");
}

#[test]
fn comment_lines_of_extended_xyz() {
    let frame = |comment: &str| format!("2\n{comment}\nNa 0 0 0\nCl 2 2.5 3\n");
    let plain = read(&frame("Lattice=\"4 0 0 0 5 0 0 0 6\" Properties=species:S:1:pos:R:3"), Format::ExtXyz);
    let cell = "Lattice=\"4 0 0 0 5 0 0 0 6\"";
    for comment in [
        "Lattice=[[4, 0, 0], [0, 5, 0], [0, 0, 6]]".to_owned(),
        "Lattice = \"4 0 0 0 5 0 0 0 6\" Properties = species:S:1:pos:R:3 pbc = \"T T T\"".to_owned(),
        "lattice='4.0D0 0 0 0 5.0d+00 0 0 0 6' properties=SPECIES:s:1:Pos:r:3".to_owned(),
        "\"Lattice\"=\"4, 0, 0, 0, 5, 0, 0, 0, 6\" Properties=\"\"".to_owned(),
        "Lattice={4 0 0 0 5 0 0 0 6} Properties= pbc=T".to_owned(),
        format!("config_type relaxed=T empty= {cell}"),
        format!("{cell} pbc=\"T T T\" energy = -1.5"),
        format!("{cell} pbc=[T, T, T]"),
        format!("{cell} pbc=[T T T]"),
        format!("{cell} pbc=\"[true, true, true]\""),
        format!("{cell} pbc={{T T T}}"),
        format!("{cell} pbc=T"),
        format!("{cell} pbc=\"1 1 1\""),
        format!("{cell} pbc=TTT"),
        format!("{cell} pbc=(T,T,T)"),
        format!("{cell} PBC=[\"True\",\"TRUE\",\"true\"]"),
        format!("{cell} pbc='T, t, True'"),
    ] {
        assert_same(&read(&frame(&comment), Format::ExtXyz).structure, &plain.structure, &comment);
    }
    let parsed = read(&frame(&format!("name = salt {cell} energy = -1.5 flag n=3")), Format::ExtXyz);
    assert_eq!((parsed.name.as_str(), &parsed.structure.properties["energy"]), ("salt", &(-1.5).into()));
    assert_eq!(
        (&parsed.structure.properties["flag"], &parsed.structure.properties["n"]),
        (&true.into(), &3.into())
    );
    // Rows of a nested list are the vectors.
    let skew = read(&frame("Lattice=[[4,0,0],[1,5,0],[0,0,6]]"), Format::ExtXyz).structure;
    assert_eq!(skew.lattice.rows()[1], [1.0, 5.0, 0.0]);
    let species = "2\nLattice=\"4 0 0 0 5 0 0 0 6\" Properties=pos:R:3:Z:I:1\n0 0 0 11\n2 2.5D0 3 17\n";
    assert_same(&read(species, Format::ExtXyz).structure, &plain.structure, species);
    let numbers = frame(cell).replace("Na ", "11 ").replace("Cl ", "17 ");
    assert_same(&read(&numbers, Format::ExtXyz).structure, &plain.structure, &numbers);
    let charged = frame(cell).replace("Na ", "Na+ ").replace("Cl ", "Cl-,spin=0 ");
    assert_same(&read(&charged, Format::ExtXyz).structure, &plain.structure, &charged);
    for remark in ["", "made by [a program", "energy=1"] {
        let error = read_str(&frame(remark), Format::ExtXyz).unwrap_err().to_string();
        assert!(error.contains("a molecule is no crystal"), "{remark}: {error}");
    }
}

#[test]
fn dictionaries_of_pymatgen() {
    let text = |lattice: &str, first: &str| {
        format!(
            "{{\"@class\": \"IStructure\", \"lattice\": {lattice}, \"sites\": [{{{first}, \"label\": \"Fe1\"}}, \
             {{\"species\": [{{\"element\": \"O\", \"occu\": 1}}], \"abc\": [0.5, 0.5, 0.5]}}]}}"
        )
    };
    let matrix = r#"{"matrix": [[3, 0, 0], [0, 4, 0], [0, 0, 5]]}"#;
    let iron = r#""species": [{"element": "Fe", "occu": 1}]"#;
    let at = |species: &str| format!("{species}, \"abc\": [0.25, 0.5, 0]");
    let plain = read(&text(matrix, &at(iron)), Format::PymatgenJson).structure;
    let numpy = |data: &str| {
        format!(r#"{{"@module": "numpy", "@class": "array", "dtype": "float64", "data": {data}}}"#)
    };
    for (lattice, first) in [
        (matrix.to_owned(), format!("{iron}, \"xyz\": [0.75, 2, 0]")),
        (matrix.to_owned(), format!("{iron}, \"abc\": null, \"xyz\": [0.75, 2, 0]")),
        (matrix.to_owned(), at(r#""species": [{"element": "Fe3+,spin=5"}]"#)),
        (matrix.to_owned(), format!("{iron}, \"abc\": {}", numpy("[0.25, 0.5, 0]"))),
        (format!(r#"{{"matrix": {}}}"#, numpy("[[3, 0, 0], [0, 4, 0], [0, 0, 5]]")), at(iron)),
        (
            r#"{"matrix": [[{"$numberDouble": "3.0"}, 0, 0], [0, {"$numberInt": "4"}, 0], [0, 0, 5]]}"#
                .into(),
            at(iron),
        ),
    ] {
        let text = text(&lattice, &first);
        assert_same(&read(&text, Format::PymatgenJson).structure, &plain, &text);
    }
    let six = r#"{"a": 3, "b": 4, "c": 5, "alpha": 90, "beta": 90, "gamma": 90}"#;
    let from_six = read(&text(six, &at(iron)), Format::PymatgenJson).structure;
    assert!((from_six.lattice.volume() - 60.0).abs() < 1e-9);
    assert_eq!(from_six.lattice.lengths().map(f64::round), [3.0, 4.0, 5.0]);

    // Two states of one element fill a site together, as do hydrogen and deuterium.
    for (pair, element) in [(["Fe2+", "Fe3+"], "Fe"), (["H", "D"], "H")] {
        let [p, q] = pair;
        let species =
            format!(r#""species": [{{"element": "{p}", "occu": 0.5}}, {{"element": "{q}", "occu": 0.5}}]"#);
        let parsed = read(&text(matrix, &at(&species)), Format::PymatgenJson);
        assert_eq!(parsed.structure.species[0].symbol(), element);
        assert!(parsed.warnings.iter().any(|w| w.kind == WarningKind::Merged), "{:?}", parsed.warnings);
        let error = read_str(&text(matrix, &at(&species.replacen("0.5", "0.3", 1))), Format::PymatgenJson);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("site Fe1 is partially occupied") && error.contains("0.8"), "{error}");
    }
}

/// A file is read by its content where its name says nothing, and whatever its character set and compression.
#[test]
fn files_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let plain = read(POSCAR, Format::Poscar).structure;
    let json = druse_crystal::formats::write(&plain, Format::PymatgenJson, "");
    let xyz = druse_crystal::formats::write(&plain, Format::ExtXyz, "");
    let wide: Vec<u8> =
        std::iter::once(0xfeff).chain(POSCAR.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let latin = [b"caf\xe9".as_slice(), &POSCAR.as_bytes()[4..]].concat();
    for (name, bytes) in [
        ("a", POSCAR.as_bytes()),
        ("b.txt", json.as_bytes()),
        ("c", xyz.as_bytes()),
        ("POSCAR", &wide),
        ("d.vasp", &latin),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_same(&read_path(&path).unwrap()[0].structure, &plain, name);
    }
    assert_eq!(read_path(&folder.path().join("d.vasp")).unwrap()[0].name, "café");
}
