//! Edge search, forward pass and gradient of CDVAE's decoder at its published sizes, for atoms at random places.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::{Element, Lattice};
use druse_models::cdvae::{Decoder, DecoderConfig, DecoderInput};
use druse_models::process::Noise;
use druse_nn::device::cpu;
use druse_nn::graph::Multigraph;
use druse_nn::ops::matrix;
use druse_nn::{ParamBuilder, Params};

const LATENT: usize = 256;

/// A cell of 14 Å³ an atom.
fn crystal(atoms: usize) -> (Lattice, Vec<[f64; 3]>) {
    let length = (14.0 * atoms as f64).cbrt();
    let lattice = Lattice::from_parameters([length, 0.9 * length, 1.1 * length, 85.0, 95.0, 105.0]);
    let mut noise = Noise::new(1, atoms as u64);
    let frac = (0..atoms).map(|_| std::array::from_fn(|_| noise.uniform())).collect();
    (lattice.expect("a cell"), frac)
}

fn decoder(c: &mut Criterion) {
    let config = DecoderConfig::published();
    let mut builder = ParamBuilder::default();
    let decoder = Decoder::new(&mut builder, "decoder", &config, LATENT);
    let params = Params::init(&builder.finish(), 1, &cpu());
    let mut group = c.benchmark_group("decoder");
    group.sample_size(20);
    for atoms in [5, 10, 20] {
        let (lattice, frac) = crystal(atoms);
        let species = vec![Element::from_symbol("O").expect("an element"); atoms];
        let search = config.search(lattice);
        let cell = [(lattice, frac.as_slice())];
        let edges = Multigraph::from_edges(&cell, vec![search.edges(&frac)]).num_edges();
        group.throughput(Throughput::Elements(edges as u64));
        let of = |name: &str| BenchmarkId::new(name, format!("{atoms} atoms"));
        group.bench_function(of("edges"), |b| b.iter(|| search.edges(black_box(&frac))));
        let input = || DecoderInput::from_searches(&config, &[(&search, &frac)]);
        group.bench_function(of("graph"), |b| b.iter(&input));
        let forward = |params: &Params| {
            let latent = matrix(vec![0.5; LATENT], LATENT, params.device());
            decoder.forward(params, &input(), &species, decoder.latent_projection(params, latent))
        };
        group.bench_function(of("forward"), |b| b.iter(|| forward(&params).vectors.into_data()));
        group.bench_function(of("gradient"), |b| {
            b.iter(|| {
                let params = params.tracked();
                let output = forward(&params);
                params.gradients(&(output.vectors.sum() + output.logits.sum()))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoder);
criterion_main!(benches);
