//! CIFs as programs and people write them: what is read, what is said about it, and what is refused by name.

use druse_crystal::formats::{Format, FormatErrorKind, Parsed, Warning, WarningKind, read_str};
use druse_crystal::symmetry::analyze;
use druse_crystal::{Composition, Structure};

const ATOMS: &str = "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";
const LABELS: &str = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n";

fn cell(a: f64, b: f64, c: f64, gamma: f64) -> String {
    format!(
        "_cell_length_a {a}\n_cell_length_b {b}\n_cell_length_c {c}\n_cell_angle_alpha 90\n_cell_angle_beta 90\n\
         _cell_angle_gamma {gamma}\n"
    )
}

fn cubic(a: f64) -> String {
    cell(a, a, a, 90.0)
}

fn read(cif: &str) -> Parsed {
    let mut all = read_str(cif, Format::Cif).unwrap_or_else(|e| panic!("{e}\n{cif}"));
    assert_eq!(all.len(), 1, "{cif}");
    all.remove(0)
}

fn refused(cif: &str) -> String {
    match read_str(cif, Format::Cif) {
        Err(e) => e.to_string(),
        Ok(p) => panic!("{p:?}\n{cif}"),
    }
}

fn formula(s: &Structure) -> String {
    Composition::from_species(&s.species).formula().replace(' ', "")
}

fn space_group(s: &Structure) -> u16 {
    analyze(s, 0.01).unwrap().number
}

fn kinds(warnings: &[Warning]) -> Vec<WarningKind> {
    warnings.iter().map(|w| w.kind).collect()
}

/// Rutile-type MnF2 in the cell of its magnetic structure, the operations of P4_2'/mnm' as MAGNDATA lists them.
#[test]
fn magnetic_operations_are_those_of_the_atoms() {
    let operations = [
        "x,y,z,+1",
        "-x,-y,z,+1",
        "-x+1/2,y+1/2,-z+1/2,+1",
        "x+1/2,-y+1/2,-z+1/2,+1",
        "-y+1/2,x+1/2,z+1/2,-1",
        "y+1/2,-x+1/2,z+1/2,-1",
        "y,x,-z,-1",
        "-y,-x,-z,-1",
    ];
    let inverted = "-x,-y,-z,+1";
    let atoms = format!("{ATOMS}Mn1 Mn 0 0 0\nF1 F .305 .305 0\n");
    let file = |list: &str| {
        format!(
            "data_x\n_space_group_magn.name_BNS \"P4_2'/mnm'\"\n{list}\n{}{atoms}",
            cell(4.873, 4.873, 3.31, 90.0)
        )
    };
    // All sixteen operations; half of them with the other half as a centring-like list does not exist here, so the
    // inversion is written out.
    let mut all: Vec<String> = operations.iter().map(|o| (*o).to_owned()).collect();
    for o in operations {
        let parts: Vec<String> = o.split(',').take(3).map(invert).collect();
        all.push(format!("{},{}", parts.join(","), o.rsplit(',').next().unwrap()));
    }
    assert!(all.iter().any(|o| o == inverted), "{all:?}");
    let rows: String = all.iter().enumerate().map(|(k, o)| format!("{} {o}\n", k + 1)).collect();
    let plain: String = all.iter().map(|o| format!("{o}\n")).collect();
    for list in [
        format!("loop_\n_space_group_symop_magn_operation.id\n_space_group_symop_magn_operation.xyz\n{rows}"),
        format!("loop_\n_space_group_symop.magn_operation_xyz\n{plain}"),
        format!(
            "loop_\n_space_group_symop_magn_operation.xyz\n{plain}loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\n"
        ),
        // The parent group's symbol says nothing about these operations.
        format!(
            "loop_\n_space_group_symop_magn_operation.xyz\n{plain}_parent_space_group.name_H-M_alt 'P 42/m n m'\n"
        ),
    ] {
        let p = read(&file(&list));
        assert_eq!((formula(&p.structure).as_str(), space_group(&p.structure)), ("Mn2F4", 136));
        assert!(p.warnings.is_empty(), "{:?}", p.warnings);
    }
    // An anti-translation is a translation of the atoms.
    let p = read(&format!(
        "data_x\nloop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\nloop_\n_space_group_symop_magn_centering.xyz\n\
         x,y,z,+1\nx,y,z+1/2,-1\n{}{ATOMS}Fe1 Fe 0 0 0\n",
        cell(2.9, 2.9, 5.8, 90.0)
    ));
    assert_eq!(formula(&p.structure), "Fe2");
    for (list, words) in [
        ("", "magnetic space group without its operations"),
        ("_space_group_symop_magn_operation.xyz x,y,z,2", "no magnetic operation"),
        ("_space_group_symop_magn_operation.xyz x,y", "operation"),
        ("_space_group_ssg_name 'P21/c(a0g)'", "modulated"),
    ] {
        let message = refused(&file(list));
        assert!(message.contains(words), "{list}: {message}");
    }
}

