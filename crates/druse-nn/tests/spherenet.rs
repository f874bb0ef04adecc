//! SphereNet and its distance-only variant on small crystals of their own.

use std::sync::Arc;

use burn::tensor::Tensor;
use druse_crystal::{Element, Lattice};
use druse_nn::blocks::dimenet::Readout;
use druse_nn::blocks::spherenet::{DistanceNet, DistanceNetConfig, SphereNet, SphereNetConfig};
use druse_nn::graph::{DirectedGraph, EdgeEnds, Multigraph, TorsionRule};
use druse_nn::{ParamBuilder, ParamSpec, Params, device};

fn small() -> SphereNetConfig {
    SphereNetConfig {
        hidden: 20,
        interaction: 12,
        basis_distance: 4,
        basis_angle: 3,
        basis_torsion: 5,
        output_embedding: 18,
        blocks: 2,
        num_spherical: 4,
        num_radial: 3,
        ..SphereNetConfig::default()
    }
}

fn params(specs: &[ParamSpec]) -> Params {
    Params::init(specs, 7, &device::cpu())
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

fn crystal(
    config: &SphereNetConfig,
    lattice: &Lattice,
    species: &[Element],
    frac: &[[f64; 3]],
    edges: Vec<EdgeEnds>,
) -> Vec<f32> {
    let mut builder = ParamBuilder::default();
    let network = SphereNet::new(&mut builder, "encoder", config, 5).unwrap();
    let graph = Arc::new(Multigraph::from_edges(&[(*lattice, frac)], vec![edges]));
    let geometry = network.geometry(graph.clone());
    let atoms = network.forward(&params(&builder.finish()), &geometry, species);
    host(&Readout::Sum.apply(atoms, &graph))
}

fn assert_close(a: &[f32], b: &[f32]) {
    let scale = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() < 2e-5 * scale), "{a:?} against {b:?}");
}

fn differ(a: &[f32], b: &[f32]) -> bool {
    let scale = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    a.iter().zip(b).any(|(x, y)| (x - y).abs() > 1e-4 * scale)
}

#[test]
fn turned_mirrored_and_renumbered_crystals_are_the_same() {
    let (lattice, (species, frac)) = (cell(), sites());
    let edges = bonds(&lattice, &frac);
    let expected = crystal(&small(), &lattice, &species, &frac, edges.clone());
    // Torsions have no sign: a mirror image is the same, too.
    let (s, c) = 0.7f64.sin_cos();
    for sign in [1.0, -1.0] {
        let turned = lattice.rows().map(|[x, y, z]| [c * x - s * y, s * x + c * y, sign * z]);
        let turned = Lattice::from_rows(turned).unwrap();
        assert_close(&crystal(&small(), &turned, &species, &frac, edges.clone()), &expected);
    }
    let order = [2usize, 0, 3, 1];
    let place = |i: u32| order.iter().position(|&o| o == i as usize).unwrap() as u32;
    let renumbered = edges.iter().map(|&(i, j, t)| (place(i), place(j), t)).collect();
    let (species2, frac2): (Vec<Element>, Vec<[f64; 3]>) =
        order.iter().map(|&i| (species[i], frac[i])).unzip();
    assert_close(&crystal(&small(), &lattice, &species2, &frac2, renumbered), &expected);
}

