//! What forces and losses of forces cost beside energies: a potential of three interactions on 1,000 atoms of crystals of 20
//! atoms, in micro-batches of two crystals and as one batch.

use std::hint::black_box;
use std::sync::Arc;

use burn::tensor::Tensor;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::{Element, Lattice};
use druse_nn::blocks::{ContinuousFilterPotential, ContinuousFilterSizes, GaussianBasis};
use druse_nn::device::cpu;
use druse_nn::graph::Multigraph;
use druse_nn::tangent::{Dual, input_gradients, loss_gradients, strained_edge_vectors};
use druse_nn::{ParamBuilder, Params};

const CRYSTALS: usize = 50;
const ATOMS: usize = 20;

/// Some crystals: elements and graph of 24 neighbors.
struct MicroBatch {
    species: Vec<Element>,
    graph: Arc<Multigraph>,
}

/// Perovskite blocks of four cells with atoms off their ideal places.
fn micro_batches(crystals_each: usize) -> Vec<MicroBatch> {
    let species = ["Sr", "Ti", "O", "O", "O"].map(|s| Element::from_symbol(s).expect("an element"));
    let ideal = [[0.0; 3], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    let lattice = Lattice::from_parameters([3.9, 3.9, 15.6, 90.0, 90.0, 90.0]).expect("a cell");
    let all: Vec<Vec<[f64; 3]>> = (0..CRYSTALS)
        .map(|k| {
            let atoms = (0..4).flat_map(|n| ideal.map(|f| [f[0], f[1], 0.25 * (f[2] + n as f64)]));
            let moved = |(i, f): (usize, [f64; 3])| {
                std::array::from_fn(|x| f[x] + 0.02 * ((7 * i + 3 * x + k) as f64).sin())
            };
            atoms.enumerate().map(moved).collect()
        })
        .collect();
    all.chunks(crystals_each)
        .map(|frac| {
            let cells: Vec<_> = frac.iter().map(|f| (lattice, f.as_slice())).collect();
            let graph = Arc::new(Multigraph::nearest(&cells, 24).unwrap());
            MicroBatch { species: species.repeat(4 * frac.len()), graph }
        })
        .collect()
}

impl MicroBatch {
    fn inputs(&self) -> [Tensor<2>; 2] {
        [[self.graph.num_atoms, 3], [self.graph.num_crystals(), 9]].map(|s| Tensor::zeros(s, &cpu()))
    }

    fn energies(
        &self,
        potential: &ContinuousFilterPotential,
        params: &Params,
        [displacements, strains]: [Dual; 2],
    ) -> Dual {
        let vectors = strained_edge_vectors(displacements, strains, &self.graph);
        potential.energies(params, vectors, &self.species, &self.graph)
    }
}

fn square(x: Tensor<2>) -> Tensor<1> {
    (x.clone() * x).sum()
}

fn costs(c: &mut Criterion) {
    for width in [64, 128] {
        let basis = GaussianBasis { count: 32, cutoff: 6.0 };
        let sizes = ContinuousFilterSizes { width, interactions: 3, basis };
        let mut builder = ParamBuilder::default();
        let potential = ContinuousFilterPotential::new(&mut builder, "potential", sizes);
        let params = Params::init(&builder.finish(), 1, &cpu());
        for crystals in [2, CRYSTALS] {
            let all = micro_batches(crystals);
            let edges: usize = all.iter().map(|m| m.graph.num_edges()).sum();
            let group = format!("width {width}, {edges} edges, {} atoms at a time", ATOMS * crystals);
            let mut group = c.benchmark_group(group);
            group.sample_size(10).throughput(Throughput::Elements((CRYSTALS * ATOMS) as u64));
            let mut bench = |name: &str, work: &dyn Fn(&MicroBatch)| {
                group.bench_function(BenchmarkId::from_parameter(name), |b| {
                    b.iter(|| all.iter().for_each(work))
                });
            };
            bench("energies", &|m| {
                let energies = m.energies(&potential, &params, m.inputs().map(Dual::constant));
                black_box(energies.value.into_data());
            });
            bench("energies and forces", &|m| {
                let (_, gradients) =
                    input_gradients(&params, m.inputs(), |p, x| m.energies(&potential, p, x));
                black_box(gradients.map(Tensor::into_data));
            });
            bench("gradients of a loss of energies", &|m| {
                let tracked = params.tracked();
                let energies = m.energies(&potential, &tracked, m.inputs().map(Dual::constant));
                black_box(tracked.gradients(&square(energies.value)));
            });
            bench("gradients of a loss of energies, forces and stresses", &|m| {
                let found = loss_gradients(
                    &params,
                    m.inputs(),
                    |p, x| m.energies(&potential, p, x),
                    |e, [f, s]| square(e) + square(f) + square(s),
                );
                black_box(found.gradients);
            });
            group.finish();
        }
    }
}

criterion_group!(benches, costs);
criterion_main!(benches);
