//! Neighbor lists against exhaustive search, in compact, skewed, flat and needle-shaped cells.

use druse_crystal::{Lattice, Neighbor, NeighborError, NeighborList, k_nearest, within_cutoff};
use nalgebra::Matrix3;
use proptest::prelude::*;

/// Every image within `radius`, found by walking the whole box of images of the cell as given.
fn exhaustive(lattice: &Lattice, frac: &[[f64; 3]], i: usize, radius: f64) -> Vec<Neighbor> {
    let reach = lattice.face_distances().map(|h| radius / h + 1e-6);
    let mut found = Vec::new();
    for (site, g) in frac.iter().enumerate() {
        let d: [f64; 3] = std::array::from_fn(|c| g[c] - frac[i][c]);
        let range = |c: usize| (-reach[c] - d[c]).ceil() as i32..=(reach[c] - d[c]).floor() as i32;
        for x in range(0) {
            for y in range(1) {
                for z in range(2) {
                    let v =
                        lattice.to_cartesian([d[0] + f64::from(x), d[1] + f64::from(y), d[2] + f64::from(z)]);
                    let distance = v.iter().map(|x| x * x).sum::<f64>().sqrt();
                    if distance <= radius && (site, [x, y, z]) != (i, [0; 3]) {
                        found.push(Neighbor { site: site as u32, image: [x, y, z], distance });
                    }
                }
            }
        }
    }
    found
}

fn assert_same(got: &[Neighbor], want: &[Neighbor]) {
    let key = |n: &Neighbor| (n.site, n.image);
    assert_eq!(got.iter().map(key).collect::<Vec<_>>(), want.iter().map(key).collect::<Vec<_>>());
    for (g, w) in got.iter().zip(want) {
        assert!((g.distance - w.distance).abs() < 1e-9 * (1.0 + w.distance), "{g:?} against {w:?}");
    }
}

/// The rule of `k_nearest`, from an exhaustive search wide enough to hold `k` neighbors.
fn exhaustive_k(lattice: &Lattice, frac: &[[f64; 3]], i: usize, k: usize) -> Vec<Neighbor> {
    let mut radius = 1.0;
    loop {
        let mut found = exhaustive(lattice, frac, i, radius);
        found.retain(|n| n.distance > 1e-3);
        let mut distances: Vec<f64> = found.iter().map(|n| n.distance).collect();
        distances.sort_by(f64::total_cmp);
        if let Some(bound) = distances.get(k - 1).map(|d| d + 1e-6).filter(|&d| d < radius) {
            found.retain(|n| n.distance <= bound);
            return found;
        }
        radius *= 1.5;
    }
}

