//! Points on and near Wyckoff positions of all groups, and structures of distinct sites.

use druse_crystal::{
    DistinctSite, Element, Lattice, SettleTolerances, SiteError, SpaceGroup, Structure, SymmetricStructure,
    WyckoffPosition, symmetry,
};
use druse_testkit::prototypes::{self, crystal, cubic, face_centered};
use proptest::prelude::*;

/// A cell of the group with lengths from 6 to 9 Å.
fn cell(group: &SpaceGroup) -> Lattice {
    let parameters = [6.13, 7.37, 8.71, 83.0, 97.0, 101.0];
    let system = group.lattice_system();
    system.lattice(&system.free_of(parameters)).unwrap()
}

fn distance(lattice: &Lattice, a: [f64; 3], b: [f64; 3]) -> f64 {
    lattice.min_image(a, b).0.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Distance from a point to the nearest point of an orbit.
fn to_orbit(lattice: &Lattice, orbit: &[[f64; 3]], point: [f64; 3]) -> f64 {
    orbit.iter().map(|&f| distance(lattice, f, point)).fold(f64::INFINITY, f64::min)
}

fn name(group: &SpaceGroup, w: &WyckoffPosition) -> String {
    format!("{group} {}{}", w.multiplicity(), w.letter())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, ..ProptestConfig::default() })]

    /// Every position of every group in each case.
    #[test]
    fn points_near_a_position_are_moved_onto_it(
        u in prop::array::uniform3(0.0..1.0f64),
        noise in prop::array::uniform3(-1.0..1.0f64),
        pick in 0usize..192,
        shift in prop::array::uniform3(-2i32..3),
    ) {
        const TOLERANCE: f64 = 0.1;
        for group in SpaceGroup::all() {
            let lattice = cell(group);
            for w in group.wyckoff_positions() {
                let name = name(group, w);
                let exact = w.point(&u[..w.freedom()]);
                let op = &group.operations()[pick % group.operations().len()];
                let image = op.apply(exact);
                // Within half of the tolerance, and lattice translations away.
                let length = noise.iter().map(|x| x * x).sum::<f64>().sqrt().max(1.0);
                let moved = lattice.to_fractional(noise.map(|x| 0.5 * TOLERANCE * x / length));
                let near = std::array::from_fn(|i| image[i] + moved[i] + f64::from(shift[i]));
                let placed = group.nearest_position(&lattice, near, TOLERANCE);
                let found = placed.position;
                prop_assert!(found.multiplicity() <= w.multiplicity(), "{name}: found {}", found.letter());
                if found.letter() == w.letter() {
                    prop_assert!(placed.distance <= TOLERANCE, "{name}: {}", placed.distance);
                }
                // On the position, and the same orbit.
                let again = found.project(placed.site);
                prop_assert!((0..3).all(|i| (again[i] - placed.site[i]).abs() < 1e-12), "{name}");
                let orbit = group.orbit(found, placed.site);
                prop_assert!(to_orbit(&lattice, &orbit, placed.nearest) < 1e-9, "{name}");
                let travelled: [f64; 3] = std::array::from_fn(|i| placed.nearest[i] - near[i]);
                let travelled = lattice.to_cartesian(travelled).iter().map(|x| x * x).sum::<f64>().sqrt();
                prop_assert!((travelled - placed.distance).abs() < 1e-9, "{name}");
                for point in [placed.nearest, placed.site] {
                    let twice = group.nearest_position(&lattice, point, TOLERANCE);
                    prop_assert_eq!(twice.position.letter(), found.letter(), "{}", name);
                    prop_assert!(twice.distance < 1e-9, "{name}: {}", twice.distance);
                }
            }
        }
    }

    /// Every position of every group in each case: what a sampler leaves near a position becomes an exact site.
    #[test]
    fn sampled_sites_near_a_position_settle_on_it(
        u in prop::array::uniform3(0.0..1.0f64),
        noise in prop::array::uniform3(-0.1..0.1f64),
        pick in 0usize..192,
    ) {
        let element = Element::from_z(8).unwrap();
        for group in SpaceGroup::all() {
            let lattice = cell(group);
            for w in group.wyckoff_positions() {
                let name = name(group, w);
                let op = &group.operations()[pick % group.operations().len()];
                let exact = op.apply(w.point(&u[..w.freedom()]));
                let moved = lattice.to_fractional(noise);
                let near = std::array::from_fn(|i| exact[i] + moved[i]);
                let settled = SymmetricStructure::settle(group, &lattice, &[(element, near)], SettleTolerances::default());
                let settled = settled.map_err(|e| TestCaseError::fail(format!("{name}: {e}")))?;
                let position = settled.positions().next().unwrap();
                prop_assert!(position.multiplicity() <= w.multiplicity(), "{name}: {}", position.letter());
                // Images that are two atoms are apart.
                let atoms = settled.conventional();
                prop_assert!(atoms.min_distance().is_none_or(|d| d > 0.4), "{name}: {:?}", atoms.min_distance());
                // Exactly the orbit, whatever symmetry search says.
                let first = atoms.frac_coords[0];
                let images: Vec<[f64; 3]> = group.operations().iter().map(|op| op.apply(first)).collect();
                prop_assert!(images.iter().all(|&f| to_orbit(&lattice, &atoms.frac_coords, f) < 1e-9), "{name}");
            }
        }
    }

    /// The atoms of one general site, and of one on each position, have the group that made them or a supergroup.
    #[test]
    fn generated_atoms_have_the_group(u in prop::array::uniform3(0.05..0.95f64)) {
        for group in SpaceGroup::all() {
            let lattice = cell(group);
            for w in group.wyckoff_positions() {
                let name = name(group, w);
                let frac = w.point(&u[..w.freedom()]);
                let special = group.nearest_position(&lattice, frac, 0.3);
                if special.position.letter() != w.letter() {
                    continue;
                }
                let element = Element::from_z(8).unwrap();
                let site = DistinctSite { element, letter: w.letter(), frac };
                let one = SymmetricStructure::new(group, &lattice, vec![site]).unwrap();
                let (conventional, primitive) = (one.conventional(), one.primitive());
                prop_assert_eq!(conventional.len(), w.multiplicity(), "{}", name);
                prop_assert_eq!(primitive.len(), one.num_primitive_atoms(), "{}", name);
                prop_assert!(primitive.lattice.is_right_handed());
                let per_atom = |s: &Structure| s.lattice.volume() / s.len() as f64;
                prop_assert!((per_atom(&conventional) - per_atom(&primitive)).abs() < 1e-9);
                // Atoms too close to each other are no structure that can be searched.
                if conventional.min_distance().is_some_and(|d| d < 0.5) {
                    continue;
                }
                let found = match symmetry::analyze(&conventional, 1e-3) {
                    Ok(found) => found,
                    Err(e) => return Err(TestCaseError::fail(format!("{name}: {e}"))),
                };
                prop_assert!(group.is_contained_in(&found.operations), "{name}: {}", found.number);
                let back = SymmetricStructure::from_structure(&primitive, 1e-3);
                let back = back.map_err(|e| TestCaseError::fail(format!("{name}: {e}")))?;
                prop_assert_eq!(back.group().number(), found.number, "{}", name);
                prop_assert!(back.num_primitive_atoms() <= one.num_primitive_atoms(), "{name}");
            }
        }
    }
}

