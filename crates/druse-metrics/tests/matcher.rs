//! Structure matching on crystals known from textbooks, and what it must not depend on.

use druse_crystal::{Element, Lattice, Structure};
use druse_metrics::matcher::{Criterion, Outcome, StructureMatcher};
use druse_testkit::prototypes::{self, Site, crystal, cubic, face_centered, quartz};
use nalgebra::{Matrix3, Rotation3, Vector3};
use proptest::prelude::*;

const DEFAULT: StructureMatcher =
    StructureMatcher { ltol: 0.2, stol: 0.3, angle_tol: 5.0, primitive: true, scale: true };

/// A conventional face-centered cell with the given basis.
fn conventional(a: f64, basis: &[Site<'_>]) -> Structure {
    cubic(a, &face_centered(basis))
}

fn rock_salt() -> Structure {
    conventional(5.64, &[("Na", [0.0; 3]), ("Cl", [0.5; 3])])
}

fn perovskite(corner: &str, center: &str) -> Structure {
    prototypes::perovskite(corner, center, "O", 3.905)
}

fn rutile() -> Structure {
    let u = 0.305;
    let sites = [
        ("Ti", [0.0, 0.0, 0.0]),
        ("Ti", [0.5, 0.5, 0.5]),
        ("O", [u, u, 0.0]),
        ("O", [-u, -u, 0.0]),
        ("O", [0.5 + u, 0.5 - u, 0.5]),
        ("O", [0.5 - u, 0.5 + u, 0.5]),
    ];
    crystal([4.594, 4.594, 2.959, 90.0, 90.0, 90.0], &sites)
}

/// Anatase in its conventional body-centered cell (I4₁/amd, origin at a titanium atom).
fn anatase() -> Structure {
    let z = 0.208;
    let half = [
        ("Ti", [0.0, 0.0, 0.0]),
        ("Ti", [0.0, 0.5, 0.25]),
        ("O", [0.0, 0.0, z]),
        ("O", [0.0, 0.0, -z]),
        ("O", [0.0, 0.5, 0.25 + z]),
        ("O", [0.0, 0.5, 0.25 - z]),
    ];
    let sites: Vec<_> = half.iter().flat_map(|&(e, f)| [(e, f), (e, f.map(|x| x + 0.5))]).collect();
    crystal([3.785, 3.785, 9.514, 90.0, 90.0, 90.0], &sites)
}

fn with_lattice(s: &Structure, lattice: Matrix3<f64>) -> Structure {
    Structure::new(Lattice::from_matrix(lattice).unwrap(), s.species.clone(), s.frac_coords.clone()).unwrap()
}

/// The same crystal described by `n · vectors` (determinant ±1 or larger: then with repeated sites).
fn in_cell(s: &Structure, n: [[i32; 3]; 3]) -> Structure {
    let m = Matrix3::from_fn(|i, j| f64::from(n[i][j]));
    let size = m.determinant().abs().round() as usize;
    let inverse = m.try_inverse().unwrap();
    let reach: i32 = n.iter().flatten().map(|x| x.abs()).sum::<i32>() + 1;
    let (mut species, mut coords) = (Vec::new(), Vec::new());
    for (&e, &f) in s.species.iter().zip(&s.frac_coords) {
        let mut seen: Vec<[f64; 3]> = Vec::new();
        for t in (0..(2 * reach + 1).pow(3)).map(|k| {
            let w = 2 * reach + 1;
            [k % w - reach, k / w % w - reach, k / w / w - reach].map(f64::from)
        }) {
            let row = nalgebra::RowVector3::new(f[0] + t[0], f[1] + t[1], f[2] + t[2]) * inverse;
            let p = [row[0], row[1], row[2]].map(|x| x - x.floor());
            let same = |q: &[f64; 3]| (0..3).all(|k| ((p[k] - q[k]) - (p[k] - q[k]).round()).abs() < 1e-6);
            if !seen.iter().any(same) {
                seen.push(p);
            }
            if seen.len() == size {
                break;
            }
        }
        assert_eq!(seen.len(), size);
        species.extend(std::iter::repeat_n(e, size));
        coords.extend(seen);
    }
    Structure::new(Lattice::from_matrix(m * s.lattice.matrix()).unwrap(), species, coords).unwrap()
}

fn fit(matcher: &StructureMatcher, a: &Structure, b: &Structure) -> bool {
    matcher.fit(&matcher.prepare(a), &matcher.prepare(b))
}

fn rms(matcher: &StructureMatcher, a: &Structure, b: &Structure) -> Option<f64> {
    matcher.rms(&matcher.prepare(a), &matcher.prepare(b)).map(|d| d.rms)
}

#[test]
fn structure_types_are_told_apart() {
    let caesium_chloride = crystal([3.5, 3.5, 3.5, 90.0, 90.0, 90.0], &[("Na", [0.0; 3]), ("Cl", [0.5; 3])]);
    let zincblende = conventional(5.9, &[("Na", [0.0; 3]), ("Cl", [0.25; 3])]);
    let types = [rock_salt(), caesium_chloride, zincblende];
    for (i, a) in types.iter().enumerate() {
        for (j, b) in types.iter().enumerate() {
            assert_eq!(fit(&DEFAULT, a, b), i == j, "{i} against {j}");
        }
    }
    // Two forms of TiO2 with six sites each.
    let m = DEFAULT;
    assert_eq!([rutile(), anatase()].map(|s| m.prepare(&s).structure().map_or(0, Structure::len)), [6, 6]);
    assert!(!fit(&m, &rutile(), &anatase()) && rms(&m, &rutile(), &anatase()).is_none());
    assert!(fit(&m, &anatase(), &anatase()));

    let diamond = conventional(3.567, &[("C", [0.0; 3]), ("C", [0.25; 3])]);
    let (t, u) = (1.0 / 3.0, 0.0625);
    let lonsdaleite = crystal(
        [2.52, 2.52, 4.12, 90.0, 90.0, 120.0],
        &[
            ("C", [t, 2.0 * t, u]),
            ("C", [2.0 * t, t, 0.5 + u]),
            ("C", [2.0 * t, t, -u]),
            ("C", [t, 2.0 * t, 0.5 - u]),
        ],
    );
    assert_eq!([&diamond, &lonsdaleite].map(|s| m.prepare(s).structure().map_or(0, Structure::len)), [2, 4]);
    for matcher in [DEFAULT, StructureMatcher::CDVAE] {
        assert!(!fit(&matcher, &diamond, &lonsdaleite));
    }
}

#[test]
fn elements_are_not_exchanged() {
    let (titanate, exchanged) = (perovskite("Sr", "Ti"), perovskite("Ti", "Sr"));
    assert!(!fit(&StructureMatcher::CDVAE, &titanate, &exchanged));
    assert!(!fit(&DEFAULT, &titanate, &perovskite("Ba", "Ti")));
    // Both sites of rock salt are alike: exchanging them only shifts the origin.
    let shifted = conventional(5.64, &[("Cl", [0.0; 3]), ("Na", [0.5; 3])]);
    assert!(fit(&DEFAULT, &rock_salt(), &shifted));
    // Equal elements in other proportions.
    let fluorite = conventional(5.46, &[("Ca", [0.0; 3]), ("F", [0.25; 3]), ("F", [0.75; 3])]);
    let inverse = conventional(5.46, &[("F", [0.0; 3]), ("Ca", [0.25; 3]), ("Ca", [0.75; 3])]);
    assert!(!fit(&StructureMatcher::CDVAE, &fluorite, &inverse));
}

#[test]
fn one_displaced_atom_gives_the_distances_of_theory() {
    let ideal = perovskite("Sr", "Ti");
    let mut moved = ideal.clone();
    let d = 0.12;
    moved.frac_coords[2][2] += d / 3.905;
    // One of five atoms moves by d: with the mean taken off it is 4/5 d from its place and the others 1/5 d.
    let free_length = 3.905 / 5f64.cbrt();
    let m = StructureMatcher::CDVAE;
    let got = m.rms(&m.prepare(&ideal), &m.prepare(&moved)).unwrap();
    assert!((got.rms - 0.4 * d / free_length).abs() < 1e-9, "{got:?}");
    assert!((got.max - 0.8 * d / free_length).abs() < 1e-9, "{got:?}");
}

#[test]
fn mirror_images_match() {
    let mirrored = with_lattice(
        &quartz(),
        quartz().lattice.matrix() * Matrix3::from_diagonal(&Vector3::new(1.0, 1.0, -1.0)),
    );
    assert!(rms(&DEFAULT, &quartz(), &mirrored).unwrap() < 1e-5);
    assert!(fit(&DEFAULT, &mirrored, &quartz()));
}

#[test]
fn scaling_and_primitive_cells_are_settings() {
    let large = with_lattice(&quartz(), quartz().lattice.matrix() * 1.35);
    assert!(fit(&DEFAULT, &quartz(), &large));
    assert!(!fit(&StructureMatcher { scale: false, ..DEFAULT }, &quartz(), &large));
    assert!(fit(&StructureMatcher { scale: false, ..DEFAULT }, &quartz(), &quartz()));

    let doubled = in_cell(&quartz(), [[2, 0, 0], [0, 1, 0], [0, 0, 1]]);
    assert!(fit(&DEFAULT, &quartz(), &doubled));
    let whole = StructureMatcher { primitive: false, ..DEFAULT };
    assert!(!fit(&whole, &quartz(), &doubled));
    assert!(fit(&whole, &doubled, &doubled));
}

#[test]
fn greedy_groups_are_numbered_by_appearance() {
    let m = DEFAULT;
    let all =
        [rock_salt(), quartz(), in_cell(&rock_salt(), [[1, 1, 0], [0, 1, 0], [0, 0, 1]]), rutile(), quartz()];
    let prepared: Vec<_> = all.iter().map(|s| m.prepare(s)).collect();
    assert_eq!(m.group(&prepared), [0, 1, 0, 2, 1]);
    assert_eq!(m.group(&[]), Vec::<usize>::new());
}

#[test]
fn odd_cells_get_an_answer() {
    let carbon = |lattice: Lattice, coords: Vec<[f64; 3]>| {
        Structure::new(lattice, vec![Element::from_z(6).unwrap(); coords.len()], coords).unwrap()
    };
    let cubic = |a: f64| Lattice::cubic(a).unwrap();
    let one = carbon(cubic(2.5), vec![[0.3; 3]]);
    assert!(rms(&DEFAULT, &one, &carbon(cubic(9.0), vec![[0.9; 3]])).unwrap() < 1e-9);

    // Forty atoms at one place, and forty in a cell of a hundredth of an ångström.
    let heap = carbon(cubic(4.0), vec![[0.1; 3]; 40]);
    assert!(fit(&DEFAULT, &heap, &heap));
    let tiny = carbon(cubic(0.01), (0..40).map(|i| [f64::from(i) / 40.0, 0.0, 0.0]).collect());
    assert!(fit(&DEFAULT, &tiny, &tiny));
    assert!(!fit(&DEFAULT, &tiny, &heap) || !fit(&DEFAULT, &heap, &tiny));

    // A simple cubic crystal of 300 atoms is one atom; a strongly skewed cell of it as well.
    let grid =
        (0..300).map(|i| [f64::from(i % 5) / 5.0, f64::from(i / 5 % 6) / 6.0, f64::from(i / 30) / 10.0]);
    let block = carbon(
        Lattice::from_rows([[15.0, 0.0, 0.0], [0.0, 18.0, 0.0], [0.0, 0.0, 30.0]]).unwrap(),
        grid.collect(),
    );
    assert!(fit(&StructureMatcher::CDVAE, &one, &block));
    let skewed = in_cell(&one, [[1, 0, 0], [3, 1, 0], [-2, 3, 1]]);
    assert!(rms(&DEFAULT, &one, &skewed).unwrap() < 1e-9);

    // A cell so skewed that double precision cannot reduce it: an error to look at, and no match.
    let lost = Lattice::from_rows([[1.0, 0.0, 0.0], [1e7, 1.0, 0.0], [1e7, 1e7, 1.0]]);
    if let Ok(lattice) = lost {
        let p = DEFAULT.prepare(&carbon(lattice, vec![[0.0; 3]]));
        assert!(p.error().is_none() || !DEFAULT.fit(&p, &p));
    }
}

#[test]
fn hopeless_searches_are_given_up_and_say_so() {
    let needle = |c: f64| {
        let lattice = Lattice::from_rows([[1.0, 0.0, 0.0], [0.0, 1.1, 0.0], [0.1, 0.2, c]]).unwrap();
        Structure::new(lattice, vec![Element::from_z(6).unwrap(); 2], vec![[0.0; 3], [0.3, 0.4, 0.5]])
            .unwrap()
    };
    let m = DEFAULT;
    let (a, b) = (m.prepare(&needle(1e6)), m.prepare(&needle(1.1e6)));
    assert_eq!(m.compare(&a, &b, Criterion::Rms), Outcome::Unfinished(None));
    assert!(m.rms(&a, &b).is_none() && !m.fit(&a, &b));
}

#[test]
fn meaningless_tolerances_match_nothing() {
    for matcher in [
        StructureMatcher { ltol: 0.0, ..DEFAULT },
        StructureMatcher { stol: 0.0, ..DEFAULT },
        StructureMatcher { stol: f64::NAN, ..DEFAULT },
        StructureMatcher { ltol: f64::NAN, ..DEFAULT },
        StructureMatcher { angle_tol: -1.0, ..DEFAULT },
    ] {
        assert!(!fit(&matcher, &quartz(), &quartz()), "{matcher:?}");
    }
}

/// A crystal without symmetry: three elements, seven sites.
fn asymmetric() -> impl Strategy<Value = Structure> {
    let cell = (4.0..7.0f64, 4.0..7.0f64, 4.0..7.0f64, 75.0..105.0f64, 75.0..105.0f64, 75.0..105.0f64);
    (cell, prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 7)).prop_map(
        |((a, b, c, al, be, ga), f)| {
            let names = ["Li", "Fe", "Fe", "O", "O", "O", "O"];
            let sites: Vec<_> = names.into_iter().zip(f).collect();
            crystal([a, b, c, al, be, ga], &sites)
        },
    )
}

