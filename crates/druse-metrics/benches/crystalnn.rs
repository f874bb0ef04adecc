//! CrystalNN fingerprints and graphs of structures of the public data sets (reference data in `$DRUSE_SHARED`, else
//! `shared` beside the repository), or of prototypes without them. With the reference data the ratio to the times that
//! pymatgen and matminer took for the same structures on one core is told as well. Throughput is in sites.

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::{Structure, coordination::CrystalNn};
use druse_metrics::fingerprint::crystalnn::fingerprint;
use druse_testkit::prototypes::{cubic, face_centered};
use druse_testkit::reference::{crystal, golden, golden_path, json};

/// Structures of one kind and the seconds that Python took for their fingerprints and graphs.
#[derive(Default)]
struct Set {
    structures: Vec<Structure>,
    python: Option<[f64; 2]>,
}

impl Set {
    fn sites(&self) -> usize {
        self.structures.iter().map(Structure::len).sum()
    }
}

fn prototypes() -> BTreeMap<String, Set> {
    let build = |a, basis: &[_]| cubic(a, &face_centered(basis));
    let half = [0.5, 0.0, 0.0];
    let quarter = [0.25, 0.25, 0.25];
    [
        ("rock salt", build(5.64, &[("Na", [0.0; 3]), ("Cl", half)])),
        ("diamond", build(3.567, &[("C", [0.0; 3]), ("C", quarter)])),
        ("copper", build(3.61, &[("Cu", [0.0; 3])])),
    ]
    .into_iter()
    .map(|(name, s)| (name.to_owned(), Set { structures: vec![s], python: None }))
    .collect()
}

/// The structures of `golden/niggli.jsonl.gz` by data set.
fn public_sets() -> Option<BTreeMap<String, Set>> {
    let (records, timings) = (golden("niggli.jsonl.gz")?, json(&golden_path("timings.json")?));
    let mut sets = BTreeMap::<String, Set>::new();
    for record in &records {
        let id = record["id"].as_str().expect("an id");
        let structure = crystal(&record["canonical"]).expect("a crystal");
        let set = sets.entry(id.split(':').next().unwrap_or_default().to_owned()).or_default();
        set.structures.push(structure);
        let python = &timings["per_structure"][id];
        let [fp, graph] = set.python.get_or_insert([0.0; 2]);
        *fp += python["crystalnn_fingerprint"].as_f64().expect("seconds");
        *graph += python["crystalnn_graph_neighbours"].as_f64().expect("seconds");
    }
    Some(sets)
}

/// Seconds of the fastest of a few passes.
fn fastest(mut pass: impl FnMut()) -> f64 {
    let once = |pass: &mut dyn FnMut()| {
        let start = Instant::now();
        pass();
        start.elapsed().as_secs_f64()
    };
    (0..10).map(|_| once(&mut pass)).fold(f64::INFINITY, f64::min)
}

fn crystalnn(c: &mut Criterion) {
    let sets = public_sets().unwrap_or_else(prototypes);
    let mut group = c.benchmark_group("crystalnn");
    for (name, set) in &sets {
        let fingerprints = || {
            for s in &set.structures {
                let _ = black_box(fingerprint(black_box(s)));
            }
        };
        let graphs = || {
            for s in &set.structures {
                let _ = black_box(CrystalNn::GRAPH.sites(black_box(s)));
            }
        };
        let seconds = [fastest(fingerprints), fastest(graphs)];
        for (what, i) in [("fingerprint", 0), ("graph", 1)] {
            let per_site = 1e6 * seconds[i] / set.sites() as f64;
            let ratio = set
                .python
                .map_or(String::new(), |p| format!(", {:.0} times as fast as Python", p[i] / seconds[i]));
            eprintln!("{name} {what}: {per_site:.2} µs a site{ratio}");
        }
        group.throughput(Throughput::Elements(set.sites() as u64));
        group.bench_function(format!("fingerprint/{name}"), |b| b.iter(fingerprints));
        group.bench_function(format!("graph/{name}"), |b| b.iter(graphs));
    }
    group.finish();
}

criterion_group!(benches, crystalnn);
criterion_main!(benches);
