//! Voronoi cells and CrystalNN on prototypes, random crystals and cells that no crystal has.

use std::f64::consts::PI;

use druse_crystal::{
    Element, Lattice, Structure,
    coordination::{CoordinationError, CrystalNn, Tessellation},
};
use druse_testkit::prototypes::{cubic, fcc, prototype, structure};
use nalgebra::Matrix3;
use proptest::prelude::*;

/// (solid angle, area, distance) of the facets of site 0, and the volume of its cell.
fn facets(s: &Structure) -> (Vec<(f64, f64, f64)>, f64) {
    let mut cells = Tessellation::new(s, 7.0).unwrap();
    let cell = cells.cell(0).unwrap();
    (cell.facets.iter().map(|f| (f.solid_angle, f.area, f.neighbor.distance)).collect(), cell.volume)
}

#[test]
fn cells_of_cubic_lattices_are_the_known_solids() {
    // Cube.
    let (cube, volume) = facets(&cubic(3.0, &[("Po", [0.0; 3])]));
    assert_eq!(cube.len(), 6);
    assert!(cube.iter().all(|f| (f.0 - 4.0 * PI / 6.0).abs() < 1e-12 && (f.1 - 9.0).abs() < 1e-12));
    assert!((volume - 27.0).abs() < 1e-12);
    // Rhombic dodecahedron: at each of its six four-fold vertices two more planes touch.
    let (rhombic, volume) = facets(&structure(fcc(4.0), &[("Cu", [0.0; 3])]));
    assert_eq!(rhombic.len(), 12);
    assert!(
        rhombic
            .iter()
            .all(|f| (f.0 - 4.0 * PI / 12.0).abs() < 1e-12 && (f.1 - 2.0 * 2f64.sqrt()).abs() < 1e-12)
    );
    assert!((volume - 16.0).abs() < 1e-12);
    // Truncated octahedron of edge a / √8.
    let (octahedron, volume) = facets(&cubic(4.0, &[("W", [0.0; 3]), ("W", [0.5; 3])]));
    assert_eq!(octahedron.len(), 14);
    let edge2 = 16.0 / 8.0;
    for &(_, area, distance) in &octahedron {
        let hexagon = distance < 3.9;
        assert!(
            (area - if hexagon { 1.5 * 3f64.sqrt() * edge2 } else { edge2 }).abs() < 1e-12,
            "{octahedron:?}"
        );
    }
    assert!((volume - 32.0).abs() < 1e-12);
    // Hexagonal prism.
    let graphite_like = Lattice::from_parameters([2.5, 2.5, 4.0, 90.0, 90.0, 120.0]).unwrap();
    let (prism, volume) = facets(&structure(graphite_like, &[("C", [0.0; 3])]));
    assert_eq!(prism.len(), 8);
    assert!((volume - graphite_like.volume()).abs() < 1e-12);
}

#[test]
fn prototypes_have_their_coordination_numbers() {
    for (name, bonds) in [
        ("NaCl", vec![6, 6]),
        ("CsCl", vec![8, 8]),
        ("diamond", vec![4, 4]),
        ("Cu", vec![12]),
        ("SrTiO3", vec![12, 6, 2, 2, 2]),
    ] {
        let s = prototype(name);
        let sites = CrystalNn::FINGERPRINT.sites(&s).unwrap();
        let cn: Vec<usize> = sites.iter().map(|c| c.cn).collect();
        assert_eq!(cn, bonds, "{name}");
        for (i, c) in sites.iter().enumerate() {
            assert_eq!(c.bonded().len(), c.cn);
            assert!((c.cn_weights.iter().map(|w| w.1).sum::<f64>() - 1.0).abs() < 1e-12);
            assert_eq!(*c, CrystalNn::FINGERPRINT.site(&s, i).unwrap());
            for n in &c.neighbors {
                let to = std::array::from_fn(|k| {
                    s.frac_coords[n.site as usize][k] + f64::from(n.image[k]) - s.frac_coords[i][k]
                });
                let end = s.lattice.to_cartesian(to);
                assert!((0..3).all(|k| (end[k] - n.vector[k]).abs() < 1e-12), "{name}: {n:?}");
            }
        }
    }
}