#[test]
fn general_sites_have_exactly_the_group() {
    for group in SpaceGroup::all() {
        let letter = group.general_position().letter();
        let site =
            |symbol, frac| DistinctSite { element: Element::from_symbol(symbol).unwrap(), letter, frac };
        let sites = vec![site("Na", [0.1234, 0.3719, 0.2203]), site("Cl", [0.0717, 0.1931, 0.3417])];
        // Large cells, so that no two of up to 96 atoms are close.
        let parameters = [12.13, 13.37, 14.71, 83.0, 97.0, 101.0];
        let system = group.lattice_system();
        let lattice = system.lattice(&system.free_of(parameters)).unwrap();
        let structure = SymmetricStructure::new(group, &lattice, sites).unwrap();
        let primitive = structure.primitive();
        let found = SymmetricStructure::from_structure(&primitive, 1e-3).unwrap();
        assert_eq!(found.group(), group);
        assert_eq!(found.num_primitive_atoms(), primitive.len(), "{group}");
        assert_eq!(found.composition(), structure.composition(), "{group}");
        let volume = |s: &SymmetricStructure| s.lattice().volume();
        assert!((volume(&found) - volume(&structure)).abs() < 1e-6, "{group}");
    }
}

/// Element and position of each site, sorted.
fn summary(s: &SymmetricStructure) -> String {
    let mut sites: Vec<String> = s
        .sites()
        .iter()
        .zip(s.positions())
        .map(|(x, w)| format!("{} {}{}", x.element, w.multiplicity(), w.letter()))
        .collect();
    sites.sort();
    format!("{} {}", s.group().number(), sites.join(", "))
}

