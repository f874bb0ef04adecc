//! SevenNet-0: energy, forces and stress of 32 crystals at once, and one after the other; loading.
//!
//! The crystals are prototypes with displaced sites, in cells of up to 20 atoms.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::{Structure, within_cutoff};
use druse_potential::SevenNet;
use druse_relax::Potential;

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod common;

fn bench(c: &mut Criterion) {
    let potential = SevenNet::shipped();
    let crystals = common::many(&potential);
    let atoms: usize = crystals.iter().map(Structure::len).sum();
    let edges: usize = crystals
        .iter()
        .map(|c| within_cutoff(&c.lattice, &c.frac_coords, 5.0).map_or(0, |list| list.neighbors.len()))
        .sum();
    let neighbors = edges as f64 / atoms as f64;
    let operations = potential.config().operations(neighbors);
    eprintln!(
        "{} crystals, {atoms} atoms, {edges} edges, {:.1} MFLOP an atom",
        crystals.len(),
        operations * 1e-6
    );
    let mut group = c.benchmark_group("sevennet");
    group.throughput(Throughput::Elements(atoms as u64)).sample_size(20);
    group.bench_function("together", |b| b.iter(|| black_box(potential.evaluate(&crystals))));
    group.bench_function("one by one", |b| {
        b.iter(|| {
            for crystal in &crystals {
                black_box(potential.evaluate(std::slice::from_ref(crystal)));
            }
        });
    });
    group.finish();
    c.bench_function("sevennet/load", |b| b.iter(|| black_box(SevenNet::shipped())));
}

criterion_group!(benches, bench);
criterion_main!(benches);
