//! SphereNet's sum over pairs of messages against its published form, with 294 torsion features for every pair; and torsions
//! from the order of neighbors about an axis against the minimum over all of them.

use std::hint::black_box;
use std::sync::Arc;

use burn::tensor::Tensor;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use druse_crystal::Lattice;
use druse_nn::blocks::SphericalBesselBasis;
use druse_nn::device::cpu;
use druse_nn::graph::{Index, MessageHarmonics, Multigraph, TorsionRule, TripletPlaces};
use druse_nn::ops::{self, Activation, matrix};

const DEGREES: usize = 7;
const RADIAL: usize = 6;
const WIDTH: usize = 64;
const BASIS: usize = 8;

/// Perovskite cells with atoms off their ideal places and twelve neighbors each.
fn graph(crystals: usize) -> Arc<Multigraph> {
    let ideal = [[0.0; 3], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    let lattice = Lattice::from_parameters([3.9, 3.9, 7.8, 90.0, 90.0, 90.0]).expect("a cell");
    let all: Vec<Vec<[f64; 3]>> = (0..crystals)
        .map(|k| {
            let atoms = (0..2).flat_map(|n| ideal.map(|f| [f[0], f[1], 0.5 * (f[2] + f64::from(n))]));
            let moved = |(i, f): (usize, [f64; 3])| {
                std::array::from_fn(|x| f[x] + 0.02 * ((7 * i + 3 * x + k) as f64).sin())
            };
            atoms.enumerate().map(moved).collect()
        })
        .collect();
    let cells: Vec<_> = all.iter().map(|f| (lattice, f.as_slice())).collect();
    Arc::new(Multigraph::nearest(&cells, 12).expect("the cells are no flat ones"))
}

fn numbers(rows: usize, cols: usize) -> Tensor<2> {
    let scale = 1.0 / (cols as f32).sqrt();
    matrix((0..rows * cols).map(|i| scale * ((i * i % 1009) as f32).sin()).collect(), cols, &cpu())
}

/// Everything that both forms read.
struct Inputs {
    graph: Arc<Multigraph>,
    harmonics: Arc<MessageHarmonics>,
    radial: Arc<[f32]>,
    tensors: [Tensor<2>; 5],
}

impl Inputs {
    fn new(graph: &Arc<Multigraph>) -> Self {
        let harmonics = MessageHarmonics::new(graph, DEGREES, TorsionRule::Nearest);
        black_box(harmonics.values.len());
        let radial = SphericalBesselBasis::new(DEGREES, RADIAL, 5.0, false).evaluate(&graph.lengths);
        let (angle, torsion) = (DEGREES * RADIAL, DEGREES * DEGREES * RADIAL);
        let shapes =
            [[graph.num_edges(), WIDTH], [BASIS, angle], [WIDTH, BASIS], [BASIS, torsion], [WIDTH, BASIS]];
        Self {
            graph: graph.clone(),
            harmonics: Arc::new(harmonics),
            radial: radial.into(),
            tensors: shapes.map(|[rows, cols]| numbers(rows, cols)),
        }
    }

    /// Tensors that record operations.
    fn tracked(&self) -> [Tensor<2>; 5] {
        self.tensors.clone().map(|t| Tensor::from_inner(t).require_grad())
    }

    fn contracted(&self, [x, w, v, t, u]: [Tensor<2>; 5]) -> Tensor<2> {
        ops::torsion_sum(x, [w, v], [t, u], &self.radial, &self.graph, &self.harmonics)
    }
}

/// The bases of all pairs, as the published form keeps them for all its layers.
struct Bases {
    angle: Tensor<2>,
    torsion: Tensor<2>,
    message: Index,
    target: Index,
}

impl Bases {
    fn new(inputs: &Inputs) -> Self {
        let (ps, qs) = inputs.graph.triplets();
        let harmonics = inputs.harmonics.of_pairs();
        let (columns, count) = (DEGREES * RADIAL, DEGREES * DEGREES);
        let (mut angle, mut torsion) = (Vec::new(), Vec::new());
        for (&p, y) in ps.iter().zip(harmonics.chunks_exact(count)) {
            let b = &inputs.radial[p as usize * columns..][..columns];
            angle.extend((0..columns).map(|i| b[i] * y[(i / RADIAL).pow(2)]));
            let feature = |i: usize| y[i / RADIAL] * b[i / RADIAL % DEGREES * RADIAL + i % RADIAL];
            torsion.extend((0..count * RADIAL).map(feature));
        }
        Self {
            angle: matrix(angle, columns, &cpu()),
            torsion: matrix(torsion, count * RADIAL, &cpu()),
            message: ps.iter().map(|&p| inputs.graph.reverse[p as usize]).collect(),
            target: qs.into(),
        }
    }

    fn sum(&self, [x, w, v, t, u]: [Tensor<2>; 5]) -> Tensor<2> {
        let [edges, _] = x.dims();
        let two = |basis: &Tensor<2>, w, v| {
            let basis =
                if x.device().is_autodiff() { Tensor::from_inner(basis.clone()) } else { basis.clone() };
            ops::dense(ops::dense(basis, w, Activation::Identity), v, Activation::Identity)
        };
        let filters = two(&self.angle, w, v) * two(&self.torsion, t, u);
        ops::scatter_sum(ops::gather(x.clone(), &self.message) * filters, &self.target, edges)
    }
}

/// The torsion of every pair as the minimum over all other neighbors.
fn by_definition(graph: &Multigraph) -> f64 {
    let cross = |a: [f64; 3], b: [f64; 3]| {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    };
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let mut sum = 0.0;
    for atom in 0..graph.num_atoms {
        let vectors = &graph.vectors[graph.edges_from(atom)];
        for (q, &axis) in vectors.iter().enumerate() {
            for p in (0..vectors.len()).filter(|&p| p != q) {
                let own = cross(axis, vectors[p]);
                let torsion = |k: usize| {
                    let other = cross(axis, vectors[k]);
                    let both = cross(own, other);
                    dot(both, both).sqrt().atan2(dot(own, other))
                };
                let others = (0..vectors.len()).filter(|&k| k != q && k != p);
                sum += others.map(torsion).fold(f64::INFINITY, f64::min);
            }
        }
    }
    sum
}

fn sums(c: &mut Criterion) {
    let inputs = Inputs::new(&graph(8));
    let bases = Bases::new(&inputs);
    let pairs = inputs.graph.triplets_per_crystal().iter().sum::<usize>();
    let mut group = c.benchmark_group("torsion_sum");
    group.throughput(Throughput::Elements(pairs as u64));
    group.bench_function("contracted forward", |b| b.iter(|| inputs.contracted(inputs.tensors.clone())));
    group.bench_function("published forward", |b| b.iter(|| bases.sum(inputs.tensors.clone())));
    group.bench_function("contracted with gradients", |b| {
        b.iter(|| inputs.contracted(inputs.tracked()).sum().backward());
    });
    group.bench_function("published with gradients", |b| {
        b.iter(|| bases.sum(inputs.tracked()).sum().backward());
    });
    group.finish();
}

fn angles(c: &mut Criterion) {
    let graph = graph(8);
    let pairs = graph.triplets_per_crystal().iter().sum::<usize>();
    let mut group = c.benchmark_group("torsions");
    group.throughput(Throughput::Elements(pairs as u64));
    group.bench_function("in order", |b| b.iter(|| TripletPlaces::new(&graph, TorsionRule::Nearest)));
    group.bench_function("by definition", |b| b.iter(|| by_definition(&graph)));
    group.bench_function("harmonics", |b| {
        b.iter(|| MessageHarmonics::new(&graph, DEGREES, TorsionRule::Nearest).values.len());
    });
    group.bench_function("bases of pairs", |b| {
        let inputs = Inputs::new(&graph);
        b.iter(|| Bases::new(&inputs));
    });
    group.finish();
}

criterion_group!(benches, sums, angles);
criterion_main!(benches);