#[test]
fn textbook_crystals_have_their_positions() {
    let wurtzite = crystal(
        [3.25, 3.25, 5.207, 90.0, 90.0, 120.0],
        &[
            ("Zn", [1.0 / 3.0, 2.0 / 3.0, 0.0]),
            ("Zn", [2.0 / 3.0, 1.0 / 3.0, 0.5]),
            ("O", [1.0 / 3.0, 2.0 / 3.0, 0.382]),
            ("O", [2.0 / 3.0, 1.0 / 3.0, 0.882]),
        ],
    );
    let spinel = built(227, &[8.09], &[("Mg", 'a', &[]), ("Al", 'd', &[]), ("O", 'e', &[0.2624])]);
    let corundum = built(167, &[4.759, 12.991], &[("Al", 'c', &[0.3522]), ("O", 'e', &[0.3062])]);
    let fluorite = cubic(5.463, &face_centered(&[("Ca", [0.0; 3]), ("F", [0.25; 3]), ("F", [0.75; 3])]));
    let rutile = built(136, &[4.594, 2.959], &[("Ti", 'a', &[]), ("O", 'f', &[0.305])]);
    let diamond = cubic(3.567, &face_centered(&[("C", [0.0; 3]), ("C", [0.25; 3])]));
    for (structure, expected) in [
        (prototypes::rock_salt("Na", "Cl", 5.64), ["225 Cl 4a, Na 4b", "225 Cl 4b, Na 4a"].as_slice()),
        (prototypes::cesium_chloride("Cs", "Cl", 4.12), &["221 Cl 1a, Cs 1b", "221 Cl 1b, Cs 1a"]),
        (
            prototypes::perovskite("Sr", "Ti", "O", 3.905),
            &[
                "221 O 3c, Sr 1a, Ti 1b",
                "221 O 3d, Sr 1b, Ti 1a",
                "221 O 3c, Sr 1b, Ti 1a",
                "221 O 3d, Sr 1a, Ti 1b",
            ],
        ),
        (rutile.primitive(), &["136 O 4f, Ti 2a", "136 O 4f, Ti 2b"]),
        (wurtzite, &["186 O 2b, Zn 2b"]),
        (diamond, &["227 C 8a", "227 C 8b"]),
        (corundum.primitive(), &["167 Al 12c, O 18e"]),
        (fluorite, &["225 Ca 4a, F 8c", "225 Ca 4b, F 8c"]),
        (spinel.primitive(), &["227 Al 16c, Mg 8b, O 32e", "227 Al 16d, Mg 8a, O 32e"]),
        (prototypes::quartz(), &["152 O 6c, Si 3a", "154 O 6c, Si 3a", "152 O 6c, Si 3b", "154 O 6c, Si 3b"]),
    ] {
        for symprec in [0.1, 0.01] {
            let found = SymmetricStructure::from_structure(&structure, symprec).unwrap();
            assert!(
                expected.contains(&summary(&found).as_str()),
                "{} is none of {expected:?}",
                summary(&found)
            );
            let composition = druse_crystal::Composition::from_species(&structure.species);
            assert_eq!(found.composition().reduced().0, composition.reduced().0);
        }
    }
}

fn built(number: u16, cell: &[f64], sites: &[(&str, char, &[f64])]) -> SymmetricStructure {
    let group = SpaceGroup::new(number).unwrap();
    let lattice = group.lattice_system().lattice(cell).unwrap();
    let sites = sites.iter().map(|&(symbol, letter, u)| DistinctSite {
        element: Element::from_symbol(symbol).unwrap(),
        letter,
        frac: group.wyckoff(letter).unwrap().point(u),
    });
    SymmetricStructure::new(group, &lattice, sites.collect()).unwrap()
}

#[test]
fn standard_cells_are_regenerated() {
    for (name, structure) in prototypes::prototypes() {
        let found = SymmetricStructure::from_structure(&structure, 0.01).unwrap();
        let standard = symmetry::conventional(&structure, 0.01).unwrap();
        let ours = found.conventional();
        assert_eq!(ours.len(), standard.len(), "{name}");
        let change = (ours.lattice.matrix() - standard.lattice.matrix()).amax();
        assert!(change < 1e-6, "{name}: cell changes by {change}");
        for (element, f) in standard.species.iter().zip(&standard.frac_coords) {
            let same: Vec<[f64; 3]> = (0..ours.len())
                .filter(|&i| ours.species[i] == *element)
                .map(|i| ours.frac_coords[i])
                .collect();
            let d = to_orbit(&ours.lattice, &same, *f);
            assert!(d < 1e-6, "{name}: {element} {d}");
        }
    }
}

