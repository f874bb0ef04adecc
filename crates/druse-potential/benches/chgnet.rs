//! CHGNet: energy, forces, stress and magnetic moments of 32 crystals at once, and one after the other; loading.
//!
//! The crystals are prototypes with displaced sites, in cells of up to 20 atoms.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::Structure;
use druse_potential::CHGNet;
use druse_relax::Potential;

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod common;

fn bench(c: &mut Criterion) {
    let potential = CHGNet::shipped();
    let crystals = common::many(&potential);
    let atoms: usize = crystals.iter().map(Structure::len).sum();
    let details: Vec<_> = crystals.iter().filter_map(|c| potential.details(c).ok()).collect();
    let edges: usize = details.iter().map(|d| d.edges.len()).sum();
    let angles: usize = details.iter().map(|d| d.angles.len()).sum();
    eprintln!("{} crystals, {atoms} atoms, {edges} edges, {angles} angles", crystals.len());
    let mut group = c.benchmark_group("chgnet");
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
    c.bench_function("chgnet/load", |b| b.iter(|| black_box(CHGNet::shipped())));
}

criterion_group!(benches, bench);
criterion_main!(benches);
