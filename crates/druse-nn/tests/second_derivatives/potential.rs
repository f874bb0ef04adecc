//! Energies, forces and stresses of a potential, and the gradient of a loss of all three.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use druse_crystal::{Element, Lattice};
use druse_nn::blocks::{ContinuousFilterPotential, ContinuousFilterSizes, GaussianBasis};
use druse_nn::device::cpu;
use druse_nn::graph::Multigraph;
use druse_nn::tangent::{
    Dual, LossGradients, edge_vectors, input_gradients, loss_gradients, strained_edge_vectors,
};
use druse_nn::{ParamBuilder, Params};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::reference::{self, Values};
use super::{compare, derivative, entries};

const SIZES: ContinuousFilterSizes =
    ContinuousFilterSizes { width: 6, interactions: 2, basis: GaussianBasis { count: 8, cutoff: 5.0 } };

/// A crystal as lattice, fractional coordinates and elements.
#[derive(Clone)]
struct Crystal {
    lattice: Lattice,
    frac: Vec<[f64; 3]>,
    species: Vec<Element>,
}

fn crystals() -> Vec<Crystal> {
    let crystal = |rows, frac: &[[f64; 3]], symbols: &[&str]| Crystal {
        lattice: Lattice::from_rows(rows).unwrap(),
        frac: frac.to_vec(),
        species: symbols.iter().map(|s| Element::from_symbol(s).unwrap()).collect(),
    };
    vec![
        crystal(
            [[4.1, 0.3, 0.0], [0.9, 3.8, 0.2], [-0.5, 0.3, 4.4]],
            &[[0.11, 0.23, 0.31], [0.62, 0.57, 0.81], [0.05, 0.71, 0.44]],
            &["Na", "Cl", "O"],
        ),
        crystal(
            [[3.6, 0.0, 0.0], [0.0, 3.7, 0.0], [0.0, 0.0, 3.5]],
            &[[0.4, 0.3, 0.9], [0.87, 0.66, 0.15]],
            &["Na", "O"],
        ),
    ]
}

/// A potential and a batch of crystals.
struct Setup {
    potential: ContinuousFilterPotential,
    params: Params,
    species: Vec<Element>,
    graph: Arc<Multigraph>,
}

fn tensor(data: Vec<f32>, cols: usize) -> Tensor<2> {
    let rows = data.len() / cols;
    Tensor::from_data(TensorData::new(data, [rows, cols]), &cpu())
}

fn host(t: &Tensor<2>) -> Vec<f32> {
    t.to_data().try_into_vec().unwrap()
}

impl Setup {
    fn new(crystals: &[Crystal]) -> Self {
        let cells: Vec<_> = crystals.iter().map(|c| (c.lattice, c.frac.as_slice())).collect();
        Self::of_graph(crystals, Multigraph::nearest(&cells, 12).unwrap())
    }

    fn of_graph(crystals: &[Crystal], graph: Multigraph) -> Self {
        let mut builder = ParamBuilder::default();
        let potential = ContinuousFilterPotential::new(&mut builder, "potential", SIZES);
        let params = Params::init(&builder.finish(), 21, &cpu());
        let species = crystals.iter().flat_map(|c| c.species.clone()).collect();
        Self { potential, params, species, graph: Arc::new(graph) }
    }

    /// No displacements and no strains.
    fn inputs(&self) -> [Tensor<2>; 2] {
        [[self.graph.num_atoms, 3], [self.graph.num_crystals(), 9]].map(|s| Tensor::zeros(s, &cpu()))
    }

    fn energies(&self, params: &Params, [displacements, strains]: [Dual; 2]) -> Dual {
        let vectors = strained_edge_vectors(displacements, strains, &self.graph);
        self.potential.energies(params, vectors, &self.species, &self.graph)
    }

    /// Energies, derivatives by displacements and derivatives by strains.
    fn derivatives(&self, params: &Params) -> [Vec<f32>; 3] {
        let (energies, [by_position, by_strain]) =
            input_gradients(params, self.inputs(), |p, x| self.energies(p, x));
        [host(&energies), host(&by_position), host(&by_strain)]
    }

    fn values(&self) -> Values {
        self.params.to_host().iter().map(|v| v.iter().map(|&x| f64::from(x)).collect()).collect()
    }

    fn params(&self, values: &Values) -> Params {
        let values: Vec<Vec<f32>> = values.iter().map(|v| v.iter().map(|&x| x as f32).collect()).collect();
        Params::from_host(self.params.specs(), &values, &cpu())
    }

    /// Derivatives in double precision, by differences of energies.
    fn reference(&self, values: &Values) -> [Vec<f64>; 3] {
        let zeros = self.inputs().map(|x| vec![0.0; x.shape().num_elements()]);
        let numbers: Vec<u8> = self.species.iter().map(|e| e.z()).collect();
        let energies =
            |x: &[Vec<f64>; 2]| reference::energies(values, SIZES, &numbers, &self.graph, &x[0], &x[1]);
        let [by_position, by_strain] = [0, 1].map(|input| {
            (0..zeros[input].len())
                .map(|k| {
                    derivative(1e-3, |h| {
                        let mut moved = zeros.clone();
                        moved[input][k] += h;
                        energies(&moved).iter().sum()
                    })
                })
                .collect()
        });
        [energies(&zeros), by_position, by_strain]
    }

