//! What becomes of Hall symbol, Hermann–Mauguin symbol, number and cell together.

use super::{cell, read, read_symbol};

#[test]
fn the_cell_decides_between_the_axes_of_a_monoclinic_symbol() {
    let (alpha, beta, gamma) = (
        cell([5.0, 6.0, 7.0, 101.0, 90.0, 90.0]),
        cell([5.0, 6.0, 7.0, 90.0, 101.0, 90.0]),
        cell([5.0, 6.0, 7.0, 90.0, 90.0, 101.0]),
    );
    for (symbol, lattice, expected) in [
        ("P 21/c", &beta, &["-P 2ybc"][..]),
        ("P 21/c", &alpha, &["-P 2xac"]),
        ("P 21/c", &gamma, &[]),
        ("P 21/b", &gamma, &["-P 2bc"]),
        ("P 21/b", &alpha, &["-P 2xab"]),
        ("P 21/b", &beta, &[]),
        ("P 21/n1", &beta, &["-P 2yn"]),
        ("P 1 21", &beta, &["P 2yb"]),
        ("P 21", &gamma, &["P 2c"]),
        ("B 2", &gamma, &["B 2"]),
        ("B 2", &beta, &["B 2y"]),
        ("C 2", &beta, &["C 2y"]),
        ("C 2", &gamma, &["C 2"]),
        ("C1 2/m 1", &beta, &["-C 2y"]),
        ("P 21/c :b1", &beta, &["-P 2ybc"]),
        ("P 1 2/a 1 (unique axis b, cell choice 3)", &beta, &["-P 2ya"]),
        ("P 21/c (no. 14)", &beta, &["-P 2ybc"]),
        ("P 2 1/c", &beta, &["-P 2ybc"]),
        ("P2 1/n", &beta, &["-P 2yn"]),
        ("P 1 2 1/n 1", &beta, &["-P 2yn"]),
        ("P 121/c 1", &beta, &["-P 2ybc"]),
    ] {
        let found: Vec<String> =
            read_symbol(symbol, lattice).map_or(Vec::new(), |all| all.into_iter().map(|s| s.name).collect());
        assert_eq!(found.len(), expected.len(), "{symbol}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.ends_with(&format!("(Hall symbol {expected})")), "{symbol}: {found}");
        }
    }
    // A cell that fits several: the usual axis comes first.
    let right = cell([5.0, 6.0, 7.0, 90.0, 90.0, 90.0]);
    let (found, _) = read("absent", "P 21/c", "14", &right).unwrap();
    assert_eq!(found, ["`b1` (Hall symbol -P 2ybc)", "`a3` (Hall symbol -P 2xac)"]);
}

#[test]
fn unknown_symbols_are_not_replaced_by_the_standard_setting() {
    let beta = cell([5.0, 6.0, 7.0, 90.0, 101.0, 90.0]);
    let cubic = cell([5.0, 5.0, 5.0, 90.0, 90.0, 90.0]);
    let hexagonal = cell([5.0, 5.0, 7.0, 90.0, 90.0, 120.0]);
    for (symbol, number, lattice, words) in [
        ("P 21/q", "14", &beta, "did you mean `P 1 21/"),
        ("P 21/q", "absent", &beta, "did you mean `P 1 21/"),
        ("P -3 m", "absent", &hexagonal, "`P -3 m 1`"),
        ("F d -3 mm", "227", &cubic, "does not tell which of its settings"),
        ("Fm-3m:2", "absent", &cubic, "did you mean `F m -3 m`"),
        ("P 21/c (x+1/4,y,z)", "14", &beta, "did you mean `P 1 21/c 1`"),
        ("P 2 1", "4", &beta, "unknown space group `P 2 1`"),
        ("P 3 2", "absent", &hexagonal, "unknown space group"),
        ("P 31 2", "absent", &hexagonal, "unknown space group"),
        ("A c m 2", "absent", &cubic, "`A e m 2`"),
        ("-1", "2", &beta, "unknown space group `-1`"),
        ("Q 9", "absent", &cubic, "unknown space group `Q 9`"),
    ] {
        let e = read("absent", symbol, number, lattice).expect_err(symbol);
        assert!(e.contains(words), "{symbol}: {e}");
        assert!(e.starts_with("line 2"), "{symbol}: {e}");
    }
    // A number with one setting leaves no choice.
    let (found, warnings) = read("absent", "F m 3- m", "225", &cubic).unwrap();
    assert_eq!(found, ["`F m -3 m` (Hall symbol -F 4 2 3)"]);
    assert!(warnings[0].contains("`F m 3- m` is not known; number 225 was used"), "{warnings:?}");
    assert!(read("absent", "triclinic", "1", &beta).unwrap().1[0].contains("number 1 was used"));
    // Neither does the Hall symbol.
    let (found, warnings) = read("-P 2yn", "my setting", "14", &beta).unwrap();
    assert_eq!(found, ["(Hall symbol -P 2yn)"]);
    assert!(warnings[0].contains("`my setting` is not known; Hall symbol `-P 2yn` was used"), "{warnings:?}");
}

