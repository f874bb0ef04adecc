//! Structures of CIFs that name their space group.

use druse_crystal::Structure;
use druse_crystal::formats::{Format, Parsed, read_str};

fn cif(cell: [f64; 6], names: &str, sites: &str) -> String {
    let [a, b, c, alpha, beta, gamma] = cell;
    format!(
        "data_x\n_cell_length_a {a}\n_cell_length_b {b}\n_cell_length_c {c}\n_cell_angle_alpha {alpha}\n\
         _cell_angle_beta {beta}\n_cell_angle_gamma {gamma}\n{names}\nloop_\n_atom_site_label\n\
         _atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n{sites}\n"
    )
}

fn parsed(text: &str) -> Parsed {
    read_str(text, Format::Cif).unwrap_or_else(|e| panic!("{e}\n{text}")).remove(0)
}

/// Shortest distance (Å) between two sites.
fn shortest(s: &Structure) -> f64 {
    let list = druse_crystal::within_cutoff(&s.lattice, &s.frac_coords, 4.0);
    list.unwrap().neighbors.iter().map(|n| n.distance).fold(f64::INFINITY, f64::min)
}

#[test]
fn fluorite_by_old_and_new_names() {
    let cube = [5.463, 5.463, 5.463, 90.0, 90.0, 90.0];
    for names in [
        "_symmetry_space_group_name_H-M 'F m 3 m'",
        "_symmetry_space_group_name_H-M Fm3m",
        "_symmetry_space_group_name_H-M 'F m -3 m'",
        "_symmetry_space_group_name_H-M 'F 4/m -3 2/m'",
        "_symmetry_space_group_name_H-M 'Fm\\bar{3}m'",
        "_symmetry_space_group_name_H-M ?\n_symmetry_Int_Tables_number 225",
        "_space_group_name_Hall '-F 4 2 3'",
        "_space_group_name_Hall '-F 4 2 3 (x,y,z)'\n_symmetry_Int_Tables_number 225",
    ] {
        let fluorite = parsed(&cif(cube, names, "Ca1 0 0 0\nF1 0.25 0.25 0.25"));
        assert_eq!(fluorite.structure.len(), 12, "{names}");
        assert!((shortest(&fluorite.structure) - 5.463 * 3f64.sqrt() / 4.0).abs() < 1e-6, "{names}");
        assert!(fluorite.warnings.is_empty(), "{names}: {:?}", fluorite.warnings);
    }
}

#[test]
fn baddeleyite_keeps_its_setting() {
    // The same crystal with two choices of c.
    let in_c = cif(
        [5.1505, 5.2116, 5.3173, 90.0, 99.23, 90.0],
        "_symmetry_space_group_name_H-M 'P 1 21/c 1'",
        "Zr1 0.2754 0.0395 0.2083\nO1 0.0700 0.3317 0.3447\nO2 0.4496 0.7569 0.4792",
    );
    let expected = shortest(&parsed(&in_c).structure);
    assert!((expected - 2.05).abs() < 0.01, "{expected}");
    for names in [
        "_symmetry_space_group_name_H-M 'P2(1)/n'\n_symmetry_Int_Tables_number 14",
        "_symmetry_space_group_name_H-M 'P 21/n'",
        "_symmetry_space_group_name_H-M 'P 2 1/n'",
        "_symmetry_space_group_name_H-M 'P2<sub>1</sub>/n'\n_symmetry_Int_Tables_number 14",
        "_symmetry_space_group_name_Hall '-P 2yn'\n_symmetry_Int_Tables_number 14",
        "_symmetry_space_group_name_Hall '-P 2ybc (x-z,y,z)'",
    ] {
        let in_n = parsed(&cif(
            [6.78349, 5.2116, 5.1505, 90.0, 129.3118, 90.0],
            names,
            "Zr1 0.7917 0.0395 0.0671\nO1 0.6553 0.3317 0.7253\nO2 0.5208 0.7569 0.9704",
        ));
        assert_eq!(in_n.structure.len(), 12, "{names}");
        assert!((shortest(&in_n.structure) - expected).abs() < 1e-3, "{names}");
        assert!(in_n.warnings.is_empty(), "{names}: {:?}", in_n.warnings);
    }
    let unknown = in_c.replace("'P 1 21/c 1'", "'P 1 21/q 1'\n_symmetry_Int_Tables_number 14");
    let e = read_str(&unknown, Format::Cif).expect_err("no such symbol").to_string();
    assert!(e.contains("unknown space group `P 1 21/q 1`") && e.contains("did you mean"), "{e}");
}