/// A compact or elongated cell, sheared by an integer matrix of determinant 1.
fn sheared_cell() -> impl Strategy<Value = Lattice> {
    let side = || 2.0..7.0f64;
    (side(), side(), side(), prop::array::uniform3(-0.4..0.4f64), prop::array::uniform3(-4i32..5)).prop_map(
        |(a, b, c, tilt, s)| {
            let short = Matrix3::new(a, 0.0, 0.0, tilt[0] * a, b, 0.0, tilt[1] * a, tilt[2] * b, c);
            let [p, q, r] = s.map(f64::from);
            let upper = Matrix3::new(1.0, p, q, 0.0, 1.0, r, 0.0, 0.0, 1.0);
            let lower = Matrix3::new(1.0, 0.0, 0.0, r, 1.0, 0.0, p, q, 1.0);
            Lattice::from_matrix(upper * lower * short).unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cutoff_list_is_complete(
        lattice in sheared_cell(),
        frac in prop::collection::vec(prop::array::uniform3(-1.5..1.5f64), 1..6),
        cutoff in 1.0..7.0f64,
    ) {
        let list = within_cutoff(&lattice, &frac, cutoff).unwrap();
        for i in 0..frac.len() {
            assert_same(list.of(i), &exhaustive(&lattice, &frac, i, cutoff));
        }
    }

    #[test]
    fn k_nearest_list_is_complete(
        lattice in sheared_cell(),
        frac in prop::collection::vec(prop::array::uniform3(-1.5..1.5f64), 1..6),
        k in 1usize..40,
    ) {
        let list = k_nearest(&lattice, &frac, k).unwrap();
        for i in 0..frac.len() {
            assert_same(list.of(i), &exhaustive_k(&lattice, &frac, i, k));
        }
    }

    #[test]
    fn neighbors_see_each_other(
        lattice in sheared_cell(),
        frac in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..6),
    ) {
        let list = within_cutoff(&lattice, &frac, 5.0).unwrap();
        for i in 0..frac.len() {
            for n in list.of(i) {
                let back = (i as u32, n.image.map(|t| -t));
                prop_assert!(list.of(n.site as usize).iter().any(|m| (m.site, m.image) == back));
            }
        }
    }
}

fn counts(list: &NeighborList) -> Vec<usize> {
    (0..list.len()).map(|i| list.of(i).len()).collect()
}

#[test]
fn face_centered_cubic_has_shells_of_12_6_24_and_12() {
    let a = 4.0;
    let lattice =
        Lattice::from_rows([[0.0, a / 2.0, a / 2.0], [a / 2.0, 0.0, a / 2.0], [a / 2.0, a / 2.0, 0.0]]);
    let (lattice, frac) = (lattice.unwrap(), [[0.3, 0.3, 0.3]]);
    for (k, shells) in [(1, 12), (12, 12), (13, 18), (19, 42), (43, 54)] {
        assert_eq!(counts(&k_nearest(&lattice, &frac, k).unwrap()), [shells], "k = {k}");
    }
    assert_eq!(counts(&within_cutoff(&lattice, &frac, a).unwrap()), [18]);
}

#[test]
fn atoms_of_large_cells_have_the_neighbors_of_the_small_one() {
    // 12 × 9 × 10 copies of a two-atom cell: enough images for the sorted search.
    let small = Lattice::from_rows([[3.0, 0.1, 0.0], [0.4, 3.5, 0.2], [0.0, 0.3, 4.0]]).unwrap();
    let basis = [[0.1, 0.2, 0.3], [0.6, 0.65, 0.8]];
    let copies = [12.0, 9.0, 10.0];
    let rows = small.rows();
    let large = Lattice::from_rows(std::array::from_fn(|i| rows[i].map(|x| x * copies[i]))).unwrap();
    let mut frac = Vec::new();
    for f in basis {
        for n in 0..(12 * 9 * 10) {
            let t = [n / 90, n / 10 % 9, n % 10];
            frac.push(std::array::from_fn(|c| (f[c] + f64::from(t[c])) / copies[c]));
        }
    }
    let (of_small, of_large) =
        (k_nearest(&small, &basis, 32).unwrap(), k_nearest(&large, &frac, 32).unwrap());
    let (in_small, in_large) =
        (within_cutoff(&small, &basis, 6.0).unwrap(), within_cutoff(&large, &frac, 6.0).unwrap());
    for (n, i) in (0..frac.len()).map(|n| (n, n / 1080)) {
        for (got, want) in [(of_large.of(n), of_small.of(i)), (in_large.of(n), in_small.of(i))] {
            let sorted = |list: &[Neighbor]| {
                let mut d: Vec<f64> = list.iter().map(|n| n.distance).collect();
                d.sort_by(f64::total_cmp);
                d
            };
            let (got, want) = (sorted(got), sorted(want));
            assert_eq!(got.len(), want.len());
            assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-9));
        }
    }
    assert!(of_large.of(5).windows(2).all(|w| (w[0].site, w[0].image) < (w[1].site, w[1].image)));
}

#[test]
fn needles_plates_and_vacuum_are_served() {
    let frac = [[0.1, 0.2, 0.3], [0.15, 0.25, 0.35]];
    for rows in [
        [[1.0, 0.0, 0.0], [0.0, 800.0, 0.0], [0.0, 0.0, 900.0]],
        [[2.0, 0.0, 0.0], [0.9, 2.0, 0.0], [0.0, 0.0, 500.0]],
        [[300.0, 0.0, 0.0], [0.0, 300.0, 0.0], [0.0, 0.0, 300.0]],
    ] {
        let lattice = Lattice::from_rows(rows).unwrap();
        let list = k_nearest(&lattice, &frac, 12).unwrap();
        for i in 0..2 {
            assert_same(list.of(i), &exhaustive_k(&lattice, &frac, i, 12));
        }
    }
}

