//! DimeNet++ on small crystals of its own.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice};
use druse_nn::blocks::dimenet::{DimeNetConfig, DimeNetPlusPlus, Readout};
use druse_nn::graph::{EdgeEnds, MessageAngles, MessagePairs, Multigraph};
use druse_nn::{ParamBuilder, ParamSpec, Params, device};

fn small() -> DimeNetConfig {
    DimeNetConfig {
        hidden: 24,
        interaction: 12,
        basis: 4,
        output_embedding: 20,
        blocks: 2,
        num_spherical: 4,
        num_radial: 3,
        ..DimeNetConfig::default()
    }
}

fn build(config: &DimeNetConfig, output: usize) -> (DimeNetPlusPlus, Vec<ParamSpec>) {
    let mut builder = ParamBuilder::default();
    let network = DimeNetPlusPlus::new(&mut builder, "encoder", config, output).unwrap();
    (network, builder.finish())
}

/// Parameters without the zeros that the output blocks start from.
fn params(specs: &[ParamSpec]) -> Params {
    let values: Vec<Vec<f32>> = specs
        .iter()
        .map(|spec| {
            let fan_in = (spec.len() / spec.shape[0]).max(1) as f32;
            (0..spec.len())
                .map(|i| ((i * i % 1009) as f32 + spec.len() as f32).sin() / fan_in.sqrt())
                .collect()
        })
        .collect();
    Params::from_host(specs, &values, &device::cpu())
}

fn host(t: &Tensor<2>) -> Vec<f32> {
    t.to_data().try_into_vec().unwrap()
}

fn cell() -> Lattice {
    Lattice::from_rows([[3.9, 0.2, 0.1], [0.4, 4.3, -0.3], [-0.5, 0.3, 4.8]]).unwrap()
}

fn sites() -> (Vec<Element>, Vec<[f64; 3]>) {
    let species = ["Na", "Cl", "O", "Fe"].map(|s| s.parse().unwrap()).to_vec();
    let frac = vec![[0.05, 0.1, 0.0], [0.52, 0.45, 0.55], [0.1, 0.55, 0.35], [0.7, 0.05, 0.6]];
    (species, frac)
}

/// Edges to the nearest neighbors, as a list.
fn bonds(lattice: &Lattice, frac: &[[f64; 3]]) -> Vec<EdgeEnds> {
    let graph = Multigraph::nearest(&[(*lattice, frac)], 4).unwrap();
    let ends = graph.source.iter().zip(graph.destination.iter()).zip(&graph.image);
    ends.map(|((&i, &j), &t)| (i, j, t)).collect()
}

fn crystal_rows(lattice: &Lattice, species: &[Element], frac: &[[f64; 3]], edges: Vec<EdgeEnds>) -> Vec<f32> {
    let (network, specs) = build(&small(), 5);
    let graph = Arc::new(Multigraph::from_edges(&[(*lattice, frac)], vec![edges]));
    let geometry = network.geometry(graph.clone());
    let atoms = network.forward(&params(&specs), &geometry, species);
    host(&Readout::Mean.apply(atoms, &graph))
}

fn assert_close(a: &[f32], b: &[f32]) {
    let scale = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() < 2e-5 * scale, "{a:?} against {b:?}");
    }
}

#[test]
fn published_sizes_have_the_published_number_of_parameters() {
    let (_, specs) = build(&DimeNetConfig::default(), 256);
    assert_eq!(specs.iter().map(ParamSpec::len).sum::<usize>(), 2_213_510);
    let named = |name: &str| specs.iter().any(|s| s.name == name);
    for name in [
        "encoder.rbf.freq",
        "encoder.emb.emb.weight",
        "encoder.output_blocks.4.lins.2.bias",
        "encoder.interaction_blocks.3.layers_after_skip.1.lin2.weight",
    ] {
        assert!(named(name), "{name}");
    }
}

#[test]
fn a_fresh_network_returns_zero() {
    let (network, specs) = build(&small(), 3);
    let (species, frac) = sites();
    let edges = bonds(&cell(), &frac);
    let graph = Arc::new(Multigraph::from_edges(&[(cell(), frac.as_slice())], vec![edges]));
    let params = Params::init(&specs, 1, &device::cpu());
    let out = network.forward(&params, &network.geometry(graph), &species);
    assert!(host(&out).iter().all(|&x| x == 0.0));
}