    /// Targets of energies, forces and derivatives by strain.
    fn targets(&self) -> [Vec<f32>; 3] {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (n, b) = (self.graph.num_atoms, self.graph.num_crystals());
        [b, 3 * n, 9 * b].map(|len| (0..len).map(|_| rng.random_range(-0.4..0.4)).collect())
    }

    fn loss_gradients(&self) -> LossGradients<2> {
        let [energies, forces, strains] = self.targets();
        let square = |x: Tensor<2>| (x.clone() * x).sum();
        loss_gradients(
            &self.params,
            self.inputs(),
            |p, x| self.energies(p, x),
            |e, [g, s]| {
                let energy = square(e - tensor(energies, 1)).mul_scalar(WEIGHTS[0]);
                let force = square(g.neg() - tensor(forces, 3)).mul_scalar(WEIGHTS[1]);
                energy + force + square(s - tensor(strains, 9)).mul_scalar(WEIGHTS[2])
            },
        )
    }

    /// The same loss of given energies and derivatives.
    fn loss<T: Copy + Into<f64>>(&self, [energies, by_position, by_strain]: &[Vec<T>; 3]) -> f64 {
        let [e, f, s] = self.targets();
        let square = |x: &[T], y: &[f32], sign: f64| -> f64 {
            x.iter().zip(y).map(|(&x, &y)| (sign * x.into() - f64::from(y)).powi(2)).sum()
        };
        WEIGHTS[0] * square(energies, &e, 1.0)
            + WEIGHTS[1] * square(by_position, &f, -1.0)
            + WEIGHTS[2] * square(by_strain, &s, 1.0)
    }

    /// Entries of a parameter to test; of embeddings, the elements of the crystals and one that is not there.
    fn entries(&self, parameter: usize, len: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        if parameter > 0 {
            return entries(len, 10, rng);
        }
        let numbers = self.species.iter().map(|e| usize::from(e.z())).chain([50]);
        numbers.flat_map(|z| [(z - 1) * SIZES.width, (z - 1) * SIZES.width + 4]).collect()
    }
}

/// Weights of energies, forces and derivatives by strain in the loss.
const WEIGHTS: [f64; 3] = [0.3, 1.0, 0.05];

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    for (k, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= tolerance * scale, "{what}[{k}]: {x} against {y}, scale {scale}");
    }
}

#[test]
fn forces_and_stresses_against_differences_of_energies() {
    let setup = Setup::new(&crystals());
    let expected = setup.reference(&setup.values());
    let names = ["energies", "derivatives by position", "derivatives by strain"];
    for ((found, expected), name) in setup.derivatives(&setup.params).iter().zip(expected).zip(names) {
        let expected: Vec<f32> = expected.iter().map(|&x| x as f32).collect();
        assert_close(found, &expected, 1e-5, name);
    }
}

/// Differences of energies in double precision, over positions and strains and again over parameters: nothing but the
/// equations of the network is shared with what is tested. Their error is below 1e-7 of the largest gradient, the rest is rounding to 32 bits.
#[test]
fn loss_gradients_against_second_differences_of_energies() {
    let setup = Setup::new(&crystals());
    let found = setup.loss_gradients();
    let values = setup.values();
    let expected = setup.loss(&setup.reference(&values));
    assert!((f64::from(found.loss) - expected).abs() < 1e-5 * expected, "{} {expected}", found.loss);
    let gradients: Vec<Vec<f32>> = found.gradients.iter().map(host).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    compare(
        &setup.params,
        &gradients,
        5e-6,
        |p, len| setup.entries(p, len, &mut rng),
        |p, k| {
            derivative(1e-3, |h| {
                let mut values = values.clone();
                values[p][k] += h;
                setup.loss(&setup.reference(&values))
            })
        },
    );
}

/// Differences of the loss of analytic forces: relative rounding of 1e-6 over a step of 2e-2, with gradients of some tenths of the
/// loss, leaves errors of order 1e-3.
#[test]
fn loss_gradients_against_differences_of_forces() {
    let setup = Setup::new(&crystals());
    let gradients: Vec<Vec<f32>> = setup.loss_gradients().gradients.iter().map(host).collect();
    let values = setup.values();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    compare(
        &setup.params,
        &gradients,
        2e-3,
        |p, len| setup.entries(p, len, &mut rng),
        |p, k| {
            derivative(2e-2, |h| {
                let mut values = values.clone();
                values[p][k] += h;
                setup.loss(&setup.derivatives(&setup.params(&values)))
            })
        },
    );
}

