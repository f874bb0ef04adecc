//! The symmetric multigraph of three distinct sites, for groups of few and of many operations.

use criterion::{Criterion, criterion_group, criterion_main};
use druse_crystal::{LatticeSystem, SpaceGroup};
use druse_nn::graph::{CopyRule, GroupOperations, SymmetricEdges};
use std::hint::black_box;

fn graphs(c: &mut Criterion) {
    let sites = [[0.137, 0.291, 0.418], [0.52, 0.07, 0.733], [0.881, 0.644, 0.295]];
    let special = [[0.0; 3], [0.5; 3], [0.25; 3]];
    for (number, free) in
        [(62, vec![5.1, 6.3, 7.9]), (166, vec![5.1, 12.0]), (194, vec![5.1, 8.0]), (225, vec![6.9])]
    {
        let group = SpaceGroup::new(number).expect("a group");
        let system = LatticeSystem::of_number(number).expect("a group");
        let conventional = system.lattice(&free).expect("a cell");
        let lattice = group.centring().primitive_lattice(&conventional).expect("a cell");
        let operations = GroupOperations::new(group.primitive_operations().to_vec()).expect("a group");
        for (name, sites) in [("general", &sites), ("special", &special)] {
            c.bench_function(&format!("group {number}, three {name} sites, 80 neighbors"), |b| {
                b.iter(|| {
                    SymmetricEdges::nearest(black_box(&lattice), &operations, sites, 80, CopyRule::Each)
                });
            });
        }
    }
}

criterion_group!(benches, graphs);
criterion_main!(benches);