#[test]
fn graph_setting_ignores_distances_and_species() {
    // Two atoms far apart have no bond, but neighbors in the graph.
    let s = cubic(6.5, &[("Ar", [0.0; 3])]);
    assert_eq!(CrystalNn::FINGERPRINT.site(&s, 0).unwrap().cn, 0);
    assert_eq!(CrystalNn::FINGERPRINT.site(&s, 0).unwrap().cn_weights, [(0, 1.0)]);
    let graph = CrystalNn::GRAPH.site(&s, 0).unwrap();
    assert_eq!((graph.cn, graph.bonded().len()), (6, 6));
    assert!(graph.neighbors.iter().all(|n| n.weight == 1.0));
}

#[test]
fn open_cells_are_searched_farther() {
    // Planar layers 20 Å apart: the first radius sees one layer.
    let layer = structure(
        Lattice::from_parameters([2.46, 2.46, 20.0, 90.0, 90.0, 120.0]).unwrap(),
        &[("C", [1.0 / 3.0, 2.0 / 3.0, 0.5]), ("C", [2.0 / 3.0, 1.0 / 3.0, 0.5])],
    );
    let mut cells = Tessellation::new(&layer, 7.0).unwrap();
    assert!((cells.cell(0).unwrap().volume - 0.5 * layer.lattice.volume()).abs() < 1e-9);
    assert!(cells.cell(1).unwrap().radius > 14.0);
    assert_eq!(CrystalNn::FINGERPRINT.site(&layer, 0).unwrap().cn, 3);
    // One atom in a huge box.
    let lone = cubic(1000.0, &[("H", [0.2, 0.3, 0.4])]);
    let mut cells = Tessellation::new(&lone, 7.0).unwrap();
    assert!((cells.cell(0).unwrap().volume / 1e9 - 1.0).abs() < 1e-9);
}

#[test]
fn bad_input_has_an_answer_or_a_reason() {
    let s = cubic(4.0, &[("Na", [0.0; 3]), ("Cl", [0.5; 3]), ("Cl", [0.5; 3])]);
    assert!(CrystalNn::FINGERPRINT.site(&s, 0).is_ok());
    assert_eq!(
        CrystalNn::FINGERPRINT.sites(&s),
        Err(CoordinationError::Coincident { site: 1, other: 2, distance: 0.0 })
    );
    assert_eq!(CrystalNn::GRAPH.site(&s, 3), Err(CoordinationError::NoSuchSite { site: 3, sites: 3 }));
    let mut nan = s.clone();
    nan.frac_coords[1][2] = f64::NAN;
    assert_eq!(CrystalNn::GRAPH.site(&nan, 0), Err(CoordinationError::NotFinite { site: 1 }));
    // No radius is known of the heaviest elements, which the graph does not ask for.
    let heavy = cubic(5.0, &[("Og", [0.0; 3])]);
    assert_eq!(
        CrystalNn::FINGERPRINT.site(&heavy, 0),
        Err(CoordinationError::NoRadius(Element::from_symbol("Og").unwrap()))
    );
    assert_eq!(CrystalNn::GRAPH.site(&heavy, 0).unwrap().cn, 6);
    // More images within 7 Å than anyone wants to list.
    let needle = structure(
        Lattice::from_rows([[1e-6, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]]).unwrap(),
        &[("Fe", [0.0; 3])],
    );
    assert!(matches!(CrystalNn::GRAPH.site(&needle, 0), Err(CoordinationError::TooManyImages { .. })));
    let vast = Lattice::from_parameters([1000.0, 900.0, 800.0, 80.0, 90.0, 100.0]).unwrap();
    assert!(CrystalNn::GRAPH.sites(&structure(vast, &[("Fe", [0.0; 3]), ("O", [0.1, 0.2, 0.3])])).is_ok());
    let layers = structure(
        Lattice::from_rows([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1e4]]).unwrap(),
        &[("Fe", [0.0; 3])],
    );
    assert!(matches!(CrystalNn::GRAPH.site(&layers, 0), Err(CoordinationError::TooManyImages { .. })));
}

