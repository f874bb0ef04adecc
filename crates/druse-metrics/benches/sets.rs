//! What grows with the square of the number of structures: coverage and diversity, at 1,000 to 8,000 structures against as
//! many, with vectors as long as CrystalNN fingerprints (61) and Magpie features (132); and all metrics of the `cdvae`
//! protocol from the descriptors of 2,000 against 2,000, with and without intervals.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use druse_crystal::{Element, Lattice, Structure};
use druse_metrics::{
    Benchmark,
    coverage::{CrystalFeatures, Cutoffs, coverage, diversity},
    descriptors::{DescriptorSettings, Descriptors},
    distribution::Bootstrap,
    features::Features,
    generation::{Options, Protocol, evaluate},
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
    for (name, bootstrap) in [("metrics", None), ("metrics with intervals", Some(Bootstrap::default()))] {
        let (a, b) = (descriptors(2000, 0), descriptors(2000, 1));
        let (protocol, options) = (Protocol::cdvae(Benchmark::Mp20), Options { seed: 0, bootstrap });
        group.bench_function(BenchmarkId::new(name, 2000), |bench| {
            bench.iter(|| {
                evaluate(&a, &b, &protocol, &options).expect("sets that are not empty").metrics.len()
            });
        });
    }
    group.finish();
}

/// Descriptors of made-up crystals: two elements each, scattered densities and fingerprints.
fn descriptors(n: usize, seed: u64) -> Vec<Descriptors> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let settings = DescriptorSettings { fingerprint: false, symprec: Some(0.1) };
    let element = |rng: &mut ChaCha8Rng| Element::from_z(rng.random_range(1..90u8)).expect("an element");
    let crystal = |rng: &mut ChaCha8Rng, species| {
        let edges: [f64; 3] = std::array::from_fn(|_| rng.random_range(3.0..6.0));
        let lattice = Lattice::from_parameters([edges[0], edges[1], edges[2], 90.0, 90.0, 90.0]);
        Structure::new(lattice.expect("a cell"), species, vec![[0.0; 3], [0.5; 3]]).expect("a crystal")
    };
    (0..n)
        .map(|_| {
            let species = vec![element(&mut rng), element(&mut rng)];
            let mut d = Descriptors::of(&crystal(&mut rng, species), &settings);
            d.fingerprint = Some(Ok((0..61).map(|_| rng.random_range(0.0..1.0)).collect()));
            d
        })
        .collect()
}

criterion_group!(benches, sets);
criterion_main!(benches);
