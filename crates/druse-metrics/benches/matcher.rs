//! Structure matching and novelty.
//!
//! With the shared reference data (`$DRUSE_SHARED`, else `shared` beside the repository): all reference pairs, from
//! parsed structures to verdicts on one core, with the ratio to the times of the Python tools printed beside; and
//! uniqueness and novelty over whole data sets on all cores. Without it: prototypes only.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{
    BenchmarkGroup, Criterion as Bench, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use druse_crystal::{
    Element, Lattice, Structure,
    formats::{Format, read_str},
    wrap_unit,
};
use druse_metrics::{
    matcher::{PreparedStructure, StructureMatcher},
    novelty::novelty,
};
use druse_testkit::prototype;
use druse_testkit::reference::{golden, golden_path, json, read_text, shared_dir};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde_json::Value;

fn side(s: &Value) -> Option<Structure> {
    let lattice: [[f64; 3]; 3] = serde_json::from_value(s["lattice"].clone()).ok()?;
    let species: Vec<String> = serde_json::from_value(s["species"].clone()).ok()?;
    let species = species.iter().map(|e| Element::from_symbol(e).ok()).collect::<Option<Vec<_>>>()?;
    let coords = serde_json::from_value(s["frac_coords"].clone()).ok()?;
    Structure::new(Lattice::from_rows(lattice).ok()?, species, coords).ok()
}

type Pair = (String, Structure, Structure);

/// The reference pairs with their names.
fn pairs() -> Option<Vec<Pair>> {
    golden("match_pairs.jsonl.gz")?
        .iter()
        .map(|record| Some((record["pair"].as_str()?.to_owned(), side(&record["s1"])?, side(&record["s2"])?)))
        .collect()
}

/// Seconds that the Python tool took for these pairs.
fn python_seconds(pairs: &[Pair], key: &str) -> Option<f64> {
    let timings = json(&golden_path("timings.json")?);
    pairs.iter().map(|(name, ..)| timings["per_pair"][name][key].as_f64()).sum()
}

fn time<T>(f: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(f());
    start.elapsed()
}

fn reference_pairs(c: &mut Bench) {
    let Some(pairs) = pairs() else { return };
    let cases = [
        ("cdvae_get_rms_dist", StructureMatcher::CDVAE, true),
        ("cdvae_fit", StructureMatcher::CDVAE, false),
        ("default_get_rms_dist", StructureMatcher::default(), true),
        ("default_fit", StructureMatcher::default(), false),
    ];
    let mut group = c.benchmark_group("reference_pairs");
    group.throughput(Throughput::Elements(pairs.len() as u64)).sample_size(10);
    for (name, matcher, rms) in cases {
        let matches = |(_, a, b): &&Pair| {
            let (a, b) = (matcher.prepare(a), matcher.prepare(b));
            if rms { matcher.rms(&a, &b).is_some() } else { matcher.fit(&a, &b) }
        };
        let all = || pairs.iter().filter(matches).count();
        let best = (0..5).map(|_| time(all)).min().unwrap_or_default().as_secs_f64();
        if let Some(python) = python_seconds(&pairs, name) {
            let per_pair = best / pairs.len() as f64 * 1e6;
            eprintln!("{name}: {per_pair:.1} µs a pair, {:.0} times as fast as Python", python / best);
        }
        group.bench_function(name, |b| b.iter(all));
    }
    let structures: Vec<&Structure> = pairs.iter().flat_map(|(_, a, b)| [a, b]).collect();
    group.throughput(Throughput::Elements(structures.len() as u64));
    let matcher = StructureMatcher::CDVAE;
    group.bench_function("prepare", |b| {
        b.iter(|| {
            structures.iter().map(|s| matcher.prepare(s).structure().map_or(0, Structure::len)).sum::<usize>()
        });
    });
    group.finish();
}

/// The structures of splits of a data set.
fn structures(set: &str, splits: &[&str]) -> Option<Vec<Structure>> {
    let shared = shared_dir()?;
    let mut all = Vec::new();
    for split in splits {
        let text = read_text(&shared.join(format!("data/{set}/{split}.csv.gz")));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let column = reader.headers().ok()?.iter().position(|h| h == "cif")?;
        let cifs: Vec<String> =
            reader.records().map(|r| Some(r.ok()?.get(column)?.to_owned())).collect::<Option<_>>()?;
        let read = |cif: &String| Some(read_str(cif, Format::Cif).ok()?.into_iter().next()?.structure);
        all.extend(cifs.par_iter().map(read).collect::<Option<Vec<_>>>()?);
    }
    Some(all)
}