#[test]
fn odd_cells_have_cells_that_fill_them() {
    let sites = [("Fe", [0.1, 0.2, 0.3]), ("O", [0.6, 0.8, 0.55])];
    for p in [
        [0.3, 6.0, 6.0, 90.0, 90.0, 90.0],
        [0.5, 0.5, 0.5, 60.0, 60.0, 60.0],
        [4.0, 4.0, 300.0, 90.0, 90.0, 90.0],
        [3.0, 200.0, 3.0, 90.0, 90.0, 90.0],
        [5.0, 5.0, 5.0, 20.0, 20.0, 20.0],
        [5.0, 5.0, 5.0, 119.0, 119.0, 119.0],
        [5.0, 6.0, 7.0, 170.0, 90.0, 90.0],
    ] {
        let s = structure(Lattice::from_parameters(p).unwrap(), &sites);
        let mut cells = Tessellation::new(&s, 7.0).unwrap();
        let mut volume = 0.0;
        for i in 0..2 {
            let cell = cells.cell(i).unwrap();
            let whole: f64 = cell.facets.iter().map(|f| f.solid_angle).sum();
            assert!((whole - 4.0 * PI).abs() < 1e-9, "{p:?}");
            volume += cell.volume;
        }
        assert!((volume / s.lattice.volume() - 1.0).abs() < 1e-8, "{p:?}: {volume}");
        assert!(CrystalNn::FINGERPRINT.sites(&s).is_ok(), "{p:?}");
    }
}

#[test]
fn large_cells_are_no_trouble() {
    // 300 atoms of a distorted simple cubic arrangement.
    let mut frac = Vec::new();
    for i in 0..300 {
        let at = [i % 10, i / 10 % 6, i / 60];
        let jitter = |k: usize| 0.2 * (f64::from(i as u32) * [1.3, 2.7, 4.1][k]).sin();
        frac.push(std::array::from_fn(|k| (at[k] as f64 + jitter(k)) / [10.0, 6.0, 5.0][k]));
    }
    let lattice = Lattice::from_parameters([25.0, 15.0, 12.5, 90.0, 90.0, 90.0]).unwrap();
    let s = Structure::new(lattice, vec![Element::from_z(29).unwrap(); 300], frac).unwrap();
    let mut cells = Tessellation::new(&s, 7.0).unwrap();
    let volume: f64 = (0..300).map(|i| cells.cell(i).unwrap().volume).sum();
    assert!((volume / lattice.volume() - 1.0).abs() < 1e-10);
}

/// A crystal without symmetry, atoms no nearer than 0.8 Å.
fn generic() -> impl Strategy<Value = Structure> {
    let cell = (prop::array::uniform3(3.0..7.0f64), prop::array::uniform3(65.0..115.0f64));
    let sites = prop::collection::vec((prop::array::uniform3(0.0..1.0f64), 1u8..90), 1..7);
    (cell, sites).prop_filter_map("atoms too near", |((l, a), sites)| {
        let lattice = Lattice::from_parameters([l[0], l[1], l[2], a[0], a[1], a[2]]).ok()?;
        let species = sites.iter().map(|s| Element::from_z(s.1).unwrap()).collect();
        let s = Structure::new(lattice, species, sites.iter().map(|s| s.0).collect()).ok()?;
        (lattice.volume() > 20.0 && s.min_distance().is_none_or(|d| d > 0.8)).then_some(s)
    })
}

/// What must not depend on the description: weights of coordination numbers, and neighbors by distance and weight.
fn invariants(s: &Structure, i: usize) -> Vec<f64> {
    let c = CrystalNn::FINGERPRINT.site(s, i).unwrap();
    let mut numbers: Vec<f64> = c.cn_weights.iter().flat_map(|&(cn, w)| [cn as f64, w]).collect();
    numbers.extend(c.neighbors.iter().flat_map(|n| [n.distance, n.weight]));
    numbers
}

fn assert_same(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-7), "{a:?} against {b:?}");
}

