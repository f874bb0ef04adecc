//! The symmetric multigraph against the published procedure, step by step.

use std::sync::Arc;

use druse_crystal::{Lattice, NeighborError, SpaceGroup, SymmetryOperation};
use druse_nn::graph::{
    AngleRule, CopyRule, GroupOperations, PairedHarmonics, SymmetricEdges, SymmetricGraph,
};
use nalgebra::{Matrix3, Vector3};
use proptest::prelude::*;

/// The primitive cell of a conventional cell that fits the lattice system of the group.
fn cell(group: &SpaceGroup, [a, b, c]: [f64; 3]) -> Lattice {
    let parameters = match group.number() {
        1..=2 => [a, b, c, 83.0, 97.0, 102.0],
        3..=15 => [a, b, c, 90.0, 103.0, 90.0],
        16..=74 => [a, b, c, 90.0, 90.0, 90.0],
        75..=142 => [a, a, c, 90.0, 90.0, 90.0],
        143..=194 => [a, a, c, 90.0, 90.0, 120.0],
        _ => [a, a, a, 90.0, 90.0, 90.0],
    };
    let conventional = Lattice::from_parameters_a_along_x(parameters).unwrap();
    group.centring().primitive_lattice(&conventional).unwrap()
}

fn operations(group: &SpaceGroup) -> GroupOperations {
    GroupOperations::new(group.primitive_operations().to_vec()).unwrap()
}

/// An edge of the published procedure: ends, operation, vector, whether it leads to another copy of its source.
type Edge = (usize, usize, usize, [f64; 3], bool);

fn same(a: [f64; 3], b: [f64; 3], within: f64) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= within)
}

/// Spec of the published code: the radius grows in steps of 1 Å until every site has `count` neighbors, edges are found by
/// comparing vectors, reverse edges are turned by the Cartesian inverse of the operation.
fn published(lattice: &Lattice, ops: &[SymmetryOperation], sites: &[[f64; 3]], count: usize) -> Vec<Edge> {
    let m = lattice.matrix().transpose();
    let rotations: Vec<Matrix3<f64>> = ops
        .iter()
        .map(|op| m * Matrix3::from_fn(|i, j| f64::from(op.rotation[i][j])) * m.try_inverse().unwrap())
        .collect();
    let inverse = |o: usize| {
        (0..ops.len()).find(|&k| (rotations[k] * rotations[o] - Matrix3::identity()).amax() < 1e-9).unwrap()
    };
    let identity = (0..ops.len()).find(|&k| (rotations[k] - Matrix3::identity()).amax() < 1e-9).unwrap();
    let around = |i: usize, radius: f64| {
        let reach = lattice.face_distances().map(|face| (radius / face).ceil() as i32 + 2);
        let mut found: Vec<(i64, usize, [i32; 3], [f64; 3])> = Vec::new();
        for (o, op) in ops.iter().enumerate() {
            for (j, &site) in sites.iter().enumerate() {
                let copy = op.apply(site);
                for a in -reach[0]..=reach[0] {
                    for b in -reach[1]..=reach[1] {
                        for c in -reach[2]..=reach[2] {
                            // Whole cells from the place of the copy that is not wrapped, so that ties have one order.
                            let d = std::array::from_fn(|k| copy[k] + f64::from([a, b, c][k]) - sites[i][k]);
                            let d = lattice.to_cartesian(d);
                            let length = d.iter().map(|x| x * x).sum::<f64>().sqrt();
                            if length > 0.15 && length <= radius {
                                let key = (length * 1e6).round() as i64;
                                found.push((key, o * sites.len() + j, [a, b, c], d));
                            }
                        }
                    }
                }
            }
        }
        found.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
        found
    };
    let mut radius = 5.5;
    let all = loop {
        let all: Vec<_> = (0..sites.len()).map(|i| around(i, radius)).collect();
        if all.iter().all(|found| found.len() >= count) {
            break all;
        }
        radius += 1.0;
    };
    let mut edges: Vec<Edge> = Vec::new();
    for (i, found) in all.into_iter().enumerate() {
        for (_, copy, _, d) in found.into_iter().take(count) {
            let (o, j) = (copy / sites.len(), copy % sites.len());
            if edges.iter().any(|e| (e.0, e.1, e.2) == (i, j, o) && same(e.3, d, 1e-4)) {
                continue;
            }
            let own = i == j && o != identity;
            edges.push((i, j, o, d, own));
            if !own {
                let back = inverse(o);
                let turned = -(rotations[back] * Vector3::from(d));
                edges.push((j, i, back, turned.into(), false));
            }
        }
    }
    edges
}

