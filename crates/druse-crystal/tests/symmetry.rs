//! Space groups of textbook prototypes, their invariance under the choice of cell, and odd input.

mod common;

use common::assert_same_crystal;
use druse_crystal::{
    Element, Lattice, Structure,
    symmetry::{SymmetryError, analyze, conventional, primitive},
};
use druse_testkit::prototypes::{crystal, face_centered};
use nalgebra::Matrix3;
use proptest::prelude::*;

const RIGHT: [f64; 3] = [90.0, 90.0, 90.0];

fn cubic(a: f64) -> [f64; 6] {
    [a, a, a, RIGHT[0], RIGHT[1], RIGHT[2]]
}

/// A prototype: the structure, its space group, atoms in the primitive cell, and `(Wyckoff letter, multiplicity)` of
/// each orbit in order of the sites.
struct Prototype {
    name: &'static str,
    structure: Structure,
    number: u16,
    symbol: &'static str,
    primitive: usize,
    wyckoffs: &'static [(char, usize)],
}

fn prototypes() -> Vec<Prototype> {
    let third = 1.0 / 3.0;
    let u = 0.3053;
    vec![
        Prototype {
            name: "rock salt",
            structure: crystal(cubic(5.64), &face_centered(&[("Na", [0.0; 3]), ("Cl", [0.5, 0.0, 0.0])])),
            number: 225,
            symbol: "Fm-3m",
            primitive: 2,
            wyckoffs: &[('a', 4), ('b', 4)],
        },
        Prototype {
            name: "diamond",
            structure: crystal(cubic(3.567), &face_centered(&[("C", [0.0; 3]), ("C", [0.25; 3])])),
            number: 227,
            symbol: "Fd-3m",
            primitive: 2,
            wyckoffs: &[('a', 8)],
        },
        Prototype {
            name: "fluorite",
            structure: crystal(
                cubic(5.46),
                &face_centered(&[("Ca", [0.0; 3]), ("F", [0.25; 3]), ("F", [0.75, 0.75, 0.75])]),
            ),
            number: 225,
            symbol: "Fm-3m",
            primitive: 3,
            wyckoffs: &[('a', 4), ('c', 8)],
        },
        Prototype {
            name: "perovskite",
            structure: crystal(
                cubic(3.905),
                &[
                    ("Sr", [0.5; 3]),
                    ("Ti", [0.0; 3]),
                    ("O", [0.5, 0.0, 0.0]),
                    ("O", [0.0, 0.5, 0.0]),
                    ("O", [0.0, 0.0, 0.5]),
                ],
            ),
            number: 221,
            symbol: "Pm-3m",
            primitive: 5,
            wyckoffs: &[('b', 1), ('a', 1), ('d', 3)],
        },
        Prototype {
            name: "rutile",
            structure: crystal(
                [4.594, 4.594, 2.959, 90.0, 90.0, 90.0],
                &[
                    ("Ti", [0.0; 3]),
                    ("Ti", [0.5; 3]),
                    ("O", [u, u, 0.0]),
                    ("O", [-u, -u, 0.0]),
                    ("O", [0.5 - u, 0.5 + u, 0.5]),
                    ("O", [0.5 + u, 0.5 - u, 0.5]),
                ],
            ),
            number: 136,
            symbol: "P4_2/mnm",
            primitive: 6,
            wyckoffs: &[('a', 2), ('f', 4)],
        },
        Prototype {
            name: "wurtzite",
            structure: crystal(
                [3.25, 3.25, 5.207, 90.0, 90.0, 120.0],
                &[
                    ("Zn", [third, 2.0 * third, 0.0]),
                    ("Zn", [2.0 * third, third, 0.5]),
                    ("O", [third, 2.0 * third, 0.382]),
                    ("O", [2.0 * third, third, 0.882]),
                ],
            ),
            number: 186,
            symbol: "P6_3mc",
            primitive: 4,
            wyckoffs: &[('b', 2), ('b', 2)],
        },
        Prototype {
            name: "hexagonal close packing",
            structure: crystal(
                [3.209, 3.209, 5.211, 90.0, 90.0, 120.0],
                &[("Mg", [third, 2.0 * third, 0.25]), ("Mg", [2.0 * third, third, 0.75])],
            ),
            number: 194,
            symbol: "P6_3/mmc",
            primitive: 2,
            wyckoffs: &[('c', 2)],
        },
        Prototype {
            name: "no symmetry",
            structure: crystal(
                [4.1, 5.3, 6.7, 81.0, 77.0, 95.0],
                &[("Li", [0.1, 0.2, 0.3]), ("B", [0.55, 0.41, 0.77]), ("N", [0.83, 0.9, 0.12])],
            ),
            number: 1,
            symbol: "P1",
            primitive: 3,
            wyckoffs: &[('a', 1), ('a', 1), ('a', 1)],
        },
    ]
}

#[test]
fn prototypes_have_their_space_groups() {
    for p in prototypes() {
        let d = analyze(&p.structure, 0.01).unwrap();
        assert_eq!((d.number, d.international.as_str()), (p.number, p.symbol), "{}", p.name);
        assert_eq!(d.primitive.structure.len(), p.primitive, "{}", p.name);
        assert_eq!(d.conventional.structure.len(), p.structure.len(), "{}", p.name);
        let unit = d.conventional.asymmetric_unit();
        let letters: Vec<(char, usize)> =
            unit.iter().map(|&(i, m)| (d.conventional.wyckoffs[i], m)).collect();
        assert_eq!(letters, p.wyckoffs, "{}", p.name);
        // The operations rebuild the cell from its asymmetric unit.
        for (site, multiplicity) in unit {
            let c = &d.conventional.structure;
            let mut images: Vec<[f64; 3]> = Vec::new();
            for op in &d.conventional.operations {
                let x = op.apply(c.frac_coords[site]);
                let apart = |y: &[f64; 3]| c.lattice.min_image(x, *y).0.iter().any(|d| d.abs() > 1e-3);
                if images.iter().all(apart) {
                    images.push(x);
                }
            }
            assert_eq!(images.len(), multiplicity, "{}", p.name);
        }
    }
}