#[test]
fn a_crystal_of_two_cells_adds_up_to_twice_as_much() {
    let (lattice, (species, frac)) = (cell(), sites());
    let expected = crystal(&small(), &lattice, &species, &frac, bonds(&lattice, &frac));
    let mut rows = lattice.rows();
    rows[0] = rows[0].map(|x| 2.0 * x);
    let double = Lattice::from_rows(rows).unwrap();
    let halves = (0..2).flat_map(|n| frac.iter().map(move |f| [(f[0] + f64::from(n)) / 2.0, f[1], f[2]]));
    let frac: Vec<[f64; 3]> = halves.collect();
    let edges = bonds(&double, &frac);
    let found = crystal(&small(), &double, &species.repeat(2), &frac, edges);
    assert_close(&found, &expected.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
}

#[test]
fn outputs_depend_on_torsions() {
    let (lattice, (species, frac)) = (cell(), sites());
    let of = |torsion| {
        let config = SphereNetConfig { torsion, ..small() };
        crystal(&config, &lattice, &species, &frac, bonds(&lattice, &frac))
    };
    assert!(differ(&of(TorsionRule::Nearest), &of(TorsionRule::Zero)));
}

#[test]
fn crystals_do_not_read_each_other() {
    let (lattice, (species, frac)) = (cell(), sites());
    let mut builder = ParamBuilder::default();
    let network = SphereNet::new(&mut builder, "encoder", &small(), 5).unwrap();
    let params = params(&builder.finish());
    let moved: Vec<[f64; 3]> = frac.iter().map(|f| [f[0] + 0.05 * f[1], f[1], f[2]]).collect();
    let of = |crystals: &[&[[f64; 3]]]| {
        let cells: Vec<_> = crystals.iter().map(|&f| (lattice, f)).collect();
        let edges = crystals.iter().map(|f| bonds(&lattice, f)).collect();
        let geometry = network.geometry(Arc::new(Multigraph::from_edges(&cells, edges)));
        host(&network.forward(&params, &geometry, &species.repeat(crystals.len())))
    };
    let together = of(&[&moved, &frac, &moved]);
    assert_eq!(together[20..40], of(&[&frac]));
    assert_eq!(together[..20], together[40..]);
}

#[test]
fn sizes_that_make_no_network_are_named() {
    for (config, text) in [
        (SphereNetConfig { basis_torsion: 0, ..small() }, "basis_torsion = 0, expected 1 to 4096"),
        (SphereNetConfig { num_spherical: 13, ..small() }, "num_spherical = 13, expected 1 to 12"),
        (SphereNetConfig { cutoff: f64::NAN, ..small() }, "cutoff = NaN, expected a positive number"),
    ] {
        let mut builder = ParamBuilder::default();
        assert_eq!(SphereNet::new(&mut builder, "x", &config, 3).unwrap_err().to_string(), text);
    }
    let config = DistanceNetConfig { blocks: 0, ..DistanceNetConfig::default() };
    let error = DistanceNet::new(&mut ParamBuilder::default(), "x", &config).unwrap_err();
    assert_eq!(error.to_string(), "blocks = 0, expected 1 to 64");
}

/// Messages of a chain of three atoms, with and without the edge that leads back.
#[test]
fn distances_alone_decide_and_nothing_comes_straight_back() {
    let config =
        DistanceNetConfig { hidden: 12, interaction: 8, basis: 3, blocks: 1, ..DistanceNetConfig::default() };
    let mut builder = ParamBuilder::default();
    let network = DistanceNet::new(&mut builder, "x", &config).unwrap();
    let params = params(&builder.finish());
    let species: Vec<Element> = ["Na", "Cl", "O"].map(|s| s.parse().unwrap()).to_vec();
    let lattice = Lattice::cubic(20.0).unwrap();
    let of = |frac: [[f64; 3]; 3], edges: &[EdgeEnds]| {
        let graph = Arc::new(DirectedGraph::from_edges(&[(lattice, &frac)], vec![edges.to_vec()]));
        let last = (0..graph.num_edges())
            .find(|&e| (graph.source[e], graph.target[e]) == (1, 2))
            .expect("the edge that is looked at");
        host(&network.forward(&params, &graph, &species))[12 * last..][..12].to_vec()
    };
    // Edges are (target, source, image of the source).
    let chain = [[0.1, 0.1, 0.1], [0.2, 0.1, 0.1], [0.3, 0.1, 0.1]];
    let bent = [[0.1, 0.1, 0.1], [0.2, 0.1, 0.1], [0.2, 0.2, 0.1]];
    let (first, second, back) = ((1, 0, [0; 3]), (2, 1, [0; 3]), (1, 2, [0; 3]));
    let alone = of(chain, &[second]);
    let reached = of(chain, &[first, second]);
    assert!(differ(&alone, &reached));
    assert_close(&of(bent, &[first, second]), &reached);
    assert_eq!(of(chain, &[first, second, back]), reached);
    // The neighbor's image at the other side is another edge, whose message does come in.
    assert!(differ(&of(chain, &[first, second, (1, 2, [1, 0, 0])]), &reached));
}