fn check(lattice: &Lattice, group: &SpaceGroup, sites: &[[f64; 3]], count: usize) {
    let ops = operations(group);
    let mut expected = published(lattice, group.primitive_operations(), sites, count);
    let found = SymmetricEdges::nearest(lattice, &ops, sites, count, CopyRule::Each).unwrap();
    assert_eq!(found.edges.len(), expected.len(), "{group}");
    let m = lattice.matrix().transpose();
    for e in &found.edges {
        let ends = (e.source as usize, e.destination as usize);
        let turns_to = |o: usize| {
            let r = Matrix3::from_fn(|i, j| f64::from(group.primitive_operations()[o].rotation[i][j]));
            let turned = m * r * m.try_inverse().unwrap() * Vector3::from(e.arriving);
            same(turned.into(), e.vector, 1e-6)
        };
        let at = expected.iter().position(|x| {
            (x.0, x.1) == ends && same(x.3, e.vector, 1e-6) && x.4 == e.own_copy && turns_to(x.2)
        });
        expected.swap_remove(at.unwrap_or_else(|| panic!("{group}: {e:?} is no published edge")));
    }
}

#[test]
fn edges_are_the_published_ones() {
    let sites = [[0.137, 0.291, 0.418], [0.52, 0.07, 0.733], [0.881, 0.644, 0.295]];
    for number in
        [1, 2, 14, 15, 38, 62, 63, 69, 71, 139, 141, 148, 161, 166, 186, 194, 203, 216, 225, 227, 230]
    {
        let group = SpaceGroup::new(number).unwrap();
        let lattice = cell(group, [5.1, 6.3, 7.9]);
        for (n, count) in [(1, 20), (3, 80)] {
            check(&lattice, group, &sites[..n], count);
        }
    }
}

#[test]
fn copies_on_one_spot_are_all_there() {
    // Rock salt: every copy is there 48 times, so the 80 nearest are two of the six neighbors at most.
    let group = SpaceGroup::new(225).unwrap();
    let lattice = cell(group, [5.64; 3]);
    let sites = [[0.0; 3], [0.5; 3]];
    let found = SymmetricEdges::nearest(&lattice, &operations(group), &sites, 80, CopyRule::Each).unwrap();
    check(&lattice, group, &sites, 80);
    let from_first = found.edges.iter().filter(|e| e.source == 0).count();
    assert!((80..=160).contains(&from_first), "{from_first}");
    for e in &found.edges {
        let length = e.vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((length - 2.82).abs() < 1e-9 && e.source != e.destination);
    }
}

#[test]
fn bad_cells_are_refused_quickly() {
    let group = SpaceGroup::new(225).unwrap();
    let ops = operations(group);
    for rows in [
        [[1e-6, 0.0, 0.0], [0.0, 1e-6, 0.0], [0.0, 0.0, 1e9]],
        [[9.0, 0.0, 0.0], [9.0, 1e-7, 0.0], [0.0, 0.0, 9.0]],
    ] {
        let lattice = Lattice::from_rows(rows).unwrap();
        let error =
            SymmetricEdges::nearest(&lattice, &ops, &[[0.1, 0.2, 0.3]], 80, CopyRule::Each).unwrap_err();
        assert!(matches!(error, NeighborError::TooManyImages { .. }), "{error}");
    }
    let lattice = Lattice::cubic(5.0).unwrap();
    let found = SymmetricEdges::nearest(&lattice, &ops, &[[f64::NAN, 0.2, 0.3]], 80, CopyRule::Each);
    assert!(found.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn edges_have_their_opposites(
        number in 1u16..=230,
        lengths in prop::array::uniform3(3.0..11.0f64),
        sites in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..4),
    ) {
        let group = SpaceGroup::new(number).unwrap();
        let lattice = cell(group, lengths);
        let found = SymmetricEdges::nearest(&lattice, &operations(group), &sites, 40, CopyRule::Each).unwrap();
        for i in 0..sites.len() as u32 {
            prop_assert!(found.edges.iter().filter(|e| e.source == i).count() >= 40);
        }
        for e in found.edges.iter().filter(|e| !e.own_copy) {
            let back = e.arriving.map(|x| -x);
            let opposite = found.edges.iter().any(|f| {
                (f.source, f.destination) == (e.destination, e.source)
                    && same(f.vector, back, 1e-6)
                    && same(f.arriving, e.vector.map(|x| -x), 1e-6)
            });
            prop_assert!(opposite, "{e:?}");
        }
    }
}

