//! All 230 space groups: operations and Wyckoff positions agree with each other.

use std::collections::BTreeSet;

use druse_crystal::{SpaceGroup, SpaceGroupError, SymmetryOperation, WyckoffPosition};

/// Coordinates and translations in 10 000ths of 1/24, modulo a lattice translation.
fn key(f: [f64; 3]) -> [i64; 3] {
    f.map(|x| ((x * 240_000.0).round() as i64).rem_euclid(240_000))
}

fn operation_key(op: &SymmetryOperation) -> ([[i32; 3]; 3], [i64; 3]) {
    (op.rotation, key(op.translation))
}

fn product(a: &SymmetryOperation, b: &SymmetryOperation) -> SymmetryOperation {
    SymmetryOperation {
        rotation: std::array::from_fn(|i| {
            std::array::from_fn(|j| (0..3).map(|k| a.rotation[i][k] * b.rotation[k][j]).sum())
        }),
        translation: a.apply(b.translation),
    }
}

/// Free parameters without relation to each other.
fn generic(position: &WyckoffPosition) -> [f64; 3] {
    position.point(&[0.1234, 0.3719, 0.2203][..position.freedom()])
}

#[test]
fn operations_form_groups_in_both_cells() {
    for group in SpaceGroup::all() {
        let n = group.number();
        assert_eq!(group.operations().len(), group.order() * group.centring().order(), "{n}");
        for operations in [group.operations(), group.primitive_operations()] {
            assert_eq!(operations[0].to_string(), "x,y,z", "{n}");
            let known: BTreeSet<_> = operations.iter().map(operation_key).collect();
            assert_eq!(known.len(), operations.len(), "{n}");
            for a in operations {
                for b in operations {
                    assert!(known.contains(&operation_key(&product(a, b))), "{n}: ({a})({b})");
                }
            }
        }
        let rotations: BTreeSet<_> = group.primitive_operations().iter().map(|op| op.rotation).collect();
        assert_eq!(rotations.len(), group.order(), "{n}: one operation of each rotation");
        for (k, op) in group.primitive_operations().iter().enumerate() {
            let back = product(op, &group.primitive_operations()[group.inverse(k)]);
            assert_eq!(operation_key(&back), operation_key(&group.primitive_operations()[0]), "{n}: {op}");
        }
    }
}

#[test]
fn both_cells_have_the_same_operations() {
    for group in SpaceGroup::all() {
        let f = [0.1234, 0.3719, 0.2203];
        let centring = group.centring();
        for (op, primitive) in group.operations().iter().zip(group.primitive_operations()) {
            let there = centring.to_primitive(op.apply(f));
            assert_eq!(key(there), key(primitive.apply(centring.to_primitive(f))), "{group}: {op}");
        }
    }
}

#[test]
fn the_lattice_system_is_invariant() {
    for group in SpaceGroup::all() {
        let free: Vec<f64> = group
            .lattice_system()
            .free_parameters()
            .iter()
            .map(|&i| [5.0, 6.0, 7.0, 80.0, 95.0, 103.0][i])
            .collect();
        let lattice = group.lattice_system().lattice(&free).unwrap();
        let primitive = group.centring().primitive_lattice(&lattice).unwrap();
        assert!(primitive.is_right_handed());
        for (lattice, operations) in
            [(lattice, group.operations()), (primitive, group.primitive_operations())]
        {
            let metric = lattice.matrix() * lattice.matrix().transpose();
            for op in operations {
                let r = nalgebra::Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j]));
                assert!((r.transpose() * metric * r - metric).amax() < 1e-9, "{group}: {op}");
            }
        }
    }
}

#[test]
fn multiplicities_are_the_sizes_of_orbits() {
    for group in SpaceGroup::all() {
        let general = group.general_position();
        assert_eq!(general.multiplicity(), group.operations().len(), "{group}");
        assert_eq!((general.freedom(), general.site_symmetry()), (3, "1"), "{group}");
        let mut letters = BTreeSet::new();
        for (i, w) in group.wyckoff_positions().iter().enumerate() {
            let expected = char::from(b"abcdefghijklmnopqrstuvwxyzA"[i]);
            assert_eq!(w.letter(), expected, "{group}");
            assert!(letters.insert(w.letter()));
            assert_eq!(w.is_fixed(), w.freedom() == 0);
            let name = format!("{group} {}{}", w.multiplicity(), w.letter());
            let f = generic(w);
            // By the operations alone, and by the position's list.
            let all: BTreeSet<_> = group.operations().iter().map(|op| key(op.apply(f))).collect();
            let orbit: BTreeSet<_> = group.orbit(w, f).into_iter().map(key).collect();
            assert_eq!(all.len(), w.multiplicity(), "{name}");
            assert_eq!(all, orbit, "{name}");
            assert_eq!(group.orbit(w, f).len(), w.multiplicity(), "{name}");
            let primitive: BTreeSet<_> = group.primitive_orbit(w, f).into_iter().map(key).collect();
            assert_eq!(primitive.len() * group.centring().order(), w.multiplicity(), "{name}");
            assert_eq!(primitive.len(), w.primitive_multiplicity(), "{name}");
            assert_eq!(w.stabilizer().len() * w.primitive_multiplicity(), group.order(), "{name}");
        }
    }
}

