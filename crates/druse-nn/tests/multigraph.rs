//! Invariants of the periodic multigraph.

use std::sync::Arc;

use druse_crystal::Lattice;
use druse_nn::graph::{Angles, Multigraph, TripletFields};
use proptest::prelude::*;

/// What holds for every multigraph; every test calls it on what it built.
fn check(graph: &Multigraph, k: usize) {
    let e = graph.num_edges();
    assert_eq!(graph.source_ptr.len(), graph.num_atoms + 1);
    assert_eq!(*graph.source_ptr.last().unwrap() as usize, e);
    for a in 0..graph.num_atoms {
        assert!(graph.edges_from(a).len() >= k, "every atom has its k nearest neighbors");
        for i in graph.edges_from(a) {
            assert_eq!(graph.source[i] as usize, a);
            let j = graph.destination[i] as usize;
            assert_eq!(graph.crystal_of_atom[a], graph.crystal_of_atom[j], "edges stay within a crystal");
            let r = graph.reverse[i] as usize;
            assert_eq!(graph.reverse[r] as usize, i);
            assert_eq!((graph.source[r] as usize, graph.destination[r] as usize), (j, a));
            assert_eq!(graph.image[r], graph.image[i].map(|t| -t));
            for x in 0..3 {
                assert!((graph.vectors[i][x] + graph.vectors[r][x]).abs() < 1e-12);
            }
            assert!(graph.lengths[i] > 1e-3);
        }
    }
    let keys: Vec<_> = (0..e).map(|i| (graph.source[i], graph.destination[i], graph.image[i])).collect();
    assert!(keys.windows(2).all(|w| w[0] < w[1]), "sorted by source, destination, image, without duplicates");
    let (p, q) = graph.triplets();
    assert_eq!(p.len(), graph.triplets_per_crystal().iter().sum::<usize>());
    assert!(p.iter().zip(&q).all(|(&p, &q)| p != q && graph.source[p as usize] == graph.source[q as usize]));
}

#[test]
fn simple_cubic_has_six_neighbors_and_thirty_pairs() {
    let graph =
        Arc::new(Multigraph::nearest(&[(Lattice::cubic(2.5).unwrap(), &[[0.2, 0.3, 0.4]])], 4).unwrap());
    check(&graph, 4);
    assert_eq!(graph.num_edges(), 6, "ties are included");
    assert_eq!(graph.triplets_per_crystal(), vec![30]);
    assert!(graph.lengths.iter().all(|d| (d - 2.5).abs() < 1e-12));
    let angles = Angles::new(&graph, 2);
    let cosines: Vec<f32> = (0..6)
        .flat_map(|q| (0..6).map(move |p| (q, p)))
        .filter(|(q, p)| q != p)
        .map(|(q, p)| angles.values[(q * 2 + 1) * 6 + p] / (3.0 / (4.0 * std::f32::consts::PI)).sqrt())
        .collect();
    assert_eq!(cosines.iter().filter(|c| (*c + 1.0).abs() < 1e-6).count(), 6, "opposite edges");
    assert_eq!(cosines.iter().filter(|c| c.abs() < 1e-6).count(), 24, "right angles");
    let fields = TripletFields::new(&graph);
    let trace: f32 = fields.length.iter().map(|g| g[0] + g[1] + g[2]).sum();
    assert!((trace - 6.0 * 2.5).abs() < 1e-5, "the trace of a length field is the length");
    assert!(fields.angle.iter().all(|g| (g[0] + g[1] + g[2]).abs() < 1e-6), "scaling changes no angle");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn graphs_of_random_crystals_are_consistent(
        a in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..7),
        b in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 1..5),
        shear in -1.5..1.5f64,
        k in 1usize..20,
    ) {
        let skewed = Lattice::from_rows([[3.0, 0.1, 0.0], [shear * 3.0, 2.5, 0.2], [0.3, -0.4, 4.0]]).unwrap();
        let graph = Multigraph::nearest(&[(skewed, &a), (Lattice::cubic(1.0).unwrap(), &b)], k).unwrap();
        // Coincident atoms are no neighbors of each other, but every atom has enough images.
        check(&graph, k);
        prop_assert_eq!(graph.num_crystals(), 2);
    }
}

#[test]
fn given_edges_are_joined_with_their_reverses() {
    let (a, b) = ([[0.0; 3], [0.5, 0.5, 0.5]], [[0.25, 0.0, 0.0]]);
    let crystals = [(Lattice::cubic(4.0).unwrap(), &a[..]), (Lattice::cubic(3.0).unwrap(), &b[..])];
    // One edge twice, one together with its reverse, one to the atom's own image.
    let edges = vec![
        vec![(0, 1, [0, 0, 0]), (0, 1, [0, 0, 0]), (1, 0, [1, 0, 0]), (0, 1, [-1, 0, 0])],
        vec![(0, 0, [0, 1, 0])],
    ];
    let graph = Multigraph::from_edges(&crystals, edges);
    assert_eq!(&graph.source[..], [0, 0, 1, 1, 2, 2]);
    assert_eq!(&graph.destination[..], [1, 1, 0, 0, 2, 2]);
    assert_eq!(&graph.reverse[..], [3, 2, 1, 0, 5, 4]);
    assert_eq!(graph.image[4..], [[0, -1, 0], [0, 1, 0]]);
    assert_eq!(graph.vectors[0], [-2.0, 2.0, 2.0]);
    assert_eq!(graph.lengths[4], 3.0);
    assert_eq!(graph.source_ptr, [0, 2, 4, 6]);
}