/// A plane that passes 0.1 mÅ inside an edge which, when the plane comes, still reaches to the end of the world.
#[test]
fn shallow_cuts_are_not_lost() {
    let lattice = Lattice::from_rows([
        [5.792337820343158, 0.0, -0.3349895213165398],
        [-2.2672878160119785, 4.926067224224266, 0.485483166378408],
        [0.0, 0.0, 3.3036488194330627],
    ]);
    let h = Element::from_z(1).unwrap();
    let frac = vec![
        [0.5004852020627084, 0.8045809508214803, 0.21774342162747476],
        [0.4561742370460698, 0.05287755094161343, 0.1767981351506635],
    ];
    let s = Structure::new(lattice.unwrap(), vec![h, h], frac).unwrap();
    let mut cells = Tessellation::new(&s, 14.0).unwrap();
    let volume: f64 = (0..2).map(|i| cells.cell(i).unwrap().volume).sum();
    assert!((volume / s.lattice.volume() - 1.0).abs() < 1e-12, "{volume}");
    let cell = cells.cell(0).unwrap();
    let thin = cell.facets.iter().find(|f| f.neighbor.site == 1 && f.neighbor.image == [0, 1, -1]).unwrap();
    assert!((thin.area - 0.0016848968).abs() < 1e-9, "{}", thin.area);
}

proptest! {
    #[test]
    fn cells_fill_the_crystal(s in generic()) {
        let mut cells = Tessellation::new(&s, 14.0).unwrap();
        let mut volume = 0.0;
        for i in 0..s.len() {
            let cell = cells.cell(i).unwrap();
            let whole: f64 = cell.facets.iter().map(|f| f.solid_angle).sum();
            prop_assert!((whole - 4.0 * PI).abs() < 1e-10);
            volume += cell.volume;
        }
        prop_assert!((volume / s.lattice.volume() - 1.0).abs() < 1e-10);
    }

    #[test]
    fn facets_are_shared(s in generic()) {
        let mut cells = Tessellation::new(&s, 14.0).unwrap();
        let all: Vec<Vec<_>> = (0..s.len()).map(|i| cells.cell(i).unwrap().facets.to_vec()).collect();
        for (i, facets) in all.iter().enumerate() {
            for f in facets.iter().filter(|f| f.area > 1e-9) {
                let back = f.neighbor.image.map(|x| -x);
                let twin = all[f.neighbor.site as usize].iter().find(|g| g.neighbor.site as usize == i && g.neighbor.image == back);
                prop_assert!(twin.is_some_and(|g| (g.area - f.area).abs() < 1e-8));
            }
        }
    }

    #[test]
    fn description_of_the_crystal_does_not_matter(
        s in generic(), axis in prop::array::uniform3(-1.0..1.0f64), turn in -3.0..3.0f64,
        shift in prop::array::uniform3(-1.0..1.0f64), t in prop::array::uniform3(-2i32..3),
    ) {
        let want: Vec<_> = (0..s.len()).map(|i| invariants(&s, i)).collect();
        // Rotation and translation.
        let rotation = nalgebra::Rotation3::new(nalgebra::Vector3::from(axis).normalize() * turn);
        let rotated = Lattice::from_matrix(s.lattice.matrix() * rotation.matrix().transpose()).unwrap();
        let moved = s.frac_coords.iter().map(|f| std::array::from_fn(|c| f[c] + shift[c])).collect();
        let moved = Structure::new(rotated, s.species.clone(), moved).unwrap();
        for (i, w) in want.iter().enumerate() {
            assert_same(&invariants(&moved, i), w);
        }
        // Order of the sites.
        let reversed = Structure::new(
            s.lattice, s.species.iter().rev().copied().collect(), s.frac_coords.iter().rev().copied().collect(),
        ).unwrap();
        for (i, w) in want.iter().rev().enumerate() {
            assert_same(&invariants(&reversed, i), w);
        }
        // Another cell of the same lattice.
        let [p, q, r] = t.map(f64::from);
        let matrix = Matrix3::new(1.0, p, q, 0.0, 1.0, r, 0.0, 0.0, 1.0) * s.lattice.matrix();
        let skewed = Lattice::from_matrix(matrix).unwrap();
        let frac = s.cart_coords().into_iter().map(|c| skewed.to_fractional(c)).collect();
        let skewed = Structure::new(skewed, s.species.clone(), frac).unwrap();
        for (i, w) in want.iter().enumerate() {
            assert_same(&invariants(&skewed, i), w);
        }
    }
}
