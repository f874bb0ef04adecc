//! What is written is read back the same, in every format.

use std::path::Path;

use druse_crystal::formats::{Format, read_str, write};
use druse_crystal::{Element, Lattice, Structure, wrap_unit};
use proptest::prelude::*;

/// Structures with 1 to 12 sites in a cell of any shape, no two of them coincident.
fn structures() -> impl Strategy<Value = Structure> {
    let cell = (prop::array::uniform3(2.0..15.0f64), prop::array::uniform3(65.0..115.0f64), prop::bool::ANY);
    let sites = prop::collection::vec((1u8..=118, prop::array::uniform3(0.0..1.0f64)), 1..12);
    (cell, sites).prop_filter_map("atoms too close", |((l, a, along_x), sites)| {
        let parameters = [l[0], l[1], l[2], a[0], a[1], a[2]];
        let lattice = if along_x {
            Lattice::from_parameters_a_along_x(parameters).ok()?
        } else {
            Lattice::from_parameters(parameters).ok()?
        };
        let species = sites.iter().map(|s| Element::from_z(s.0).unwrap()).collect();
        let s = Structure::new(lattice, species, sites.iter().map(|s| s.1).collect()).ok()?;
        s.min_distance().is_none_or(|d| d > 0.1).then_some(s)
    })
}

/// Elements and coordinates in an order that does not depend on the file.
fn sorted(
    s: &Structure,
    order: impl Fn(&Element, &Element) -> std::cmp::Ordering,
) -> Vec<(Element, [f64; 3])> {
    let mut sites: Vec<_> = s.species.iter().copied().zip(s.frac_coords.iter().copied()).collect();
    sites.sort_by(|a, b| order(&a.0, &b.0));
    sites
}

fn assert_same_sites(a: &[(Element, [f64; 3])], b: &[(Element, [f64; 3])], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for ((e, f), (g, h)) in a.iter().zip(b) {
        assert_eq!(e, g);
        for (x, y) in f.iter().zip(h) {
            let difference = wrap_unit(x - y + 0.5) - 0.5;
            assert!(difference.abs() < tolerance, "{f:?} against {h:?}");
        }
    }
}

fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
    assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() < tolerance), "{a:?} against {b:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn cif(s in structures()) {
        let text = write(&s, Format::Cif, "a name, with blanks");
        let first = read_str(&text, Format::Cif).unwrap().remove(0);
        prop_assert_eq!(&first.name, "a_name,_with_blanks");
        prop_assert!(first.warnings.is_empty());
        assert_close(&first.structure.lattice.parameters(), &s.lattice.parameters(), 1e-8);
        let order = |a: &Element, b: &Element| a.cmp_electronegativity(*b);
        // Reading may set coordinates near 1/3 and 2/3 to these.
        assert_same_sites(&sorted(&first.structure, order), &sorted(&s, order), 7e-5);
        prop_assert_eq!(&first.structure.species, &sorted(&s, order).iter().map(|s| s.0).collect::<Vec<_>>());
        // The second time nothing moves, and labels stay.
        let again = read_str(&write(&first.structure, Format::Cif, ""), Format::Cif).unwrap().remove(0);
        assert_close(&again.structure.lattice.parameters(), &first.structure.lattice.parameters(), 1e-8);
        prop_assert_eq!(&again.structure.labels, &first.structure.labels);
        assert_same_sites(&sorted(&again.structure, order), &sorted(&first.structure, order), 2e-10);
    }

    #[test]
    fn poscar(s in structures()) {
        let parsed = read_str(&write(&s, Format::Poscar, " two\nlines "), Format::Poscar).unwrap().remove(0);
        prop_assert_eq!(parsed.name, "two lines");
        prop_assert!(parsed.warnings.is_empty());
        assert_close(parsed.structure.lattice.rows().as_flattened(), s.lattice.rows().as_flattened(), 1e-11);
        let first_at = |e: &Element| s.species.iter().position(|x| x == e);
        let order = |a: &Element, b: &Element| first_at(a).cmp(&first_at(b));
        assert_same_sites(&sorted(&parsed.structure, |_, _| std::cmp::Ordering::Equal), &sorted(&s, order), 1e-11);
    }

    #[test]
    fn extxyz(s in structures(), name in "[ -~]{0,20}", text in ".{0,20}", n in any::<i32>(), x in -1e9..1e9f64) {
        let mut s = s;
        s.properties.insert("text \"key\"".into(), text.replace(['\n', '\r'], " ").into());
        s.properties.insert("n".into(), n.into());
        s.properties.insert("x".into(), x.into());
        s.properties.insert("flag".into(), true.into());
        s.properties.insert("tree".into(), serde_json::json!({"a": [1, null, "b\\\"c"]}));
        let frames = [write(&s, Format::ExtXyz, &name), write(&s, Format::ExtXyz, "second")].concat();
        let parsed = read_str(&frames, Format::ExtXyz).unwrap();
        prop_assert_eq!(parsed.len(), 2);
        prop_assert_eq!(&parsed[0].name, &name);
        prop_assert_eq!(&parsed[1].name, "second");
        for p in parsed {
            prop_assert_eq!(&p.structure.properties, &s.properties);
            assert_close(p.structure.lattice.rows().as_flattened(), s.lattice.rows().as_flattened(), 1e-11);
            let keep = |_: &Element, _: &Element| std::cmp::Ordering::Equal;
            assert_same_sites(&sorted(&p.structure, keep), &sorted(&s, keep), 1e-10);
        }
    }

    #[test]
    fn pymatgen_json(s in structures(), name in ".{0,20}") {
        let mut s = s;
        s.properties.insert("energy".into(), serde_json::json!(-1.5));
        s.labels = (0..s.len()).map(|i| format!("site{i}")).collect();
        let mut parsed = read_str(&write(&s, Format::PymatgenJson, &name), Format::PymatgenJson).unwrap().remove(0);
        prop_assert_eq!(&parsed.name, &name);
        parsed.structure.properties.remove("name");
        // JSON keeps every bit.
        prop_assert_eq!(parsed.structure, s);
    }
}

