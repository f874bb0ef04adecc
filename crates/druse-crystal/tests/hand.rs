//! The hand of a chiral crystal survives every writer, whichever hand its cell has.

use druse_crystal::formats::{self, Format, cif};
use druse_crystal::{Lattice, Structure, symmetry};
use druse_testkit::prototypes::quartz;
use proptest::prelude::*;

fn space_group(s: &Structure) -> u16 {
    symmetry::analyze(s, 0.01).unwrap().number
}

/// The mirror image at the plane z = 0, in a cell of the other hand.
fn mirror_image(s: &Structure) -> Structure {
    let rows = s.lattice.rows().map(|[x, y, z]| [x, y, -z]);
    Structure { lattice: Lattice::from_rows(rows).unwrap(), ..s.clone() }
}

/// The same crystal with other cell vectors: `order[i]` of the given ones, with its sign.
fn in_basis(s: &Structure, order: [usize; 3], signs: [f64; 3]) -> Structure {
    let rows = s.lattice.rows();
    let lattice = Lattice::from_rows(std::array::from_fn(|i| rows[order[i]].map(|x| signs[i] * x))).unwrap();
    let frac = s.frac_coords.iter().map(|f| std::array::from_fn(|i| signs[i] * f[order[i]])).collect();
    Structure::new(lattice, s.species.clone(), frac).unwrap()
}

#[test]
fn quartz_keeps_its_hand_in_every_format_and_cell() {
    let right = quartz();
    let left = mirror_image(&right);
    assert_eq!([space_group(&right), space_group(&left)], [154, 152]);
    let orders = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [1, 0, 2], [0, 2, 1], [2, 1, 0]];
    for (crystal, number) in [(&right, 154), (&left, 152)] {
        for order in orders {
            for sign in 0..8u8 {
                let signs = [0, 1, 2].map(|k| if sign >> k & 1 == 1 { -1.0 } else { 1.0 });
                let s = in_basis(crystal, order, signs);
                for format in Format::all() {
                    let text = formats::write(&s, format, "quartz");
                    let back = formats::read_str(&text, format).unwrap().remove(0).structure;
                    assert_eq!(space_group(&back), number, "{format}: {order:?} {signs:?}");
                }
                let text = cif::write_symmetrized(&s, "quartz", 0.01).unwrap();
                let back = formats::read_str(&text, Format::Cif).unwrap().remove(0).structure;
                assert_eq!(space_group(&back), number, "symmetrized: {order:?} {signs:?}");
                assert_eq!(space_group(&s.canonical().unwrap()), number, "canonical: {order:?} {signs:?}");
            }
        }
    }
}

proptest! {
    /// The right-handed cell holds the same atoms at the same places.
    #[test]
    fn a_right_handed_cell_moves_no_atom(
        rows in prop::array::uniform3(prop::array::uniform3(-8.0..8.0f64)),
        sites in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..6),
    ) {
        let Ok(lattice) = Lattice::from_rows(rows) else { return Ok(()) };
        let silicon = quartz().species[0];
        let s = Structure::new(lattice, vec![silicon; sites.len()], sites).unwrap();
        let turned = s.right_handed();
        prop_assert!(turned.lattice.is_right_handed());
        prop_assert_eq!(turned.lattice.parameters(), s.lattice.parameters());
        for (f, g) in s.frac_coords.iter().zip(&turned.frac_coords) {
            // A lattice vector apart, which the right-handed cell has as integers.
            let (p, q) = (s.lattice.to_cartesian(*f), turned.lattice.to_cartesian(*g));
            let apart = turned.lattice.to_fractional(std::array::from_fn(|k| p[k] - q[k]));
            prop_assert!(apart.iter().all(|x| (x - x.round()).abs() < 1e-6), "{:?}", apart);
        }
    }
}
