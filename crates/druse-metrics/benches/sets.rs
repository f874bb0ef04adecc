//! What grows with the square of the number of structures: coverage and diversity, at 1,000 to 8,000 structures against as
//! many, with vectors as long as CrystalNN fingerprints (61) and Magpie features (132).

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use druse_metrics::{
    coverage::{CrystalFeatures, Cutoffs, coverage, diversity},
    features::Features,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn features(n: usize, dim: usize, seed: u64) -> Features {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rows = (0..n).map(|_| (0..dim).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f64>>());
    Features::from_rows(rows).expect("finite rows of equal length")
}

fn crystals(n: usize, seed: u64) -> CrystalFeatures {
    CrystalFeatures { structure: features(n, 61, seed), composition: features(n, 132, seed + 1) }
}

fn sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("sets");
    group.sample_size(10);
    for n in [1000, 2000, 4000, 8000] {
        let (a, b) = (crystals(n, 0), crystals(n, 2));
        group.bench_function(BenchmarkId::new("coverage", n), |bench| {
            bench.iter(|| coverage(&a, &b, n, Cutoffs::adaptive()).expect("comparable sets").recall());
        });
    }
    let a = crystals(1000, 0);
    group.bench_function(BenchmarkId::new("diversity", 1000), |bench| {
        bench.iter(|| diversity(&a.structure).zip(diversity(&a.composition)));
    });
    group.finish();
}

criterion_group!(benches, sets);
criterion_main!(benches);