#[test]
fn sites_that_do_not_fit_are_named() {
    let group = SpaceGroup::new(225).unwrap();
    let lattice = Lattice::cubic(5.64).unwrap();
    let element = Element::from_symbol("Na").unwrap();
    let site = |letter, frac| DistinctSite { element, letter, frac };
    let error = |lattice: &Lattice, sites: &[DistinctSite]| {
        SymmetricStructure::new(group, lattice, sites.to_vec()).unwrap_err()
    };
    assert_eq!(error(&lattice, &[]), SiteError::Empty);
    let e = error(&lattice, &[site('q', [0.0; 3])]).to_string();
    assert!(e.contains("no Wyckoff position `q`; it has 4a, 4b, 8c"), "{e}");
    let e = error(&lattice, &[site('a', [0.02, 0.0, 0.0])]).to_string();
    assert_eq!(e, "site 0 (Na) is 0.113 Å away from Wyckoff position a");
    let e = error(&lattice, &[site('e', [0.5, 0.0, 0.0])]).to_string();
    assert_eq!(e, "site 0 (Na) is on Wyckoff position b, not on e");
    // 4a, once at the origin and once in a face.
    let e = error(&lattice, &[site('a', [0.0; 3]), site('c', [0.25; 3]), site('a', [0.5, 0.5, 0.0])]);
    assert_eq!(e, SiteError::Taken { first: 0, second: 2, letter: 'a' });
    assert!(matches!(error(&lattice, &[site('a', [f64::NAN; 3])]), SiteError::NotFinite { site: 0, .. }));
    let tetragonal = Lattice::from_parameters([5.64, 5.64, 5.7, 90.0, 90.0, 90.0]).unwrap();
    let e = error(&tetragonal, &[site('a', [0.0; 3])]).to_string();
    assert_eq!(e, "cell 5.6400 5.6400 5.7000 Å, 90.000 90.000 90.000° is not cubic");
}

#[test]
fn sampled_sites_settle() {
    let (na, cl) = (Element::from_symbol("Na").unwrap(), Element::from_symbol("Cl").unwrap());
    let settle = |number: u16, cell: &[f64], sites: &[(Element, [f64; 3])]| {
        let group = SpaceGroup::new(number).unwrap();
        let lattice = group.lattice_system().lattice(cell).unwrap();
        SymmetricStructure::settle(group, &lattice, sites, SettleTolerances::default())
    };
    let salt = settle(225, &[5.64], &[(na, [0.011, 0.992, 0.006]), (cl, [0.49, 0.01, -0.008])]).unwrap();
    assert_eq!(salt.to_string(), "225 (Fm-3m): Na 4a, Cl 4b");
    assert_eq!(symmetry::analyze(&salt.primitive(), 1e-3).unwrap().number, 225);
    // Near (1/3, 2/3, z), which only operations with translations of thirds and the like unite.
    let quartz_like = settle(154, &[4.91, 5.40], &[(na, [0.47, 0.004, 0.66]), (cl, [0.41, 0.27, 0.12])]);
    assert_eq!(quartz_like.unwrap().to_string(), "154 (P3_221): Na 3a, Cl 6c");
    // Diamond's 8a lies on operations with translations of a quarter.
    let diamond = settle(227, &[3.567], &[(na, [0.13, 0.118, 0.127])]).unwrap();
    assert_eq!(diamond.to_string(), "227 (Fd-3m): Na 8a");
    assert_eq!(diamond.sites()[0].frac.map(|x| x * 8.0), [1.0; 3]);
    // Two atoms on one spot, and two on one position.
    let e = settle(1, &[5.0, 6.0, 7.0, 90.0, 95.0, 100.0], &[(na, [0.1; 3]), (cl, [0.11; 3])]).unwrap_err();
    assert!(matches!(e, SiteError::Overlap { first: 0, second: 1, .. }), "{e}");
    let e = settle(225, &[5.64], &[(na, [0.0; 3]), (cl, [0.5, 0.5, 0.01])]).unwrap_err();
    assert!(matches!(e, SiteError::Taken { first: 0, second: 1, letter: 'a' }), "{e}");
}