#[test]
fn rotation_translation_order_and_choice_of_cell_change_nothing() {
    let (species, frac) = sites();
    let lattice = cell();
    let reference = crystal_rows(&lattice, &species, &frac, bonds(&lattice, &frac));
    assert!(reference.iter().any(|x| x.abs() > 1e-2), "{reference:?}");
    let (sin, cos) = 0.7f64.sin_cos();
    let turned =
        Lattice::from_rows(lattice.rows().map(|[x, y, z]| [cos * x - sin * y, sin * x + cos * y, z]));
    assert_close(&crystal_rows(&turned.unwrap(), &species, &frac, bonds(&lattice, &frac)), &reference);
    let moved: Vec<[f64; 3]> = frac.iter().map(|f| [f[0] + 0.31, f[1] - 0.2, f[2] + 0.77]).collect();
    assert_close(&crystal_rows(&lattice, &species, &moved, bonds(&lattice, &moved)), &reference);
    let order = [2, 0, 3, 1];
    let (species2, frac2): (Vec<_>, Vec<_>) = order.iter().map(|&i| (species[i], frac[i])).unzip();
    assert_close(&crystal_rows(&lattice, &species2, &frac2, bonds(&lattice, &frac2)), &reference);
    // a' = a + b describes the same crystal.
    let [a, b, c] = lattice.rows();
    let sheared = Lattice::from_rows([std::array::from_fn(|i| a[i] + b[i]), b, c]).unwrap();
    let frac3: Vec<[f64; 3]> = frac.iter().map(|f| [f[0], f[1] - f[0], f[2]]).collect();
    assert_close(&crystal_rows(&sheared, &species, &frac3, bonds(&sheared, &frac3)), &reference);
}

#[test]
fn batches_of_crystals_do_not_touch_each_other() {
    let (network, specs) = build(&small(), 5);
    let params = params(&specs);
    let (species, frac) = sites();
    let edges = bonds(&cell(), &frac);
    let alone = crystal_rows(&cell(), &species, &frac, edges.clone());
    let other = [[0.0, 0.0, 0.0]];
    let cube = Lattice::cubic(3.0).unwrap();
    // The second crystal has no bond at all.
    let crystals = [(cell(), frac.as_slice()), (cube, other.as_slice()), (cell(), frac.as_slice())];
    let graph = Arc::new(Multigraph::from_edges(&crystals, vec![edges.clone(), Vec::new(), edges]));
    let all: Vec<Element> = species.iter().chain(&species[..1]).chain(&species).copied().collect();
    let atoms = network.forward(&params, &network.geometry(graph.clone()), &all);
    let rows = host(&Readout::Mean.apply(atoms, &graph));
    assert_close(&rows[..5], &alone);
    assert_close(&rows[10..], &alone);
    assert!(rows.iter().all(|x| x.is_finite()));
}

#[test]
fn crystals_without_any_bond_are_computed_and_differentiated() {
    let (network, specs) = build(&small(), 2);
    let frac = [[0.0, 0.0, 0.0]];
    let graph = Arc::new(Multigraph::from_edges(&[(Lattice::cubic(9.0).unwrap(), &frac)], vec![Vec::new()]));
    let params = params(&specs);
    let tracked = params.tracked();
    let out = network.forward(&tracked, &network.geometry(graph), &sites().0[..1]);
    assert_eq!(out.dims(), [1, 2]);
    let gradients = tracked.gradients(&out.sum());
    assert!(gradients.iter().all(|g| host(g).iter().all(|x| x.is_finite())));
}

#[test]
fn isolated_atoms_count_in_the_mean() {
    let (species, frac) = sites();
    let (network, specs) = build(&small(), 1);
    let params = params(&specs);
    let graph = Arc::new(Multigraph::from_edges(
        &[(cell(), frac.as_slice())],
        vec![vec![(0, 1, [0; 3]), (1, 2, [0; 3])]],
    ));
    let atoms = network.forward(&params, &network.geometry(graph.clone()), &species);
    let sum: f32 = host(&atoms).iter().sum();
    let mean = host(&Readout::Mean.apply(atoms.clone(), &graph))[0];
    assert!((mean - sum / 4.0).abs() < 1e-5);
    assert!((host(&Readout::Sum.apply(atoms, &graph))[0] - sum).abs() < 1e-5);
}