#[test]
fn poscar_variants_describe_one_structure() {
    let direct = "FeO\n1\n3 0 0\n0 4 0\n1 0 5\nFe O\n1 2\nDirect\n0 0 0\n.5 .5 .5\n.25 .25 .25\n";
    let reference = read_str(direct, Format::Poscar).unwrap().remove(0).structure;
    let variants = [
        ("cartesian", "FeO\n1\n3 0 0\n0 4 0\n1 0 5\nFe O\n1 2\nCartesian\n0 0 0\n2 2 2.5\n1 1 1.25\n", 0),
        ("scaled", "FeO\n0.5\n6 0 0\n0 8 0\n2 0 10\nFe O\n1 2\nkart\n0 0 0\n4 4 5\n2 2 2.5\n", 0),
        ("volume", "FeO\n-60\n6 0 0\n0 8 0\n2 0 10\nFe_pv O/ab12\n1 2\nd\n0 0 0\n.5 .5 .5\n.25 .25 .25\n", 0),
        ("axes", "FeO\n1 2 5\n3 0 0\n0 2 0\n1 0 1\nFe O\n1 2\nC\n0 0 0\n2 1 .5\n1 .5 .25\n", 0),
        (
            "selective",
            "x\n1\n3 0 0\n0 4 0\n1 0 5\nFe O O\n1 1 1\nSelective dynamics\nDirect\n0 0 0 T T F\n.5 .5 .5 T T T O\n\
             .25 .25 .25 F F F\n\n0 0 0\n0 0 0\n0 0 0\n",
            1,
        ),
        ("VASP 4 comment", "Fe O\n1\n3 0 0\n0 4 0\n1 0 5\n1 2\nDirect\n0 0 0\n.5 .5 .5\n.25 .25 .25\n", 1),
        (
            "VASP 4 symbols",
            "?\n1\n3 0 0\n0 4 0\n1 0 5\n1 2\nDirect\n0 0 0 Fe\n.5 .5 .5 O\n.25 .25 .25 O\n",
            1,
        ),
    ];
    for (what, text, warnings) in variants {
        let p = read_str(text, Format::Poscar).unwrap_or_else(|e| panic!("{what}: {e}")).remove(0);
        assert_eq!(p.warnings.len(), warnings, "{what}: {:?}", p.warnings);
        assert_eq!(p.structure.species, reference.species, "{what}");
        assert_close(
            p.structure.lattice.rows().as_flattened(),
            reference.lattice.rows().as_flattened(),
            1e-12,
        );
        assert_close(p.structure.frac_coords.as_flattened(), reference.frac_coords.as_flattened(), 1e-12);
    }
}

#[test]
fn extxyz_as_other_programs_write_it() {
    let text = "2\npbc=\"T T T\" Lattice=\"4 0 0 0 4 0 0 0 4\" Properties=Z:I:1:forces:R:3:pos:R:3:tags:I:1 \
                energy=-3.5 flag stress=\"1 2 3\" note='two words' config={a b}\n\
                26 0 0 0 1 2 3 0\n8 0 0 0 3 2 -2 7\n\n";
    let p = read_str(text, Format::ExtXyz).unwrap().remove(0);
    let symbols: Vec<_> = p.structure.species.iter().map(|e| e.symbol()).collect();
    assert_eq!(symbols, ["Fe", "O"]);
    assert_close(p.structure.frac_coords.as_flattened(), &[0.25, 0.5, 0.75, 0.75, 0.5, 0.5], 1e-12);
    let expected = serde_json::json!({
        "energy": -3.5, "flag": true, "stress": [1, 2, 3], "note": "two words", "config": "a b"
    });
    assert_eq!(serde_json::to_value(&p.structure.properties).unwrap(), expected);
    assert_eq!(p.warnings.len(), 1);
    assert_eq!(p.warnings[0].text, "atom columns not kept: forces, tags");
}

#[test]
fn formats_are_known_by_name() {
    for (name, format) in [
        ("a/b.cif", Some(Format::Cif)),
        ("x.CIF", Some(Format::Cif)),
        ("POSCAR", Some(Format::Poscar)),
        ("CONTCAR.relaxed", Some(Format::Poscar)),
        ("x.vasp", Some(Format::Poscar)),
        ("x.xyz", Some(Format::ExtXyz)),
        ("x.extxyz", Some(Format::ExtXyz)),
        ("x.json", Some(Format::PymatgenJson)),
        ("x.txt", None),
        ("", None),
    ] {
        assert_eq!(Format::from_path(Path::new(name)), format, "{name}");
    }
    for format in Format::all() {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert_eq!(Format::from_path(Path::new(&format!("x.{}", format.extension()))), Some(format));
    }
    assert!("docx".parse::<Format>().unwrap_err().to_string().contains("extxyz"));
}
