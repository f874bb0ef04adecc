//! Import of `mp_20_bt` train: cold (read, parse, reduce, pack) and warm (from the packed cache).
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, criterion_group, criterion_main};
use druse_data::{Cache, DatasetStats, LoadOptions, StatsOptions, load};

fn source() -> Option<PathBuf> {
    Some(druse_testkit::shared_dir()?.join("data/mp_20_bt/train.csv.gz"))
}

fn import(c: &mut Criterion) {
    let Some(path) = source() else { return };
    let cache = tempfile::tempdir().expect("a temporary folder");
    let options = LoadOptions { cache: Cache::Folder(cache.path().to_owned()), ..LoadOptions::default() };
    let mut group = c.benchmark_group("mp_20_bt train");
    group.sample_size(10);
    group.bench_function("cold", |b| {
        b.iter_with_setup(
            || {
                for file in std::fs::read_dir(cache.path()).expect("the cache folder").flatten() {
                    std::fs::remove_file(file.path()).expect("a cache file to remove");
                }
            },
            |()| black_box(load(&path, &options).expect("the data set")),
        );
    });
    group.bench_function("cold, no reduction, no cache", |b| {
        let raw = LoadOptions { niggli: false, cache: Cache::Off, ..LoadOptions::default() };
        b.iter(|| black_box(load(&path, &raw).expect("the data set")));
    });
    let data = load(&path, &options).expect("the data set");
    group.bench_function("warm", |b| b.iter(|| black_box(load(&path, &options).expect("the data set"))));
    group.bench_function("statistics without symmetry", |b| {
        b.iter(|| black_box(DatasetStats::compute(&data, StatsOptions { symprec: None })));
    });
    group.bench_function("statistics", |b| {
        b.iter(|| black_box(DatasetStats::compute(&data, StatsOptions::default())));
    });
    group.finish();
}

criterion_group!(benches, import);
criterion_main!(benches);