/// A product of shears and a sign: a basis of the same lattice.
fn unimodular() -> impl Strategy<Value = [[i32; 3]; 3]> {
    (prop::collection::vec((0usize..3, 1usize..3, -2i32..3), 0..4), prop::bool::ANY).prop_map(
        |(shears, flip)| {
            let mut m = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
            for (i, step, factor) in shears {
                let from = m[(i + step) % 3];
                (0..3).for_each(|k| m[i][k] += factor * from[k]);
            }
            if flip { m.map(|row| row.map(|x| -x)) } else { m }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn description_of_the_crystal_does_not_matter(
        s in asymmetric(), basis in unimodular(), shift in prop::array::uniform3(0.0..1.0f64),
        axis in prop::array::uniform3(-3.0..3.0f64), order in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
        double in 0usize..4, mirror in prop::bool::ANY,
    ) {
        // Sites closer than twice the tolerance of the primitive cell keep a supercell from being recognized.
        prop_assume!(s.min_distance().unwrap() > 0.9);
        let mut t = in_cell(&s, basis);
        let rotation = Rotation3::new(Vector3::from(axis));
        let mut matrix = t.lattice.matrix() * rotation.matrix().transpose();
        if mirror {
            matrix *= Matrix3::from_diagonal(&Vector3::new(-1.0, 1.0, 1.0));
        }
        t = with_lattice(&t, matrix);
        t = Structure::new(
            t.lattice,
            order.iter().map(|&i| t.species[i]).collect(),
            order.iter().map(|&i| std::array::from_fn(|k| t.frac_coords[i][k] + shift[k])).collect(),
        ).unwrap();
        if double < 3 {
            let mut n = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
            n[double][double] = 2;
            t = in_cell(&t, n);
        }
        for matcher in [DEFAULT, StructureMatcher::CDVAE] {
            let (a, b) = (matcher.prepare(&s), matcher.prepare(&t));
            prop_assert_eq!(a.structure().map_or(0, Structure::len), b.structure().map_or(0, Structure::len));
            prop_assert!(matcher.fit(&a, &b) && matcher.fit(&b, &a));
            for (p, q) in [(&a, &b), (&b, &a)] {
                prop_assert!(matcher.rms(p, q).unwrap().rms < 1e-5);
            }
        }
    }

    #[test]
    fn small_noise_keeps_the_match_in_both_directions(
        s in asymmetric(), noise in prop::collection::vec(prop::array::uniform3(-0.05..0.05f64), 7),
    ) {
        let cart = s.cart_coords();
        let moved = cart.iter().zip(&noise).map(|(c, n)| {
            s.lattice.to_fractional(std::array::from_fn(|k| c[k] + n[k]))
        }).collect();
        let t = Structure::new(s.lattice, s.species.clone(), moved).unwrap();
        let m = StructureMatcher::CDVAE;
        let (a, b) = (m.prepare(&s), m.prepare(&t));
        let [there, back] = [m.rms(&a, &b).unwrap(), m.rms(&b, &a).unwrap()];
        // The RMS about the mean of the displacements that were made, unless sites merged; symmetric because the
        // lattices are equal.
        let free_length = (s.lattice.volume() / 7.0).cbrt();
        let mean: [f64; 3] = std::array::from_fn(|k| noise.iter().map(|n| n[k]).sum::<f64>() / 7.0);
        let squares: f64 = noise.iter().map(|n| (0..3).map(|k| (n[k] - mean[k]).powi(2)).sum::<f64>()).sum();
        prop_assert!((there.rms - back.rms).abs() < 1e-9);
        prop_assert!(there.rms <= (squares / 7.0).sqrt() / free_length + 1e-9);
        prop_assert!(m.fit(&a, &b) && m.fit(&b, &a));
    }
}