fn invert(part: &str) -> String {
    let signed: String = match part.starts_with('-') {
        true => part.to_owned(),
        false => format!("+{part}"),
    };
    let swapped: String = signed
        .chars()
        .map(|c| match c {
            '+' => '-',
            '-' => '+',
            c => c,
        })
        .collect();
    swapped.trim_start_matches('+').to_owned()
}

/// C14 Laves phase MgZn2: z of Mg 0.062, x of Zn 0.83.
#[test]
fn rounded_special_positions_are_what_the_file_says() {
    let file = |states: &str, multiplicities: [&str; 3], mg: &str, zn: &str| {
        let [m1, m2, m3] = multiplicities;
        let column = if m1.is_empty() { "" } else { "_atom_site_symmetry_multiplicity\n" };
        format!(
            "data_MgZn2\n{states}_symmetry_space_group_name_H-M 'P 63/m m c'\n{}{ATOMS}{column}\
             Mg1 Mg {mg} .062 {m1}\nZn1 Zn 0 0 0 {m2}\nZn2 Zn {zn} .25 {m3}\n",
            cell(5.223, 5.223, 8.566, 120.0)
        )
    };
    let formula_and_z = "_chemical_formula_sum 'Mg Zn2'\n_cell_formula_units_Z 4\n";
    for (states, multiplicities, mg, zn) in [
        (formula_and_z, ["4", "2", "6"], ".33 .67", ".83 .66"),
        (formula_and_z, [""; 3], ".33 .67", ".83 .66"),
        ("_chemical_formula_sum 'Mg Zn2'\n", [""; 3], ".33 .67", ".83 .66"),
        ("", ["4", "2", "6"], ".33 .67", ".83 .66"),
        ("", [""; 3], ".33 .67", ".83 .66"),
        // The other coordinate of Zn rounded as well: 0.8305, 0.661.
        (formula_and_z, ["4", "2", "6"], ".333 .667", ".831 .661"),
        ("", [""; 3], ".333 .667", ".831 .661"),
        // Digits cut off.
        ("", [""; 3], ".33 .66", ".83 .66"),
        // One decimal needs the file's word.
        (formula_and_z, ["4", "2", "6"], ".3 .7", ".83 .66"),
    ] {
        let p = read(&file(states, multiplicities, mg, zn));
        let what = format!("{states}{multiplicities:?} {mg} {zn}: {:?}", p.warnings);
        assert_eq!(formula(&p.structure), "Mg4Zn8", "{what}");
        assert_eq!(space_group(&p.structure), 194, "{what}");
        assert_eq!(kinds(&p.warnings), [WarningKind::SpecialPosition], "{what}");
        assert!(p.warnings[0].text.contains("Mg1"), "{what}");
    }
    // Enough decimals: nothing to say.
    let p = read(&file(formula_and_z, ["4", "2", "6"], ".33333 .66667", ".8305 .6610"));
    assert_eq!((formula(&p.structure).as_str(), p.warnings.len()), ("Mg4Zn8", 0));
    // The formula asks for all twelve images of magnesium, the multiplicity for four.
    let contradicting = "_chemical_formula_sum 'Mg3 Zn2'\n_cell_formula_units_Z 4\n";
    let message = refused(&file(contradicting, ["4", "2", "6"], ".33 .67", ".83 .66"));
    assert!(message.contains("Mg1") && message.contains('4') && message.contains("12"), "{message}");
    let message = refused(&file("", ["6", "2", "6"], ".33 .67", ".83 .66"));
    assert!(message.contains("Mg1"), "{message}");
}

