//! Images of a crystal of 20 atoms, orthorhombic GdFeO3 (Pnma).
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use druse_crystal::Structure;
use druse_data::crystens::{Codec, Consistency, Decoding, Image, space_group};
use druse_testkit::prototypes::crystal;

/// The atoms of a Wyckoff position 8d of Pnma, of which 4a and 4c are special ones.
fn pnma([x, y, z]: [f64; 3]) -> Vec<[f64; 3]> {
    let (u, v, w) = (0.5 - x, 0.5 - y, 0.5 - z);
    let all = [
        [x, y, z],
        [u, -y, z + 0.5],
        [-x, y + 0.5, -z],
        [x + 0.5, v, w],
        [-x, -y, -z],
        [x + 0.5, y, w],
        [x, v, z],
        [u, y + 0.5, z + 0.5],
    ];
    let mut different: Vec<[f64; 3]> = Vec::new();
    for site in all.map(|f| f.map(druse_crystal::wrap_unit)) {
        let near = |a: &[f64; 3]| (0..3).all(|k| ((a[k] - site[k] + 0.5).rem_euclid(1.0) - 0.5).abs() < 1e-6);
        if !different.iter().any(near) {
            different.push(site);
        }
    }
    different
}

fn gadolinium_ferrite() -> Structure {
    let orbits = [
        ("Gd", [0.063, 0.25, 0.984]),
        ("Fe", [0.0, 0.0, 0.5]),
        ("O", [0.467, 0.25, 0.1]),
        ("O", [0.302, 0.05, 0.695]),
    ];
    let sites: Vec<(&str, [f64; 3])> =
        orbits.iter().flat_map(|(symbol, f)| pnma(*f).into_iter().map(|f| (*symbol, f))).collect();
    crystal([5.611, 7.669, 5.349, 90.0, 90.0, 90.0], &sites)
}

fn crystens(c: &mut Criterion) {
    let structure = gadolinium_ferrite();
    assert_eq!((structure.len(), space_group(&structure).expect("a space group")), (20, 62));
    let codec = Codec::default();
    let image = codec.encode(&structure).expect("an image");
    // As a generator gives it: nothing is exact, no slot is zero.
    let noisy: Vec<f64> =
        image.channels_last().iter().enumerate().map(|(i, x)| x + 0.01 * (0.7 * i as f64).sin()).collect();
    let noisy = Image::from_channels_last(&noisy).expect("an image");
    let paper = Codec { decoding: Decoding::paper(), ..codec };
    let mut group = c.benchmark_group("image of 20 atoms");
    group.bench_function("encode + decode, space group known", |b| {
        b.iter(|| codec.decode(&codec.encode_as(black_box(&structure), 62).expect("an image")));
    });
    group.bench_function("encode + decode with the search for the space group", |b| {
        b.iter(|| codec.decode(&codec.encode(black_box(&structure)).expect("an image")));
    });
    group.bench_function("space group alone", |b| b.iter(|| space_group(black_box(&structure))));
    group.bench_function("encode", |b| b.iter(|| codec.encode_as(black_box(&structure), 62)));
    group.bench_function("decode with noise", |b| b.iter(|| codec.decode(black_box(&noisy))));
    group.bench_function("decode with noise, as the paper", |b| b.iter(|| paper.decode(black_box(&noisy))));
    group.bench_function("statistics", |b| b.iter(|| Consistency::of(black_box(&noisy), &codec)));
    group.finish();
}

criterion_group!(benches, crystens);
criterion_main!(benches);