#[test]
fn odd_input_is_answered() {
    let lattice = Lattice::cubic(3.0).unwrap();
    // Coincident atoms are neighbors by distance, not by rank.
    let twins = [[0.5; 3], [0.5; 3]];
    assert_eq!(within_cutoff(&lattice, &twins, 1.0).unwrap().of(0)[0].distance, 0.0);
    assert_eq!(k_nearest(&lattice, &twins, 1).unwrap().of(0).len(), 12);
    // A site that is nowhere has no neighbors and is nobody's.
    let lost = [[0.5; 3], [f64::NAN, 0.0, 0.0], [f64::INFINITY, 0.0, 0.0]];
    assert_eq!(counts(&k_nearest(&lattice, &lost, 6).unwrap()), [6, 0, 0]);
    assert_eq!(counts(&within_cutoff(&lattice, &lost, 3.1).unwrap()), [6, 0, 0]);
    assert!(k_nearest(&lattice, &[], 4).unwrap().is_empty());
    assert_eq!(counts(&k_nearest(&lattice, &twins, 0).unwrap()), [0, 0]);
    assert_eq!(counts(&within_cutoff(&lattice, &twins, f64::NAN).unwrap()), [0, 0]);
}

#[test]
fn collapsed_cells_are_refused_with_the_reason() {
    let frac: Vec<[f64; 3]> =
        (0..20).map(|i| [0.31, 0.17, 0.73].map(|x| (x * f64::from(i)).fract())).collect();
    for edge in [1e-9, 1e-7, 1e-5, 0.1] {
        let lattice = Lattice::cubic(edge).unwrap();
        let error = within_cutoff(&lattice, &frac, 6.0).unwrap_err();
        assert!(matches!(error, NeighborError::TooManyImages { sites: 20, .. }), "{error}");
        assert!(error.to_string().contains("20 atoms lie within 6.00 Å"), "{error}");
    }
    // Images nearer than 1e-3 Å are no neighbors of k_nearest, and so many have to be passed over.
    assert!(k_nearest(&Lattice::cubic(1e-6).unwrap(), &frac, 12).is_err());
    let list = k_nearest(&Lattice::cubic(1e-3).unwrap(), &frac, 12).unwrap();
    assert!((0..20).all(|i| list.of(i).len() >= 12));
    // Few images, but each near all the others.
    let heap = vec![[0.5; 3]; 3000];
    let error = within_cutoff(&Lattice::cubic(10.0).unwrap(), &heap, 1.0).unwrap_err();
    assert!(matches!(error, NeighborError::TooManyNeighbors { neighbors: 2999, .. }), "{error}");
}

#[test]
fn flat_and_long_cells_are_searched() {
    // Twenty atoms within 0.3 Å of one another in cells of extreme shape; the count is that of an exhaustive search.
    let cart: Vec<[f64; 3]> =
        (0..20).map(|i| [0.31, 0.17, 0.73].map(|x| 0.3 * (x * f64::from(i)).fract())).collect();
    for rows in [
        [[100.0, 0.0, 0.0], [0.0, 100.0, 0.0], [0.0, 0.0, 0.2]],
        [[100.0, 0.0, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 0.7]],
        [[3.0, 0.0, 0.0], [29.0, 3.0, 0.0], [131.0, 55.0, 3.0]],
    ] {
        let lattice = Lattice::from_rows(rows).unwrap();
        let frac: Vec<[f64; 3]> = cart.iter().map(|&x| lattice.to_fractional(x)).collect();
        let list = within_cutoff(&lattice, &frac, 3.0).unwrap();
        let back = |n: &Neighbor| {
            let f = std::array::from_fn(|c| frac[n.site as usize][c] + f64::from(n.image[c]));
            lattice.to_cartesian(f)
        };
        for (i, here) in cart.iter().enumerate() {
            let distance =
                |n: &Neighbor| back(n).iter().zip(here).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
            assert!(list.of(i).iter().all(|n| (distance(n) - n.distance).abs() < 1e-9));
        }
        let nearest = k_nearest(&lattice, &frac, 12).unwrap();
        for i in 0..20 {
            let far = nearest.of(i).iter().map(|n| n.distance).fold(0.0, f64::max);
            let within = list.of(i).iter().filter(|n| n.distance <= far && n.distance > 1e-3).count();
            assert!(far > 3.0 || within == nearest.of(i).len(), "{rows:?}");
        }
    }
}