#[test]
fn general_positions_near_special_ones_stay() {
    // x = 0.02 in a cell of 40 Å is 0.8 Å from the plane, however few decimals it has.
    let p = read(&format!(
        "data_x\n_symmetry_space_group_name_H-M 'P 1 m 1'\n{}{ATOMS}C1 C .5 .02 .5\n",
        cell(5.0, 40.0, 5.0, 90.0)
    ));
    assert_eq!((p.structure.len(), p.warnings.len()), (2, 0), "{:?}", p.warnings);
    // Two half-atoms that only disorder can explain, without a word of the file about it.
    let p = read(&format!(
        "data_x\n_symmetry_space_group_name_H-M 'P 1 m 1'\n{}{ATOMS}C1 C .5 .0213 .5\n",
        cell(5.0, 5.0, 5.0, 90.0)
    ));
    assert_eq!((p.structure.len(), kinds(&p.warnings)), (2, vec![WarningKind::CloseAtoms]));
    assert!(p.warnings[0].is_doubt() && p.warnings[0].text.contains("C1"));
    // The multiplicity says that it is one atom on the plane.
    let p = read(&format!(
        "data_x\n_symmetry_space_group_name_H-M 'P 1 m 1'\n{}{ATOMS}_atom_site_symmetry_multiplicity\nC1 C .5 .0213 .5 1\nO1 O .1 .3 .2 2\n",
        cell(5.0, 5.0, 5.0, 90.0)
    ));
    assert_eq!(
        (formula(&p.structure).as_str(), kinds(&p.warnings)),
        ("C1O2", vec![WarningKind::SpecialPosition])
    );
}

#[test]
fn operations_and_symbol_that_contradict_each_other() {
    let salt = |states: &str, list: &str| {
        format!(
            "data_x\n{states}_symmetry_space_group_name_H-M 'F m -3 m'\nloop_\n_symmetry_equiv_pos_as_xyz\n{list}\n{}{ATOMS}\
             Na1 Na 0 0 0\nCl1 Cl .5 .5 .5\n",
            cubic(5.64)
        )
    };
    for content in [
        "_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4\n",
        "_chemical_formula_sum 'Na4 Cl4'\n_cell_formula_units_Z 4\n",
    ] {
        let p = read(&salt(content, "x,y,z"));
        assert_eq!((p.structure.len(), kinds(&p.warnings)), (8, vec![WarningKind::ContradictedSymmetry]));
        // Without the centring.
        let p = read(&salt(content, "x,y,z\n-x,-y,-z\ny,x,z"));
        assert_eq!((p.structure.len(), kinds(&p.warnings)), (8, vec![WarningKind::ContradictedSymmetry]));
    }
    // Nothing decides: the list, and a word about it.
    let p = read(&salt("", "x,y,z"));
    assert_eq!((p.structure.len(), kinds(&p.warnings)), (2, vec![WarningKind::ContradictedSymmetry]));
    assert!(p.warnings[0].is_doubt() && p.warnings[0].text.contains("F m -3 m"), "{:?}", p.warnings);
    // The content speaks for the list.
    let p = read(&salt("_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 1\n", "x,y,z"));
    assert_eq!((p.structure.len(), kinds(&p.warnings)), (2, vec![WarningKind::Interpreted]));
    // A list in another setting of the same group is no contradiction: P 1 21/n 1 under the name of P 1 21/c 1.
    let p = read(&format!(
        "data_x\n_symmetry_space_group_name_H-M 'P 1 21/c 1'\nloop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,-y,-z\n\
         x+1/2,-y+1/2,z+1/2\n-x+1/2,y+1/2,-z+1/2\n{}{ATOMS}Zr1 Zr .1 .2 .3\n",
        cell(5.0, 5.1, 5.2, 90.0)
    ));
    assert_eq!((p.structure.len(), p.warnings.len()), (4, 0), "{:?}", p.warnings);
    // Generators alone.
    let p = read(&format!(
        "data_x\n_chemical_formula_sum Zr\n_cell_formula_units_Z 4\nloop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,-y,-z\n\
         x+1/2,-y+1/2,z+1/2\n{}{ATOMS}Zr1 Zr .1 .2 .3\n",
        cell(5.0, 5.1, 5.2, 90.0)
    ));
    assert_eq!((p.structure.len(), kinds(&p.warnings)), (4, vec![WarningKind::ContradictedSymmetry]));
}