#[test]
fn names_have_to_agree() {
    let beta = cell([5.0, 6.0, 7.0, 90.0, 101.0, 90.0]);
    for (hall, symbol, number, words) in [
        (
            "-P 2yn",
            "C 1 2/c 1",
            "absent",
            "Hall symbol `-P 2yn` is space group 14, but symbol `C 1 2/c 1` is 15",
        ),
        ("-P 2yn", "absent", "15", "Hall symbol `-P 2yn` is space group 14, but the number given is 15"),
        ("absent", "P 21/n", "15", "symbol `P 21/n` is space group 14, but the number given is 15"),
        ("absent", "B 2", "4", "symbol `B 2` is space group 5, but the number given is 4"),
        ("-P 2yq", "absent", "absent", "Hall symbol `-P 2yq` cannot be read"),
        ("-P 2yq", "absent", "14", "Hall symbol `-P 2yq` cannot be read"),
        ("-F 4 2 3", "absent", "absent", "does not fit the cell"),
        ("absent", "absent", "231", "no space-group number"),
    ] {
        let e = read(hall, symbol, number, &beta).expect_err(hall);
        assert!(e.contains(words), "{hall} {symbol} {number}: {e}");
    }
    let remark = |hall, symbol, number| {
        let (found, warnings) = read(hall, symbol, number, &beta).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].clone(), warnings.join("; "))
    };
    assert_eq!(remark("-P 2yn", "P 21/n", "14"), ("(Hall symbol -P 2yn)".into(), String::new()));
    let (name, remarks) = remark("-P 2yn", "P 1 21/c 1", "14");
    assert_eq!(name, "(Hall symbol -P 2yn)");
    assert!(remarks.contains("different settings of space group 14"), "{remarks}");
    let (name, remarks) = remark("-P 2yq", "P 21/n", "14");
    assert_eq!(name, "`b2` (Hall symbol -P 2yn)");
    assert!(remarks.contains("`-P 2yq` cannot be read") && remarks.contains("not used"), "{remarks}");
    // `I 41` is a Hall symbol, too, of another origin.
    let tetragonal = cell([5.0, 5.0, 7.0, 90.0, 90.0, 90.0]);
    let (found, warnings) = read("I 41", "I 41", "80", &tetragonal).unwrap();
    assert_eq!(found, ["`I 41` (Hall symbol I 4bw)"]);
    assert!(warnings[0].contains("read as symbol `I 41`"), "{warnings:?}");
}

#[test]
fn placeholders_are_no_names() {
    let beta = cell([5.0, 6.0, 7.0, 90.0, 101.0, 90.0]);
    for nothing in ["?", ".", "", " ", "not given", "Unknown", "n/a", "'?'", "none"] {
        let (found, warnings) = read(nothing, "P 21/n", nothing, &beta).unwrap();
        assert_eq!((found.as_slice(), warnings.len()), (&["`b2` (Hall symbol -P 2yn)".to_owned()][..], 0));
        let (found, warnings) = read(nothing, nothing, nothing, &beta).unwrap();
        assert_eq!((found.as_slice(), warnings.len()), (&["P 1".to_owned()][..], 1), "{nothing}");
    }
}

#[test]
fn a_number_alone_leaves_its_settings_open() {
    let (found, warnings) =
        read("absent", "absent", "227", &cell([5.0, 5.0, 5.0, 90.0, 90.0, 90.0])).unwrap();
    assert_eq!(found, ["`1` (Hall symbol F 4d 2 3 -1d)", "`2` (Hall symbol -F 4vw 2vw 3)"]);
    assert!(warnings.is_empty());
    let rhombohedral = cell([5.0, 5.0, 5.0, 77.0, 77.0, 77.0]);
    assert_eq!(read("absent", "absent", "166", &rhombohedral).unwrap().0, ["`R` (Hall symbol -P 3* 2)"]);
}

#[test]
fn a_cell_that_hardly_fits_is_worth_a_remark() {
    let symbol = "P 1 21/c 1";
    let (_, warnings) = read("absent", symbol, "absent", &cell([5.0, 6.0, 7.0, 90.0, 101.0, 90.1])).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let (_, warnings) = read("absent", symbol, "absent", &cell([5.0, 6.0, 7.0, 90.0, 90.0, 91.0])).unwrap();
    assert!(warnings[0].contains("the symmetry changes it by 3.5 %"), "{warnings:?}");
    assert!(read("absent", symbol, "absent", &cell([5.0, 6.0, 7.0, 90.0, 90.0, 95.0])).is_err());
}
