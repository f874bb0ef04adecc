//! Neighbor lists against the reference counts and distances.

mod common;

use common::assert_close;
use druse_crystal::{k_nearest, within_cutoff};
use druse_testkit::reference::{field, golden, structure};

#[test]
fn counts_and_shortest_distances_match_the_reference() {
    let (Some(structures), Some(reference)) = (golden("structures.jsonl.gz"), golden("neighbours.jsonl.gz"))
    else {
        return;
    };
    assert_eq!(structures.len(), reference.len());
    for (input, want) in structures.iter().zip(&reference) {
        let (s, id) = (structure(input), want["id"].as_str().unwrap());
        assert_eq!(input["id"], want["id"]);
        for cutoff in ["4", "6", "8"] {
            let list =
                within_cutoff(&s.lattice, &s.frac_coords, cutoff.parse::<f64>().unwrap() + 1e-8).unwrap();
            let counts: Vec<usize> = (0..s.len()).map(|i| list.of(i).len()).collect();
            assert_eq!(counts, field::<Vec<usize>>(&want["counts"], cutoff), "{id} at {cutoff} Å");
        }
        let list = k_nearest(&s.lattice, &s.frac_coords, 20).unwrap();
        let mut distances: Vec<f64> = list.of(0).iter().map(|n| n.distance).collect();
        distances.sort_by(f64::total_cmp);
        assert!(distances.len() >= 20 && distances[distances.len() - 1] <= distances[19] + 1e-6, "{id}");
        assert_close(id, &distances[..20], &field::<Vec<f64>>(want, "first_atom_20"), 1e-8);
    }
}