#[test]
fn stated_content_that_the_sites_do_not_give() {
    let file = |states: &str, rows: &str| {
        format!("data_x\n{states}\n_symmetry_space_group_name_H-M 'P m -3 m'\n{}{ATOMS}{rows}", cubic(3.866))
    };
    let salt = "N1 N 0 0 0\nCl1 Cl .5 .5 .5\n";
    for (states, kind) in [
        ("_chemical_formula_sum 'Cl H4 N'\n_cell_formula_units_Z 1", Some(WarningKind::MissingHydrogen)),
        ("_chemical_formula_sum 'Cl D4 N'", Some(WarningKind::MissingHydrogen)),
        ("_chemical_formula_sum 'Cl2 N'", Some(WarningKind::ContradictedContent)),
        ("_chemical_formula_sum 'Cl N O'\n_cell_formula_units_Z 1", Some(WarningKind::ContradictedContent)),
        ("_chemical_formula_sum 'Cl N'\n_cell_formula_units_Z 2", Some(WarningKind::ContradictedContent)),
        // No false alarm: formula, formula and Z, the content of the cell as formula, no or no usable formula.
        ("_chemical_formula_sum 'Cl N'\n_cell_formula_units_Z 1", None),
        ("_chemical_formula_sum 'N1 Cl1'", None),
        ("_chemical_formula_sum 'N2 Cl2'", None),
        ("_chemical_formula_sum ?\n_cell_formula_units_Z 7", None),
        ("_chemical_formula_sum 'N Cl (x = 0.5)'", None),
        ("_cell_formula_units_Z 3", None),
        ("", None),
    ] {
        let p = read(&file(states, salt));
        assert_eq!(formula(&p.structure), "N1Cl1");
        assert_eq!(kinds(&p.warnings), Vec::from_iter(kind), "{states}: {:?}", p.warnings);
        assert!(p.warnings.iter().all(Warning::is_doubt));
    }
    let hydrogen = "_atom_site_attached_hydrogens\nN1 N 0 0 0 4\nCl1 Cl .5 .5 .5 0\n";
    let p = read(&file("", hydrogen));
    assert_eq!(kinds(&p.warnings), [WarningKind::MissingHydrogen]);
    assert!(p.warnings[0].text.contains("4 attached"), "{:?}", p.warnings);
    // All hydrogen of the formula has sites, whatever the column says.
    let p = read(&format!(
        "data_x\n_chemical_formula_sum 'H N'\n_symmetry_Int_Tables_number 1\n{}{ATOMS}_atom_site_attached_hydrogens\n\
         N1 N 0 0 0 1\nH1 H 0 0 .26 .\n",
        cubic(3.866)
    ));
    assert_eq!((p.structure.len(), p.warnings.len()), (2, 0), "{:?}", p.warnings);
    // Hydrogen that is listed without a position.
    let p = read(&file("", "N1 N 0 0 0\nCl1 Cl .5 .5 .5\nH1 H ? ? ?\n"));
    assert_eq!((p.structure.len(), kinds(&p.warnings)), (2, vec![WarningKind::MissingHydrogen]));
    // Multiplicities alone.
    let p = read(&file("", "_atom_site_symmetry_multiplicity\nN1 N 0 0 0 1\nCl1 Cl .5 .5 .5 4\n"));
    assert_eq!(kinds(&p.warnings), [WarningKind::ContradictedContent]);
    assert!(p.warnings[0].text.contains("Cl1"), "{:?}", p.warnings);
}

#[test]
fn symbols_that_are_not_understood_are_refused() {
    let file = |symbol: &str| {
        format!(
            "data_x\n_symmetry_space_group_name_H-M '{symbol}'\n_symmetry_Int_Tables_number 14\n{}{ATOMS}O1 O .1 .2 .3\n",
            cell(5.1, 5.2, 5.3, 90.0)
        )
    };
    for symbol in ["P 21/q", "P 21/cc", "nonsense"] {
        let message = refused(&file(symbol));
        assert!(message.contains(symbol) && message.contains("line 2"), "{message}");
    }
    assert!(refused(&file("P 21/q")).contains("P 21/"), "the nearest symbols are named");
    let atoms = |symbol: &str| read(&file(symbol)).structure.frac_coords;
    for symbol in ["P2(1)/n", "P 2(1)/n", "P 21/n", "P 1 21/n 1", "P2_1/n", "p 21/n", "P121/n1"] {
        assert_eq!(atoms(symbol), atoms("P 1 21/n 1"), "{symbol}");
        assert_ne!(atoms(symbol), atoms("P 1 21/c 1"), "{symbol}");
    }
    // Without quotes.
    let unquoted = file("x").replace("'x'", "P 21/n");
    assert_eq!(read(&unquoted).structure.frac_coords, atoms("P 1 21/n 1"));
}

