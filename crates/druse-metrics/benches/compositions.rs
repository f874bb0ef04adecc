//! What depends on the composition alone: validity and Magpie features, over all compositions of a data set's worth of
//! formulas. The Python tools take 0.1–0.7 ms (validity, exponential in the number of elements) and 1.3 ms (Magpie) a
//! composition.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::{Composition, Element};
use druse_metrics::{
    fingerprint::magpie,
    validity::{CompositionRule, composition},
};

/// Formulas that span the benchmark sets: valid and invalid, two to seven elements.
const FORMULAS: [&str; 12] = [
    "SrTiO3",
    "LiFePO4",
    "Na4Cl2",
    "KSi4Pd4",
    "Fe3O4",
    "BaP3",
    "CsPbI2Br",
    "TmMgHg2",
    "GaTe",
    "CaBeN3",
    "K4FeC6N6",
    "LiNaKFeMnPO4",
];

fn compositions(c: &mut Criterion) {
    let all: Vec<Composition> = FORMULAS.iter().map(|f| Composition::parse(f).expect("a formula")).collect();
    let mut group = c.benchmark_group("composition");
    group.throughput(Throughput::Elements(all.len() as u64));
    for rule in CompositionRule::ALL {
        group.bench_function(format!("validity {rule:?}"), |b| {
            b.iter(|| all.iter().filter(|c| composition(black_box(c), rule)).count());
        });
    }
    group.bench_function("Magpie", |b| {
        b.iter(|| all.iter().map(|c| magpie::features(black_box(c))[0]).sum::<f64>());
    });
    group.bench_function("Magpie, normalized", |b| {
        b.iter(|| all.iter().map(|c| magpie::scaled(&magpie::features(black_box(c)))[0]).sum::<f64>());
    });
    group.finish();

    // Twenty elements, no neutral choice: the enumeration would not end.
    let many = Composition::from_counts(
        (3..=22u8)
            .map(|z| Element::from_z(z).expect("an element"))
            .filter(|e| ![10, 18].contains(&e.z()))
            .map(|e| (e, 1)),
    );
    c.bench_function("validity of 18 elements", |b| {
        b.iter(|| composition(black_box(&many), CompositionRule::Cdvae));
    });
}

criterion_group!(benches, compositions);
criterion_main!(benches);
