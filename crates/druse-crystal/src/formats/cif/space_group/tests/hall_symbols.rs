//! Hall symbols, tabulated and others.

use proptest::prelude::*;

use super::super::tables::settings as tabulated_settings;
use super::super::*;
use super::known;

#[test]
fn every_tabulated_hall_symbol_gives_its_operations() {
    for (setting, known) in tabulated_settings().iter().map(|s| (s, s.operations())) {
        assert_eq!(known[0], IDENTITY);
        let hall = &setting.hall;
        let spellings =
            [hall.clone(), hall.replace('"', "=").replace('\'', "^"), hall.replace(' ', "_").to_lowercase()];
        for spelled in spellings {
            let read = hall::read(&spelled).unwrap_or_else(|e| panic!("{spelled}: {e}"));
            assert!(read.len() == known.len() && same_group(&read, &known), "{spelled}");
        }
        // Without blanks a digit may belong to the one before; then there has to be an error.
        match hall::read(&hall.replace(' ', "")) {
            Ok(read) => assert!(same_group(&read, &known), "{hall}"),
            Err(e) => assert!(e.contains("several readings"), "{hall}: {e}"),
        }
        assert_eq!(space_group_number(&known), Some(setting.number), "{hall}");
    }
    for known in known() {
        let tabulated = tabulated_settings().iter().filter(|s| s.number == known.number);
        assert!(
            tabulated.map(Setting::operations).any(|ops| same_group(&ops, &known.operations)),
            "{}",
            known.hall
        );
    }
}

#[test]
fn hall_symbols_beyond_the_table_are_read() {
    let xyz =
        |texts: &[&str]| -> Vec<SymmetryOperation> { texts.iter().map(|t| t.parse().unwrap()).collect() };
    for (symbol, number, expected) in [
        // Axes exchanged, turned, sheared; the cell halved and doubled; another origin.
        ("-P 2ybc (x-z,y,z)", 14, Some(hall::read("-P 2yn").unwrap())),
        ("-P 2ybc (x,z,y)", 14, Some(hall::read("-P 2bc").unwrap())),
        ("P 4 (x+1/4,y+1/4,z)", 75, Some(xyz(&["x,y,z", "-x+1/2,-y+1/2,z", "-y+1/2,x,z", "y,-x+1/2,z"]))),
        ("P 4 (3 3 0)", 75, Some(xyz(&["x,y,z", "-x+1/2,-y+1/2,z", "-y+1/2,x,z", "y,-x+1/2,z"]))),
        ("-P 2 (0 0 3)", 10, Some(xyz(&["x,y,z", "-x,-y,-z+1/2", "-x,-y,z", "x,y,-z+1/2"]))),
        ("-F 4 2 3 (-x+y+z,x-y+z,x+y-z)", 225, None),
        ("C 4 2 (x-y,x+y,z)", 89, Some(hall::read("P 4 2").unwrap())),
        ("P 4 2 (1/2*x+1/2*y,-1/2*x+1/2*y,z)", 89, Some(hall::read("C 4 2").unwrap())),
        ("P 4 2 (x/2+y/2,y/2-x/2,z)", 89, Some(hall::read("C 4 2").unwrap())),
        // Lattices of the notation that no tabulated setting has.
        ("H 3 2", 150, None),
        ("S 3y", 146, None),
        ("T 3x", 146, None),
        // Face diagonals lie across the axis before.
        ("P 2 2'", 21, Some(xyz(&["x,y,z", "-x,-y,z", "-y,-x,-z", "y,x,-z"]))),
        ("P 2x 2'", 21, Some(xyz(&["x,y,z", "x,-y,-z", "-x,-z,-y", "-x,z,y"]))),
        ("P 2y 2\"", 21, Some(xyz(&["x,y,z", "-x,y,-z", "z,-y,x", "-z,-y,-x"]))),
    ] {
        let read = hall::read(symbol).unwrap_or_else(|e| panic!("{symbol}: {e}"));
        assert_eq!(space_group_number(&read), Some(number), "{symbol}");
        if let Some(expected) = expected {
            assert!(same_group(&read, &expected), "{symbol}");
        }
    }
    for symbol in [
        "",
        "-",
        "P",
        "Q 1",
        "P 5",
        "P 2q",
        "P 2 3",
        "P 2 2 2",
        "P 21",
        "P 2 (0 0",
        "P 2 (0 0 x y)",
        "P 2 (x,y)",
        "P 2 (x,x,z)",
        "P 2 (0 0 99)",
        "P 2 (2x,y,z)",
        "P 4 (1/2x,y,z)",
        "P 2 (x,y,z+1/0)",
        "P 3 (x,y,w)",
        "R 3 2",
        "P 6 4",
        "P 1a",
        "P 1 1",
        "P42",
        "P 2 2 2 2 2",
        "P 21/c",
        "F 4 2 3 q",
        "é 1",
        "P 2\u{0}",
    ] {
        assert!(hall::read(symbol).is_err(), "{symbol}");
    }
}

proptest! {
    /// What is read from a Hall symbol is a group, with the lattice points of its letter.
    #[test]
    fn hall_symbols_give_groups(symbol in "-?[PABCIFRH]( -?[12346][xyz'\"*]?[abcnuvwd]{0,2}){1,3}") {
        if let Ok(operations) = hall::read(&symbol) {
            let closed = crate::symmetry::group::close(&operations, 192).expect("at most 192 operations");
            prop_assert_eq!(closed.len(), operations.len());
            prop_assert!(space_group_number(&operations).is_some());
        }
    }
}