#[test]
fn standard_cells_are_the_same_crystal() {
    for p in prototypes() {
        let (small, large) =
            (primitive(&p.structure, 0.01).unwrap(), conventional(&p.structure, 0.01).unwrap());
        let density = p.structure.density();
        for cell in [&small, &large] {
            assert!((cell.density() / density - 1.0).abs() < 1e-6, "{}", p.name);
            assert_eq!(analyze(cell, 0.01).unwrap().number, p.number, "{}", p.name);
        }
        assert_same_crystal(p.name, &conventional(&small, 0.01).unwrap(), &large, 1e-6);
    }
}

#[test]
fn supercells_fold_back() {
    for p in prototypes() {
        let s = &p.structure;
        let rows = s.lattice.rows();
        let lattice =
            Lattice::from_rows([rows[0].map(|x| 2.0 * x), rows[1], rows[2].map(|x| 3.0 * x)]).unwrap();
        let mut species = Vec::new();
        let mut frac = Vec::new();
        for (&e, f) in s.species.iter().zip(&s.frac_coords) {
            for t in 0..6 {
                species.push(e);
                frac.push([(f[0] + f64::from(t % 2)) / 2.0, f[1], (f[2] + f64::from(t / 2)) / 3.0]);
            }
        }
        let d = analyze(&Structure::new(lattice, species, frac).unwrap(), 0.01).unwrap();
        assert_eq!((d.number, d.primitive.structure.len()), (p.number, p.primitive), "{}", p.name);
        assert_eq!(d.conventional.structure.len(), s.len(), "{}", p.name);
    }
}

#[test]
fn operations_are_written_as_in_cif() {
    let p = prototypes().remove(5);
    let d = analyze(&p.structure, 0.01).unwrap();
    let written: Vec<String> = d.conventional.operations.iter().map(ToString::to_string).collect();
    assert_eq!(written.len(), 12);
    for op in ["x,y,z", "x-y,x,z+1/2", "-y,x-y,z", "-x,-y,z+1/2"] {
        assert!(written.iter().any(|w| w == op), "{op} is not among {written:?}");
    }
}

#[test]
fn input_that_has_no_symmetry_to_find_is_refused() {
    let s = crystal(cubic(4.0), &[("Na", [0.0; 3]), ("Cl", [0.001, 0.0, 0.0])]);
    assert!(matches!(
        analyze(&s, 0.01),
        Err(SymmetryError::Coincident { first: 0, second: 1, distance, .. }) if (distance - 0.004).abs() < 1e-9
    ));
    for symprec in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(analyze(&s, symprec), Err(SymmetryError::Tolerance(_))));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn space_group_does_not_depend_on_cell_origin_or_order(
        which in 0usize..8,
        shift in prop::array::uniform3(0.0..1.0f64),
        s in prop::array::uniform6(-2i32..3),
        rotate in 0usize..7,
    ) {
        let p = &prototypes()[which];
        let [a, b, c, d, e, f] = s;
        let upper = Matrix3::new(1, a, b, 0, 1, c, 0, 0, 1).map(f64::from);
        let lower = Matrix3::new(1, 0, 0, d, 1, 0, e, f, 1).map(f64::from);
        let lattice = Lattice::from_matrix(upper * lower * p.structure.lattice.matrix()).unwrap();
        let mut sites: Vec<_> = p.structure.species.iter().zip(&p.structure.frac_coords).map(|(&e, f)| {
            let moved = std::array::from_fn(|c| f[c] + shift[c]);
            (e, lattice.to_fractional(p.structure.lattice.to_cartesian(moved)))
        }).collect();
        let n = sites.len();
        sites.rotate_left(rotate % n);
        let (species, frac) = sites.into_iter().unzip();
        let d = analyze(&Structure::new(lattice, species, frac).unwrap(), 0.01).unwrap();
        prop_assert_eq!(d.number, p.number);
        prop_assert_eq!(d.primitive.structure.len(), p.primitive);
    }

    #[test]
    fn odd_structures_are_answered(
        lengths in prop::array::uniform3(0.3..40.0f64),
        tilt in prop::array::uniform3(-3.0..3.0f64),
        frac in prop::collection::vec(prop::array::uniform3(0u8..9), 1..12),
        symprec in prop::sample::select(vec![1e-4, 0.01, 0.1, 1.0, 10.0]),
    ) {
        let [a, b, c] = lengths;
        let m = Matrix3::new(a, 0.0, 0.0, tilt[0] * a, b, 0.0, tilt[1] * a, tilt[2] * b, c);
        let coords: Vec<[f64; 3]> = frac.iter().map(|f| f.map(|x| f64::from(x) / 9.0)).collect();
        let species = (0..coords.len()).map(|i| Element::from_z(i as i64 % 2 + 1).unwrap()).collect();
        let s = Structure::new(Lattice::from_matrix(m).unwrap(), species, coords).unwrap();
        if let Ok(d) = analyze(&s, symprec) {
            prop_assert!((1..=230).contains(&d.number));
            prop_assert_eq!(d.wyckoffs.len(), s.len());
        }
    }
}
