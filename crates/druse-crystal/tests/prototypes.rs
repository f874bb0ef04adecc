//! Textbook structures, written the many ways CIFs are written.

use druse_crystal::formats::cif::write_symmetrized;
use druse_crystal::formats::{Format, Parsed, read_str};
use druse_crystal::{Composition, Element, Lattice, Structure};

fn read(cif: &str) -> Parsed {
    let mut all = read_str(cif, Format::Cif).unwrap_or_else(|e| panic!("{e}\n{cif}"));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn cell(a: f64, b: f64, c: f64, al: f64, be: f64, ga: f64) -> String {
    format!(
        "_cell_length_a {a}\n_cell_length_b {b}\n_cell_length_c {c}\n\
         _cell_angle_alpha {al}\n_cell_angle_beta {be}\n_cell_angle_gamma {ga}\n"
    )
}

fn cubic(a: f64) -> String {
    cell(a, a, a, 90.0, 90.0, 90.0)
}

const ATOMS: &str = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";

fn formula(s: &Structure) -> String {
    Composition::from_species(&s.species).to_string()
}

/// Distances (Å) from site `i` to all other sites and images up to `cutoff`, sorted.
fn shell(s: &Structure, i: usize, cutoff: f64) -> Vec<f64> {
    let mut all = Vec::new();
    for j in 0..s.len() {
        for image in 0..343 {
            let t = [image % 7 - 3, image / 7 % 7 - 3, image / 49 - 3];
            let d = std::array::from_fn(|k| s.frac_coords[j][k] + f64::from(t[k]) - s.frac_coords[i][k]);
            let d = s.lattice.to_cartesian(d).iter().map(|x| x * x).sum::<f64>().sqrt();
            if d > 1e-6 && d < cutoff {
                all.push(d);
            }
        }
    }
    all.sort_by(f64::total_cmp);
    all
}

#[test]
fn rock_salt_from_number_or_symbol_alone() {
    for symmetry in [
        "_symmetry_Int_Tables_number 225",
        "_space_group_IT_number 225",
        "_space_group.IT_number 225",
        "_symmetry_space_group_name_H-M 'F m -3 m'",
        "_space_group_name_H-M_alt Fm-3m",
        "_symmetry_space_group_name_Hall '-F 4 2 3'",
        "_symmetry_space_group_name_H-M ?\n_symmetry_Int_Tables_number 225",
        "_SYMMETRY_SPACE_GROUP_NAME_H-M 'F M -3 M'\n_symmetry_Int_Tables_number '225'",
    ] {
        let p = read(&format!("data_NaCl\n{symmetry}\n{}{ATOMS}Na1 0 0 0\nCl1 .5 .5 .5\n", cubic(5.64)));
        let s = &p.structure;
        assert_eq!((formula(s).as_str(), s.len()), ("Na4Cl4", 8), "{symmetry}");
        assert!((s.density() - 2.164).abs() < 2e-3);
        let near = shell(s, 0, 3.0);
        assert_eq!(near.len(), 6);
        assert!(near.iter().all(|d| (d - 2.82).abs() < 1e-9));
        assert_eq!(s.labels, ["Na1", "Na1", "Na1", "Na1", "Cl1", "Cl1", "Cl1", "Cl1"]);
        assert!(p.warnings.is_empty(), "{:?}", p.warnings);
    }
}

#[test]
fn diamond_in_both_origin_choices() {
    for (symmetry, x) in [
        ("_symmetry_space_group_name_H-M 'F d -3 m :1'", "0"),
        ("_symmetry_space_group_name_H-M 'F d -3 m S'", "0"),
        ("_symmetry_space_group_name_Hall 'F 4d 2 3 -1d'", "0"),
        ("_symmetry_space_group_name_H-M 'F d -3 m :2'", "0.125"),
        ("_symmetry_space_group_name_H-M 'F d -3 m Z'", "0.125(1)"),
        ("_symmetry_space_group_name_Hall '-F 4vw 2vw 3'", "0.125"),
    ] {
        let s = read(&format!("data_C\n{symmetry}\n{}{ATOMS}C {x} {x} {x}\n", cubic(3.567))).structure;
        assert_eq!(formula(&s), "C8", "{symmetry}");
        let near = shell(&s, 0, 1.6);
        assert_eq!(near.len(), 4, "{symmetry}");
        assert!(near.iter().all(|d| (d - 1.5446).abs() < 1e-4));
        assert!((s.density() - 3.515).abs() < 5e-3);
    }
}

#[test]
fn the_stated_cell_content_decides_an_open_origin() {
    let diamond = |statement: &str, x: &str, column: &str, multiplicity: &str| {
        read(&format!(
            "data_C\n_space_group_IT_number 227\n{statement}\n{}{ATOMS}{column}\nC {x} {x} {x} {multiplicity}\n",
            cubic(3.567)
        ))
    };
    // Nothing stated: origin choice 1, as other programs read it, and a warning.
    let p = diamond("", "0", "", "");
    assert_eq!(p.structure.len(), 8);
    assert!(p.warnings.len() == 1 && p.warnings[0].text.contains("read in `1`"), "{:?}", p.warnings);
    for (statement, column, multiplicity) in [
        ("_chemical_formula_sum C\n_cell_formula_units_Z 8", "", ""),
        ("", "_atom_site_site_symmetry_multiplicity", "8"),
        ("", "_atom_site_symmetry_multiplicity", "8"),
    ] {
        for (x, setting) in [("0", "`1`"), ("0.125", "`2`")] {
            let p = diamond(statement, x, column, multiplicity);
            assert_eq!(p.structure.len(), 8);
            assert!(p.warnings.len() == 1 && p.warnings[0].text.contains(setting), "{:?}", p.warnings);
            assert!(p.warnings[0].text.contains("stated cell content"));
        }
    }
}

#[test]
fn diamond_with_written_operations() {
    let operations = ["x,y,z", "-x+1/4, 1/4-y, -z + 0.25"].map(|o| o.to_owned());
    let centered = ["0,0,0", "0,1/2,1/2", "1/2,0,1/2", "1/2,1/2,0"].map(|t| {
        let t: Vec<&str> = t.split(',').collect();
        operations.clone().map(|o| {
            let parts: Vec<String> = o.split(',').zip(&t).map(|(part, t)| format!("{part}+{t}")).collect();
            parts.join(",")
        })
    });
    let operations = centered.concat();
    let list: String = operations.iter().map(|o| format!("'{o}'\n")).collect();
    let cif =
        format!("data_C\nloop_\n_space_group_symop_operation_xyz\n{list}{}{ATOMS}C1 0 0 0\n", cubic(3.567));
    assert_eq!(formula(&read(&cif).structure), "C8");
}

#[test]
fn rutile_merges_special_positions_of_rounded_coordinates() {
    // x = 0.3048 on (x,x,0); y given with another rounding makes images 0.0005 apart.
    let cif = format!(
        "data_rutile\n_symmetry_space_group_name_H-M 'P 42/m n m'\n{}{ATOMS}Ti1 0 0 0\nO1 0.3048 0.3047 0.0000\n",
        cell(4.594, 4.594, 2.959, 90.0, 90.0, 90.0)
    );
    let s = read(&cif).structure;
    assert_eq!(formula(&s), "Ti2O4");
    let near = shell(&s, 0, 2.1);
    assert_eq!(near.len(), 6);
    assert!((near[0] - 1.949).abs() < 2e-3 && (near[5] - 1.980).abs() < 3e-3, "{near:?}");
}

#[test]
fn perovskite_with_types_charges_and_uncertainties() {
    let cif = "\u{feff}# comment\r\nDATA_SrTiO3\r\n_Cell_Length_A 3.905(1)\r\n_cell_length_b 3.905(1)\r\n\
        _cell_length_c 3.905(1)\r\n_cell_angle_alpha 90\r\n_cell_angle_beta 90.\r\n_cell_angle_gamma 9.0E1\r\n\
        _publ_section_title\r\n;\r\n a 'title' with loop_ and data_x\r\n;\r\n\
        _symmetry_Int_Tables_number 221 _symmetry_space_group_name_H-M \"P m -3 m\"\r\n\
        loop_\r\n_atom_site_label _atom_site_type_symbol _atom_site_fract_x _atom_site_fract_y \
        _atom_site_fract_z _atom_site_occupancy _atom_site_B_iso_or_equiv\r\n\
        Sr Sr2+ 0.5 0.5 0.5 1 ?\r\nTi Ti4+ 0 0 0 1.0000 . # here\r\nO1 O2- 0.5 0 0 . 0.3(1)\r\n";
    let s = read(cif).structure;
    assert_eq!(formula(&s), "SrTiO3");
    assert_eq!(s.labels, ["Sr", "Ti", "O1", "O1", "O1"]);
    assert!((s.lattice.lengths()[0] - 3.905).abs() < 1e-12);
    assert_eq!(shell(&s, 1, 2.0).len(), 6);
}

#[test]
fn wurtzite_thirds_survive_rounding() {
    let cif = format!(
        "data_ZnO\n_symmetry_space_group_name_H-M 'P 63 m c'\n{}{ATOMS}Zn1 0.3333 0.6667 0\nO1 0.33333 0.66667 0.3821(3)\n",
        cell(3.2495, 3.2495, 5.2069, 90.0, 90.0, 120.0)
    );
    let s = read(&cif).structure;
    assert_eq!(formula(&s), "Zn2O2");
    assert!(s.frac_coords.iter().all(|f| {
        let thirds = f[0] * 3.0;
        (thirds - thirds.round()).abs() < 1e-12
    }));
    let near = shell(&s, 0, 2.1);
    assert_eq!(near.len(), 4);
    assert!((near[0] - 1.97).abs() < 0.02 && (near[3] - 1.99).abs() < 0.02, "{near:?}");
}

#[test]
fn corundum_in_hexagonal_and_rhombohedral_axes() {
    let hexagonal = format!(
        "data_h\n_symmetry_Int_Tables_number 167\n{}{ATOMS}Al 0 0 0.35216\nO 0.30624 0 0.25\n",
        cell(4.7589, 4.7589, 12.9910, 90.0, 90.0, 120.0)
    );
    let h = read(&hexagonal).structure;
    assert_eq!(formula(&h), "Al12O18");
    let (a, x) = (5.1284, 0.30624 + 0.25);
    let rhombohedral = format!(
        "data_r\n_symmetry_Int_Tables_number 167\n{}{ATOMS}Al .35216 .35216 .35216\nO {x} {} 0.25\n",
        cell(a, a, a, 55.28, 55.28, 55.28),
        0.5 - x
    );
    let r = read(&rhombohedral).structure;
    assert_eq!(formula(&r), "Al4O6");
    for s in [&h, &r] {
        let near = shell(s, 0, 2.1);
        assert_eq!(near.len(), 6);
        assert!((near[0] - 1.855).abs() < 5e-3 && (near[5] - 1.972).abs() < 5e-3, "{near:?}");
    }
}

#[test]
fn several_blocks_and_blocks_without_structure() {
    let block = |name: &str, element: &str| format!("data_{name}\n{}{ATOMS}{element}1 0 0 0\n", cubic(3.0));
    let text = format!("data_global\n_journal_name 'x'\n{}{}", block("first", "Po"), block("second", "Cu"));
    let all = read_str(&text, Format::Cif).unwrap();
    let names: Vec<(&str, &str)> =
        all.iter().map(|p| (p.name.as_str(), p.structure.species[0].symbol())).collect();
    assert_eq!(names, [("first", "Po"), ("second", "Cu")]);
    assert!(all[0].warnings[0].text.contains("P 1"), "{:?}", all[0].warnings);
}

#[test]
fn deuterium_becomes_hydrogen_with_a_warning() {
    let p = read(&format!(
        "data_x\n_symmetry_Int_Tables_number 1\n{}{ATOMS}D1 0 0 0\nD2 .5 0 0\nO1 0 .5 0\n",
        cubic(4.0)
    ));
    assert_eq!(formula(&p.structure), "H2O");
    assert_eq!(p.warnings.len(), 1);
    assert_eq!(p.warnings[0].text, "deuterium (D) at 2 sites read as hydrogen");
}

#[test]
fn a_single_atom_outside_a_loop() {
    let p = read(&format!(
        "data_Po\n_symmetry_Int_Tables_number 221\n{}_atom_site_label Po1\n_atom_site_fract_x 0\n\
         _atom_site_fract_y 0\n_atom_site_fract_z 0\n",
        cubic(3.359)
    ));
    assert_eq!(formula(&p.structure), "Po");
}

#[test]
fn symmetrized_files_hold_the_asymmetric_unit() {
    let fcc = [[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
    let element = |s| Element::from_symbol(s).unwrap();
    // (structure, symbol, number, asymmetric unit, atoms of the conventional cell)
    let primitive = |a: f64| Lattice::from_rows([[0.0, a, a], [a, 0.0, a], [a, a, 0.0]]).unwrap();
    let salt = Structure::new(
        primitive(2.82),
        vec![element("Na"), element("Cl")],
        vec![[0.001, 0.0, 0.0], [0.5, 0.5, 0.5]],
    );
    let diamond = Structure::new(primitive(1.7835), vec![element("C"); 2], vec![[0.0; 3], [0.25; 3]]);
    let copper = Structure::new(Lattice::cubic(3.61).unwrap(), vec![element("Cu"); 4], fcc.to_vec());
    for (structure, symbol, number, unit, atoms) in [
        (salt, "'F m -3 m'", 225, vec![("Na", 4), ("Cl", 4)], 8),
        (diamond, "'F d -3 m'", 227, vec![("C", 8)], 8),
        (copper, "'F m -3 m'", 225, vec![("Cu", 4)], 4),
    ] {
        let text = write_symmetrized(&structure.unwrap(), "x", 0.05).unwrap();
        assert!(text.contains(symbol) && text.contains(&format!("number   {number}\n")), "{text}");
        let rows: Vec<Vec<&str>> = text
            .lines()
            .skip_while(|l| !l.contains("_atom_site_occupancy"))
            .skip(1)
            .map(|l| l.split_whitespace().collect())
            .collect();
        let found: Vec<(&str, usize)> = rows.iter().map(|r| (r[0], r[2].parse().unwrap())).collect();
        assert_eq!(found, unit, "{text}");
        assert!(rows.iter().all(|r| r[3].len() == 1 && r[3].chars().all(|c| c.is_ascii_lowercase())));
        let p = read(&text);
        assert_eq!(p.structure.len(), atoms);
        assert!(p.warnings.is_empty());
    }
}