#[test]
fn rows_of_one_element_on_one_spot_are_one_site() {
    let file = |rows: &str| {
        format!(
            "data_x\n_symmetry_space_group_name_H-M 'F d -3 m :2'\n{}{ATOMS}_atom_site_occupancy\n{rows}",
            cubic(8.396)
        )
    };
    for (second, third) in [
        ("Fe2 Fe2+ .5 .5 .5 .5", "Fe3 Fe3+ .5 .5 .5 .5"),
        ("Fe2 Fe2+ .5 .5 .5 .33", "Fe3 Fe3+ -.5 .5 1.5 .67(2)"),
    ] {
        let p = read(&file(&format!(
            "Fe1 Fe3+ .125 .125 .125 1.\n{second}\n{third}\nO1 O2- .2549 .2549 .2549 1.\n"
        )));
        assert_eq!(
            (formula(&p.structure).as_str(), kinds(&p.warnings)),
            ("Fe24O32", vec![WarningKind::Merged])
        );
        assert!(!p.warnings[0].is_doubt());
    }
    let p = read(&file("O1 O .25 .25 .25 1\nH1 H 0 0 0 .3\nD1 D 0 0 0 .7\n"));
    assert_eq!(
        (formula(&p.structure).as_str(), kinds(&p.warnings)),
        ("H16O32", vec![WarningKind::Merged, WarningKind::Isotope])
    );
    let p = read(&file("Fe1 Fe 0 0 0 1\nLi1 Li .5 .5 .5 0\n"));
    assert_eq!((formula(&p.structure).as_str(), kinds(&p.warnings)), ("Fe16", vec![WarningKind::NotKept]));
    for rows in [
        "Fe1 Fe2+ 0 0 0 .5\nFe2 Fe3+ 0 0 0 .3\n",
        "Fe1 Fe 0 0 0 .5\nMn1 Mn 0 0 0 .5\n",
        "Fe1 Fe 0 0 0 .5\nFe2 Fe .1 .1 .1 .5\n",
    ] {
        assert!(refused(&file(rows)).contains("Fe1 is partially occupied"), "{rows}");
    }
}

#[test]
fn a_list_of_all_atoms_beside_the_symmetry() {
    let file = |rows: &str| {
        format!("data_x\n_symmetry_space_group_name_H-M 'F m -3 m'\n{}{ATOMS}{rows}", cubic(5.64))
    };
    let all =
        "Na1 Na 0 0 0\nNa2 Na 0 .5 .5\nNa3 Na .5 0 .5\nNa4 Na .5 .5 0\nCl1 Cl .5 .5 .5\nCl2 Cl 0 0 .5\n";
    let p = read(&file(all));
    assert_eq!((formula(&p.structure).as_str(), kinds(&p.warnings)), ("Na4Cl4", vec![WarningKind::Merged]));
    assert!(p.warnings[0].text.contains("4 listed sites"), "{:?}", p.warnings);
    // Two elements on one spot are no crystal, and neither are two atoms of one element in a cell without symmetry.
    assert!(refused(&file("Na1 Na 0 0 0\nCl1 Cl 0 .5 .5\n")).contains("coincide"));
    assert!(refused(&file("Na1 Na 0 0 0\nNa2 Na 0 0 0\n").replace("F m -3 m", "P 1")).contains("coincide"));
}

#[test]
fn names_of_species_and_sites() {
    let brucite = |name: &str, more: &str| {
        format!(
            "data_x\n{more}_symmetry_space_group_name_H-M 'P -3 m 1'\n{}{ATOMS}Mg1 Mg 0 0 0\nX1 {name} .3333 .6667 .2216\n",
            cell(3.15, 3.15, 4.766, 120.0)
        )
    };
    for name in ["OH", "OH-", "OD", "OH2", "Wat", "H2O"] {
        let p = read(&brucite(name, ""));
        assert_eq!(
            (formula(&p.structure).as_str(), kinds(&p.warnings)),
            ("Mg1O2", vec![WarningKind::MissingHydrogen]),
            "{name}"
        );
        assert!(p.warnings[0].text.contains("hydrogen"));
    }
    let p = read(&brucite("OH", "_chemical_formula_sum 'H2 Mg O2'\n_cell_formula_units_Z 1\n"));
    assert_eq!(kinds(&p.warnings), [WarningKind::MissingHydrogen], "once: {:?}", p.warnings);
    for (label, element, doubt) in [
        ("Oa1", "O", true),
        ("Obm", "O", true),
        ("Na+", "Na", false),
        ("D1", "H", false),
        ("OW2", "O", false),
        ("Wat1", "O", true),
        ("OH1", "O", true),
    ] {
        let p =
            read(&format!("data_x\n_symmetry_Int_Tables_number 1\n{}{LABELS}{label} 0 0 0\n", cubic(4.0)));
        assert_eq!(p.structure.species[0].symbol(), element, "{label}");
        assert_eq!(p.warnings.iter().any(Warning::is_doubt), doubt, "{label}: {:?}", p.warnings);
    }
    for label in ["T1", "X1", "Vac1", "M1"] {
        let message =
            refused(&format!("data_x\n_symmetry_Int_Tables_number 1\n{}{LABELS}{label} 0 0 0\n", cubic(4.0)));
        assert!(message.contains(&format!("unknown element `{label}`")), "{message}");
    }
}