/// With the geometric rule the angles are those of the crystal: the edges that leave a site, seen from a copy of it, lead to
/// atoms that are there.
#[test]
fn geometric_angles_are_those_of_the_crystal() {
    let group = SpaceGroup::new(166).unwrap();
    let lattice = cell(group, [5.1, 5.1, 9.0]);
    let sites = [[0.137, 0.291, 0.418], [0.52, 0.07, 0.733]];
    let ops = operations(group);
    let edges = SymmetricEdges::nearest(&lattice, &ops, &sites, 30, CopyRule::Each).unwrap();
    let graph = Arc::new(SymmetricGraph::join(&[edges]));
    let harmonics = PairedHarmonics::new(&graph, 2, AngleRule::Geometric);
    let occupied = |f: [f64; 3]| {
        ops.operations().iter().any(|op| {
            sites.iter().any(|&s| {
                let (d, _) = lattice.min_image(op.apply(s), f);
                d.iter().all(|x| x.abs() < 1e-6)
            })
        })
    };
    for q in (0..graph.num_edges()).step_by(7) {
        let (u, v) = (graph.source[q] as usize, graph.destination[q] as usize);
        let end: [f64; 3] = std::array::from_fn(|k| sites[u][k] + graph.frac_vectors[q][k]);
        assert!(occupied(end));
        for p in graph.edges_from(v).step_by(5) {
            // The operation that takes v to the end of q, found anew.
            let op = ops.operations().iter().find(|op| {
                let (d, _) = lattice.min_image(op.apply(sites[v]), end);
                d.iter().all(|x| x.abs() < 1e-6)
            });
            let rotation = op.unwrap().rotation;
            let turned: [f64; 3] = std::array::from_fn(|i| {
                (0..3).map(|j| f64::from(rotation[i][j]) * graph.frac_vectors[p][j]).sum()
            });
            assert!(occupied(std::array::from_fn(|k| end[k] + turned[k])));
            let (a, b) = (lattice.to_cartesian(turned), graph.vectors[q]);
            let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            let cosine = dot / (graph.lengths[p] * graph.lengths[q]);
            assert!((cosine - harmonics.cosine(p as u32, q as u32)).abs() < 1e-9);
        }
    }
}

/// Copies on one spot as one: the edges are those between the atoms of the crystal.
#[test]
fn distinct_copies_are_the_atoms_of_the_crystal() {
    let rock_salt = SpaceGroup::new(225).unwrap();
    let lattice = cell(rock_salt, [5.64; 3]);
    let sites = [[0.0; 3], [0.5; 3]];
    let edges = |count| {
        SymmetricEdges::nearest(&lattice, &operations(rock_salt), &sites, count, CopyRule::Distinct).unwrap()
    };
    // The first shell has six atoms, the second twelve, whether one or all of a shell are asked for.
    for (count, expected) in [(1, 6), (6, 6), (7, 18), (18, 18), (19, 26)] {
        let found = edges(count);
        for site in 0..2 {
            assert_eq!(found.edges.iter().filter(|e| e.source == site).count(), expected, "{count}");
        }
    }
    assert!(edges(18).edges.iter().all(|e| !e.own_copy), "translations are the identity's");

    // Sites of unlike surroundings: every edge has all its opposites under the site symmetry.
    let group = SpaceGroup::new(221).unwrap();
    let lattice = cell(group, [3.9; 3]);
    let perovskite = [[0.0; 3], [0.5; 3], [0.5, 0.5, 0.0]];
    let found =
        SymmetricEdges::nearest(&lattice, &operations(group), &perovskite, 7, CopyRule::Distinct).unwrap();
    for e in &found.edges {
        let turned = group.primitive_operations().iter().filter(|op| {
            let image = op.apply(perovskite[e.source as usize]);
            image
                .iter()
                .zip(perovskite[e.source as usize])
                .all(|(a, b)| (a - b - (a - b).round()).abs() < 1e-9)
        });
        for op in turned {
            let rotated: [f64; 3] = std::array::from_fn(|i| {
                (0..3).map(|j| f64::from(op.rotation[i][j]) * e.frac_vector[j]).sum()
            });
            let there = found.edges.iter().filter(|f| {
                (f.source, f.destination) == (e.source, e.destination) && same(f.frac_vector, rotated, 1e-9)
            });
            assert_eq!(there.count(), 1, "{e:?} {op}");
        }
    }
    // On a general position nothing is merged; equals of the last one are more.
    let general = [[0.137, 0.291, 0.418], [0.52, 0.07, 0.733]];
    let each = SymmetricEdges::nearest(&lattice, &operations(group), &general, 30, CopyRule::Each).unwrap();
    let distinct =
        SymmetricEdges::nearest(&lattice, &operations(group), &general, 30, CopyRule::Distinct).unwrap();
    assert!(each.edges.iter().all(|e| distinct.edges.contains(e)));
    assert!((each.edges.len()..each.edges.len() + 12).contains(&distinct.edges.len()));
}