#[test]
fn energies_are_invariant_and_forces_turn_along() {
    let all = crystals();
    let [energies, by_position, _] = Setup::new(&all).derivatives(&Setup::new(&all).params);
    for axis in 0..3 {
        for range in [0..3, 3..5] {
            let sum: f32 = range.map(|a: usize| by_position[3 * a + axis]).sum();
            assert!(sum.abs() < 1e-5, "forces of a crystal add up to nothing: {sum}");
        }
    }
    // A rotation by 0.7 about an axis in space, as rows that vectors are multiplied with from the left.
    let rotation = nalgebra::Rotation3::from_scaled_axis(nalgebra::Vector3::new(0.3, -0.5, 0.4));
    let turn = |v: [f64; 3]| <[f64; 3]>::from(rotation * nalgebra::Vector3::from(v));
    let mut turned = all.clone();
    for c in &mut turned {
        c.lattice = Lattice::from_rows(c.lattice.rows().map(turn)).unwrap();
        c.frac
            .iter_mut()
            .for_each(|f| *f = [f[0] + 0.21, f[1] - 0.4, f[2] + 0.77].map(|x| x.rem_euclid(1.0)));
        c.frac.reverse();
        c.species.reverse();
    }
    turned.reverse();
    let setup = Setup::new(&turned);
    let [found, gradients, _] = setup.derivatives(&setup.params);
    let reversed: Vec<f32> = energies.iter().rev().copied().collect();
    assert_close(&found, &reversed, 2e-5, "energies");
    // Everything was reversed: crystals, and atoms within them.
    let expected: Vec<f32> = by_position
        .chunks_exact(3)
        .rev()
        .flat_map(|g| turn([g[0], g[1], g[2]].map(f64::from)).map(|x| x as f32))
        .collect();
    assert_close(&gradients, &expected, 5e-5, "forces");
    // Alone, and two cells side by side.
    let alone = Setup::new(&all[1..]);
    let [found, ..] = alone.derivatives(&alone.params);
    assert_close(&found, &energies[1..], 1e-6, "company");
    let mut double = all[1].clone();
    let mut rows = double.lattice.rows();
    rows[0] = rows[0].map(|x| 2.0 * x);
    double.lattice = Lattice::from_rows(rows).unwrap();
    double.frac = [0.0, 1.0]
        .iter()
        .flat_map(|n| all[1].frac.iter().map(move |f| [0.5 * (f[0] + n), f[1], f[2]]))
        .collect();
    double.species.extend_from_within(..);
    let setup = Setup::new(&[double]);
    let [found, ..] = setup.derivatives(&setup.params);
    assert_close(&found, &[2.0 * energies[1]], 1e-5, "two cells");
}

/// Fractional coordinates f and cells M as inputs instead of displacements and strains: `∂E/∂f = ∂E/∂u Mᵀ` and, as
/// `M' = M ε'`, `∂E/∂ε = Mᵀ ∂E/∂M`. The same loss has the same gradients.
#[test]
fn fractional_coordinates_and_cells_as_inputs() {
    let crystal = crystals()[..1].to_vec();
    let setup = Setup::new(&crystal);
    let cell: Vec<f32> = crystal[0].lattice.rows().iter().flatten().map(|&x| x as f32).collect();
    let cell = tensor(cell, 9);
    let frac: Vec<f32> = crystal[0].frac.iter().flatten().map(|&x| x as f32).collect();
    let m = cell.clone().reshape([3, 3]);
    let by_cell = |params: &Params, [frac, cells]: [Dual; 2]| {
        let vectors = edge_vectors(frac, cells, &setup.graph);
        setup.potential.energies(params, vectors, &setup.species, &setup.graph)
    };
    let square = |x: Tensor<2>| (x.clone() * x).sum();
    let found = loss_gradients(&setup.params, [tensor(frac, 3), cell], by_cell, |e, [f, c]| {
        square(f) + square(m.clone().transpose().matmul(c.reshape([3, 3]))) + square(e)
    });
    let expected = loss_gradients(
        &setup.params,
        setup.inputs(),
        |p, x| setup.energies(p, x),
        |e, [u, s]| square(u.matmul(m.clone().transpose())) + square(s) + square(e),
    );
    for (found, expected) in found.gradients.iter().zip(&expected.gradients) {
        assert_close(&host(found), &host(expected), 1e-4, "gradients");
    }
}

/// An atom alone has no force, no edge and no slope; its energy still learns.
#[test]
fn crystals_without_edges() {
    let crystal = vec![Crystal {
        frac: vec![[0.0; 3]],
        species: crystals()[0].species[..1].to_vec(),
        ..crystals()[0].clone()
    }];
    let graph = Multigraph::from_edges(&[(crystal[0].lattice, crystal[0].frac.as_slice())], vec![Vec::new()]);
    let setup = Setup::of_graph(&crystal, graph);
    let found = setup.loss_gradients();
    assert!(found.input_gradients.iter().all(|g| host(g).iter().all(|&x| x == 0.0)));
    let gradients: Vec<Vec<f32>> = found.gradients.iter().map(host).collect();
    assert!(gradients.iter().flatten().all(|g| g.is_finite()));
    assert!(gradients[0].iter().any(|&g| g != 0.0), "the embedding");
}
