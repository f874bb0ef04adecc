//! SevenNet-0: energy, forces and stress of 32 crystals at once, and one after the other; loading.
//!
//! The crystals are prototypes with displaced sites, in cells of up to 20 atoms.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::{Structure, within_cutoff};
use druse_potential::SevenNet;
use druse_relax::Potential;
use druse_testkit::prototypes::prototypes;

#[path = "../tests/common/mod.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod common;

/// 32 crystals of 1 to 20 atoms.
fn crystals(potential: &SevenNet) -> Vec<Structure> {
    let mut all: Vec<Structure> = prototypes().into_iter().map(|(_, crystal)| crystal).collect();
    all.retain(|crystal| crystal.species.iter().all(|&element| potential.knows(element)));
    let larger = all.iter().map(|crystal| {
        let long = if crystal.len() < 5 { [1, 2, 2] } else { [1, 1, 2] };
        common::supercell(crystal, long)
    });
    let larger: Vec<Structure> = larger.collect();
    all.extend(larger);
    let all = all.split_off(all.len().saturating_sub(32));
    (1..).zip(&all).map(|(seed, crystal)| common::rattled(crystal, 0.02, 0.1, seed)).collect()
}

fn bench(c: &mut Criterion) {
    let potential = SevenNet::shipped();
    let crystals = crystals(&potential);
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