#[test]
fn gradients_agree_with_finite_differences() {
    let (network, specs) = build(&DimeNetConfig { blocks: 1, ..small() }, 2);
    let params = params(&specs);
    let (species, frac) = sites();
    let edges = bonds(&cell(), &frac);
    let graph = Arc::new(Multigraph::from_edges(&[(cell(), frac.as_slice())], vec![edges]));
    let geometry = network.geometry(graph.clone());
    let loss = |params: &Params| {
        let atoms = network.forward(params, &geometry, &species);
        let rows = Readout::Mean.apply(atoms, &graph);
        (rows.clone() * rows).sum()
    };
    let tracked = params.tracked();
    let gradients = tracked.gradients(&loss(&tracked));
    let values = params.to_host();
    let slopes: Vec<Vec<f32>> = gradients.iter().map(host).collect();
    for (i, spec) in specs.iter().enumerate() {
        let largest = slopes[i].iter().fold(0f32, |m, x| m.max(x.abs()));
        let k = slopes[i].iter().position(|x| x.abs() == largest).unwrap();
        if largest < 1e-3 {
            continue;
        }
        let at = |h: f32| {
            let mut moved = values.clone();
            moved[i][k] += h;
            let params = Params::from_host(&specs, &moved, &device::cpu());
            f64::from(loss(&params).into_scalar::<f32>())
        };
        let h = 4e-3;
        let estimate = ((at(h) - at(-h)) / f64::from(2.0 * h)) as f32;
        assert!(
            (estimate - slopes[i][k]).abs() < 0.03 * largest.max(0.02),
            "{}: {} {estimate}",
            spec.name,
            slopes[i][k]
        );
    }
}

#[test]
fn angles_of_messages_are_those_between_their_vectors() {
    let (_, frac) = sites();
    let edges = bonds(&cell(), &frac);
    let graph = Arc::new(Multigraph::from_edges(&[(cell(), frac.as_slice())], vec![edges]));
    let angles = MessageAngles::new(&graph, 2, MessagePairs::OtherAtoms);
    let (ps, qs) = angles.pairs();
    let expected = (0..graph.num_edges())
        .flat_map(|q| (0..graph.num_edges()).map(move |p| (p, q)))
        .filter(|&(p, q)| graph.source[p] == graph.source[q] && graph.destination[p] != graph.destination[q])
        .count();
    assert_eq!(ps.len(), expected);
    let all = MessageAngles::new(&graph, 2, MessagePairs::OtherEdges).pairs().0.len();
    assert_eq!(all, graph.triplets().0.len());
    assert!(all > expected, "the example has periodic images of destinations");
    for (t, y) in angles.of_pairs().chunks(2).enumerate() {
        let (k_to_j, j_to_i) = (graph.reverse[ps[t] as usize] as usize, qs[t] as usize);
        // From i to j, and from j to k: against the direction of the messages.
        let (a, b) = (graph.vectors[j_to_i].map(|x| -x), graph.vectors[k_to_j].map(|x| -x));
        let cosine = (0..3).map(|c| a[c] * b[c]).sum::<f64>() / graph.lengths[k_to_j] / graph.lengths[j_to_i];
        let pi = std::f64::consts::PI;
        assert!((f64::from(y[0]) - (0.25 / pi).sqrt()).abs() < 1e-6);
        assert!((f64::from(y[1]) - (0.75 / pi).sqrt() * cosine).abs() < 1e-6);
    }
}

#[test]
fn impossible_sizes_are_refused_by_name() {
    for (config, key) in [
        (DimeNetConfig { hidden: 0, ..small() }, "hidden"),
        (DimeNetConfig { num_spherical: 0, ..small() }, "num_spherical"),
        (DimeNetConfig { num_radial: 1000, ..small() }, "num_radial"),
        (DimeNetConfig { cutoff: f64::NAN, ..small() }, "cutoff"),
    ] {
        let error = DimeNetPlusPlus::new(&mut ParamBuilder::default(), "e", &config, 1).unwrap_err();
        assert!(error.to_string().starts_with(key), "{error}");
    }
}