fn prepare(all: &[Structure]) -> Vec<PreparedStructure> {
    all.par_iter().map(|s| StructureMatcher::default().prepare(s)).collect()
}

/// Times uniqueness and novelty from parsed structures on all cores, and prints what came out.
fn whole_set(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    generated: &[Structure],
    training: &[Structure],
) {
    let run = || novelty(&StructureMatcher::default(), &prepare(generated), Some(&prepare(training)));
    let start = Instant::now();
    let n = run();
    let count = |flags: Option<Vec<bool>>| flags.unwrap_or_default().into_iter().filter(|&x| x).count();
    eprintln!(
        "{name}: {} against {} in {:.2} s: {} unique, {} novel, {} both, {} unfinished",
        n.component.len(),
        training.len(),
        start.elapsed().as_secs_f64(),
        n.num_components(),
        count(n.novel()),
        count(n.novel_components()),
        n.unfinished.len()
    );
    group.throughput(Throughput::Elements(generated.len() as u64));
    group.bench_function(name, |b| b.iter(|| run().num_components()));
}

fn whole_sets(c: &mut Bench) {
    let mut group = c.benchmark_group("novelty");
    group.sample_size(10);
    let mut all = Vec::new();
    for set in ["perov_5", "mp_20_bt", "mpts_52", "carbon_24"] {
        let (Some(held_out), Some(training)) =
            (structures(set, &["val", "test"]), structures(set, &["train"]))
        else {
            return;
        };
        whole_set(&mut group, set, &held_out, &training);
        all.extend(training);
        all.extend(held_out);
    }
    // As many as a large evaluation has, of all sets together: displaced copies of every third structure against
    // all of them and other copies.
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut copies = |step: usize, count: usize, noise: f64| -> Vec<Structure> {
        all.iter().rev().step_by(step).take(count).map(|s| displaced(s, noise, &mut rng)).collect()
    };
    let generated = copies(3, 10_000, 0.1);
    let more = copies(2, 45_000 - all.len(), 0.2);
    all.extend(more);
    whole_set(&mut group, "10k_against_45k", &generated, &all);
    group.finish();
}

/// A copy with each atom displaced within ±`noise` Å along each axis.
fn displaced(s: &Structure, noise: f64, rng: &mut ChaCha8Rng) -> Structure {
    let mut copy = s.clone();
    for f in &mut copy.frac_coords {
        let step = s.lattice.to_fractional([(); 3].map(|()| rng.random_range(-noise..noise)));
        *f = std::array::from_fn(|k| wrap_unit(f[k] + step[k]));
    }
    copy
}

/// Rock salt, and rock salt with displaced atoms in a doubled cell.
fn rock_salt() -> Option<(Structure, Structure)> {
    let ideal = prototype("NaCl");
    let mut coords = Vec::new();
    for i in 0..8u8 {
        let at = [i & 1, i >> 1 & 1, i >> 2].map(f64::from);
        coords.push(at.map(|x| 0.5 * x + 0.002 * f64::from(i)));
        coords.push(at.map(|x| 0.5 * x + 0.25));
    }
    let doubled = Lattice::from_matrix(ideal.lattice.matrix() * 2.0).ok()?;
    let displaced = Structure::new(doubled, ideal.species.repeat(8), coords).ok()?;
    Some((ideal, displaced))
}

fn prototypes(c: &mut Bench) {
    let Some((ideal, displaced)) = rock_salt() else { return };
    let matcher = StructureMatcher::CDVAE;
    let mut group = c.benchmark_group("prototypes");
    group.bench_function("prepare_16_sites", |b| {
        b.iter(|| matcher.prepare(black_box(&displaced)).structure().map_or(0, Structure::len))
    });
    let [p, q] = [&ideal, &displaced].map(|s| matcher.prepare(s));
    group.bench_function("rock_salt_rms", |b| b.iter(|| matcher.rms(black_box(&p), black_box(&q))));
    group.finish();
}

criterion_group!(benches, prototypes, reference_pairs, whole_sets);
criterion_main!(benches);
