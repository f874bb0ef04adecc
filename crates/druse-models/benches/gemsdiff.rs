//! Graph building, a training step and a sampling step of GemsDiff on prototype crystals of 2 to 20 atoms.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_models::gemsdiff::{GemsDiff, GemsDiffConfig};
use druse_models::registry::preset_model;
use druse_models::{Generator, MicroBatchLimit, NoiseKey, SampleRequest, Trainable, differentiate};
use druse_nn::Params;
use druse_nn::device::cpu;
use druse_nn::graph::{Angles, Multigraph, TripletFields};
use druse_nn::optim::{Adam, AdamConfig, Ema};

/// Perovskite blocks of one to four cells with atoms off their ideal places: 5, 10, 15 and 20 atoms.
fn crystals(count: usize) -> Vec<Structure> {
    let species = ["Sr", "Ti", "O", "O", "O"].map(|s| Element::from_symbol(s).expect("an element"));
    let ideal = [[0.0; 3], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    (0..count)
        .map(|k| {
            let cells = 1 + k % 4;
            let lattice = Lattice::from_parameters([3.9, 3.9, 3.9 * cells as f64, 90.0, 90.0, 90.0]);
            let frac = (0..cells)
                .flat_map(|n| ideal.map(|f| [f[0], f[1], (f[2] + n as f64) / cells as f64]))
                .enumerate()
                .map(|(i, f)| std::array::from_fn(|x| f[x] + 0.02 * ((7 * i + 3 * x + k) as f64).sin()))
                .collect();
            let species = species.repeat(cells);
            Structure::new(lattice.expect("a cell"), species, frac).expect("a crystal")
        })
        .collect()
}

fn graph(c: &mut Criterion) {
    let all = crystals(32);
    let cube = Lattice::cubic(1.0).expect("a cell");
    let cells: Vec<_> = all.iter().map(|s| (cube, s.frac_coords.as_slice())).collect();
    let mut group = c.benchmark_group("graph");
    group.throughput(Throughput::Elements(cells.len() as u64));
    group.bench_function("multigraph k=32", |b| {
        b.iter(|| Multigraph::nearest(black_box(&cells), 32).unwrap())
    });
    let graph = Arc::new(Multigraph::nearest(&cells, 32).unwrap());
    group.bench_function("angles, 7 degrees", |b| b.iter(|| black_box(Angles::new(&graph, 7).values.len())));
    group.bench_function("vector fields", |b| b.iter(|| black_box(TripletFields::new(&graph).length.len())));
    group.finish();
}

fn preset(size: &'static str) -> (&'static str, GemsDiffConfig) {
    (size, preset_model(&format!("gemsdiff-{size}")).expect("a preset"))
}

fn network(c: &mut Criterion) {
    let all = crystals(32);
    let refs: Vec<&Structure> = all.iter().collect();
    for (name, config) in ["small", "paper"].map(preset) {
        let mut model = GemsDiff::new(config).expect("a preset is valid");
        model.fit_statistics(&refs).expect("known elements");
        let mut params = Params::init(model.parameters(), 1, &cpu());
        let mut adam = Adam::new(&params, AdamConfig::default());
        let mut ema = Ema::new(&params, 0.995);
        let keys: Vec<_> = (0..32).map(|index| NoiseKey { seed: 1, epoch: 0, index }).collect();
        let mut group = c.benchmark_group(name);
        group.sample_size(10).throughput(Throughput::Elements(refs.len() as u64));
        group.bench_function("training step", |b| {
            b.iter(|| {
                let mut gradient = differentiate(&model, &params, &refs, &keys).expect("a finite step");
                gradient.clip(1.0);
                adam.step(&mut params, &gradient.grads, 1e-4);
                ema.update(&params);
            });
        });
        let requests: Vec<_> = (0u64..)
            .zip(&all)
            .map(|(index, s)| SampleRequest::new(Composition::from_species(&s.species).into(), 1, index))
            .collect();
        let params = ema.params();
        group.bench_function("sampling step", |b| {
            let limit = MicroBatchLimit::for_device(params.device());
            let start = || {
                let mut sampler = model.sampler(params, &limit);
                for request in &requests {
                    sampler.add(request.index, request).expect("compositions are served");
                }
                sampler
            };
            b.iter_batched(start, |mut sampler| sampler.step(), criterion::BatchSize::LargeInput);
        });
        group.finish();
    }
}

criterion_group!(benches, graph, network);
criterion_main!(benches);