#[test]
fn projections_fix_what_the_site_symmetry_fixes() {
    for group in SpaceGroup::all() {
        for w in group.wyckoff_positions() {
            let name = format!("{group} {}{}", w.multiplicity(), w.letter());
            let p = w.projector();
            assert!((p * p - p).amax() < 1e-12, "{name}");
            assert!((p.trace() - w.freedom() as f64).abs() < 1e-12, "{name}");
            for d in w.directions() {
                let d = nalgebra::Vector3::from(d.map(f64::from));
                assert!((p * d - d).amax() < 1e-12, "{name}");
            }
            let u = &[0.1234, 0.3719, 0.2203][..w.freedom()];
            let f = w.point(u);
            assert!(w.parameters(f).iter().zip(u).all(|(a, b)| (a - b).abs() < 1e-12), "{name}");
            for &k in w.stabilizer() {
                let moved = group.operations()[k].apply(f);
                let shift: [f64; 3] = std::array::from_fn(|i| moved[i] - f[i]);
                // A translation of the primitive lattice.
                let whole = group.centring().to_primitive(shift);
                assert!(whole.iter().all(|x| (x - x.round()).abs() < 1e-12), "{name}");
            }
        }
    }
}

#[test]
fn what_does_not_exist_is_named() {
    for n in [0, 231, u16::MAX] {
        assert_eq!(SpaceGroup::new(n).unwrap_err(), SpaceGroupError::Number(n));
    }
    let rutile = SpaceGroup::new(136).unwrap();
    assert_eq!(rutile.symbol(), "P4_2/mnm");
    assert_eq!(rutile.wyckoff('f').unwrap().coordinates(), "x,x,0");
    let e = rutile.wyckoff('z').unwrap_err().to_string();
    assert!(e.contains("136 (P4_2/mnm) has no Wyckoff position `z`; it has 2a, 2b, 4c, 4d"), "{e}");
    assert_eq!(SpaceGroup::new(47).unwrap().wyckoff('A').unwrap().multiplicity(), 8);
}

#[test]
fn standard_settings_are_those_of_the_symmetry_search() {
    let salt = druse_testkit::prototype("NaCl");
    let found = druse_crystal::symmetry::analyze(&salt, 0.01).unwrap();
    let group = SpaceGroup::new(found.number).unwrap();
    assert_eq!(group.hall_number(), found.hall_number);
    assert_eq!(group.symbol(), found.international);
    assert_eq!(group.operations().len(), found.conventional.operations.len());
    for (ours, theirs) in group.operations().iter().zip(&found.conventional.operations) {
        assert_eq!(operation_key(ours), operation_key(theirs));
    }
}

#[test]
fn normalizers_map_each_group_onto_itself() {
    for group in SpaceGroup::all() {
        let normalizer = group.normalizer();
        let own: BTreeSet<_> = group.operations().iter().map(operation_key).collect();
        assert_eq!(normalizer.operations()[0].to_string(), "x,y,z", "{group}");
        for n in normalizer.operations() {
            // Centring translations need no test of their own: n maps the primitive lattice onto itself.
            for op in &group.operations()[..group.order()] {
                // n op n⁻¹, by its action on four points.
                let conjugate = |f: [f64; 3]| n.apply(op.apply(n.apply_inverse(f)));
                let origin = conjugate([0.0; 3]);
                let column = |j: usize| {
                    let end = conjugate(std::array::from_fn(|i| f64::from(u8::from(i == j))));
                    std::array::from_fn::<i32, 3, _>(|i| (end[i] - origin[i]).round() as i32)
                };
                let columns = [column(0), column(1), column(2)];
                let rotation = std::array::from_fn(|i| std::array::from_fn(|j| columns[j][i]));
                assert!(own.contains(&(rotation, key(origin))), "{group}: ({n}) ({op})");
            }
        }
        // A group, so letters are permuted, and positions keep their multiplicity.
        for letters in normalizer.letters() {
            let distinct: BTreeSet<char> = letters.iter().copied().collect();
            assert_eq!(distinct.len(), group.wyckoff_positions().len(), "{group}: {letters:?}");
            for (w, &letter) in group.wyckoff_positions().iter().zip(letters) {
                let image = group.wyckoff(letter).unwrap();
                assert_eq!(
                    (image.multiplicity(), image.freedom()),
                    (w.multiplicity(), w.freedom()),
                    "{group}"
                );
            }
        }
        let polar = normalizer.polar_directions();
        let fixed = |d: &[f64; 3], op: &SymmetryOperation| {
            (0..3).all(|i| {
                ((0..3).map(|j| f64::from(op.rotation[i][j]) * d[j]).sum::<f64>() - d[i]).abs() < 1e-9
            })
        };
        assert!(polar.iter().all(|d| group.operations().iter().all(|op| fixed(d, op))), "{group}");
        let order = group.order() as i32;
        let trace: i32 = group
            .primitive_operations()
            .iter()
            .map(|op| (0..3).map(|i| op.rotation[i][i]).sum::<i32>())
            .sum();
        assert_eq!(polar.len() as i32 * order, trace, "{group}");
    }
}