#[test]
fn coordinates_and_lists_that_say_nothing() {
    let p = read(&format!(
        "data_x\n_symmetry_space_group_name_H-M 'P m -3 m'\n{}{ATOMS}Sr1 Sr2+ . . .\nTi1 Ti4+ .5 .5 .5\nO1 O2- . .5 .5\n",
        cubic(3.905)
    ));
    assert_eq!(
        (formula(&p.structure).as_str(), kinds(&p.warnings)),
        ("Sr1Ti1O3", vec![WarningKind::Interpreted])
    );
    let salt = |name: &str| {
        format!(
            "data_{name}\n_symmetry_space_group_name_H-M 'F m -3 m'\n{}{ATOMS}Na1 Na 0 0 0\nCl1 Cl .5 .5 .5\n",
            cubic(5.64)
        )
    };
    for empty in [
        format!("{ATOMS}? ? ? ? ?\n"),
        format!("{ATOMS}. . . . .\n"),
        ATOMS.to_owned(),
        String::new(),
        format!("{ATOMS}Na1 Na ? ? ?\n"),
    ] {
        let block = format!("data_powder\n{}{empty}", cubic(5.64));
        for text in [format!("{}{block}", salt("a")), format!("{block}{}", salt("a"))] {
            let p = read(&text);
            assert_eq!((p.name.as_str(), p.structure.len()), ("a", 8));
        }
        // Alone it is refused, with the reason.
        let error = read_str(&block, Format::Cif).unwrap_err();
        let reason = matches!(error.kind, FormatErrorKind::NoStructure(_) | FormatErrorKind::Missing(_));
        assert!(reason && error.to_string().contains("atom list"), "{error}");
    }
    let message = refused(&format!("data_x\n{}{ATOMS}Na1 Na 0 0 ?\n", cubic(5.64)));
    assert!(message.contains("position of site Na1"), "{message}");
}

#[test]
fn missing_angles_are_right_angles() {
    let file = |more: &str| {
        format!("data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 5\n{more}{ATOMS}Po1 Po 0 0 0\n")
    };
    for more in ["", "_cell_angle_alpha 90\n_cell_angle_gamma ?\n", "_cell_volume 80.0(1)\n"] {
        let p = read(&file(more));
        assert!((p.structure.lattice.volume() - 80.0).abs() < 1e-9);
        assert_eq!(
            kinds(&p.warnings),
            [WarningKind::GuessedCell, WarningKind::Interpreted],
            "{:?}",
            p.warnings
        );
    }
    // The volume of a hexagonal cell.
    assert!(refused(&file("_cell_volume 69.28\n")).contains("angle"));
    assert!(refused(&file("_symmetry_space_group_name_H-M 'P 6/m m m'\n")).contains("does not fit"));
}

#[test]
fn values_of_cif_2_and_values_without_quotes() {
    let body = format!(
        "data_x\n_publ_section_comment \"\"\"one\n\"two\"\nthree\"\"\"\n_diffrn_orient_matrix [[1 0 0] [0 1 0]\n [0 0 1]]\n\
         _x_table {{'a':1 'b':[2 3]}}\n_x_note three words here\n_symmetry_space_group_name_H-M F m -3 m\n{}{ATOMS}\
         Na1 Na 0 0 0\nCl1 Cl .5 .5 .5\n",
        cubic(5.64)
    );
    for text in [format!("#\\#CIF_2.0\n{body}"), body] {
        assert_eq!(read(&text).structure.len(), 8);
    }
}
