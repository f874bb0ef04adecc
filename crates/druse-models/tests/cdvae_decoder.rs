//! Properties of CDVAE's decoder: symmetries, gradients, what does not depend on what.

use burn::tensor::{Tensor, TensorData};
use druse_crystal::{Element, Lattice};
use druse_models::cdvae::{CdvaeConfig, Decoder, DecoderConfig, DecoderInput};
use druse_models::registry::preset_model;
use druse_nn::blocks::ScaleFactors;
use druse_nn::device::cpu;
use druse_nn::graph::Symmetrization;
use druse_nn::{ParamBuilder, ParamSpec, Params};
use nalgebra::{Matrix3, Rotation3, Vector3};
use proptest::prelude::*;

const LATENT: usize = 6;

fn small() -> DecoderConfig {
    preset_model::<CdvaeConfig>("cdvae-small").unwrap().decoder
}

fn tiny(symmetrization: Symmetrization) -> DecoderConfig {
    DecoderConfig {
        hidden: 24,
        triplet: 8,
        basis: 8,
        bilinear: 12,
        num_radial: 24,
        num_spherical: 4,
        blocks: 2,
        neighbors: 9,
        symmetrization,
        scale_factors: ScaleFactors {
            triplet_radial: vec![3.0, 2.5],
            triplet_sum: vec![2.0, 1.8],
            atom_sum: vec![1.2, 0.9],
            edge_head: vec![4.0, 3.0, 2.5],
        },
        ..DecoderConfig::published()
    }
}

struct Network {
    config: DecoderConfig,
    decoder: Decoder,
    specs: Vec<ParamSpec>,
    params: Params,
}

/// A crystal and the first entry of its latent.
type Crystal<'a> = (Lattice, &'a [Element], &'a [[f64; 3]], f32);

fn host(t: Tensor<2>) -> Vec<f32> {
    t.to_data().try_into_vec::<f32>().unwrap()
}

fn latents(first: impl IntoIterator<Item = f32>) -> Tensor<2> {
    let rows: Vec<f32> =
        first.into_iter().flat_map(|x| (0..LATENT).map(move |k| (x + 0.7 * k as f32).sin())).collect();
    let count = rows.len() / LATENT;
    Tensor::from_data(TensorData::new(rows, [count, LATENT]), &cpu())
}

impl Network {
    fn new(config: DecoderConfig) -> Self {
        config.validate().unwrap();
        let mut builder = ParamBuilder::default();
        let decoder = Decoder::new(&mut builder, "decoder", &config, LATENT);
        let specs = builder.finish();
        let params = Params::init(&specs, 9, &cpu());
        Self { config, decoder, specs, params }
    }

    /// Vectors and logits of all atoms.
    fn evaluate(&self, crystals: &[Crystal<'_>]) -> (Vec<f32>, Vec<f32>) {
        let cells: Vec<_> = crystals.iter().map(|&(lattice, _, frac, _)| (lattice, frac)).collect();
        let input = DecoderInput::new(&self.config, &cells);
        let species: Vec<Element> = crystals.iter().flat_map(|c| c.1.to_vec()).collect();
        let latents = latents(crystals.iter().map(|c| c.3));
        let projection = self.decoder.latent_projection(&self.params, latents);
        let output = self.decoder.forward(&self.params, &input, &species, projection);
        (host(output.vectors), host(output.logits))
    }
}

fn close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    let scale = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() < 2e-4 * scale, "{what}: {a:?} {b:?}");
    }
}

fn perovskite() -> (Lattice, [Element; 5], [[f64; 3]; 5]) {
    let lattice = Lattice::from_rows([[4.1, 0.1, 0.0], [0.2, 3.9, 0.1], [-0.1, 0.3, 4.2]]).unwrap();
    let species = ["Sr", "Ti", "O", "O", "O"].map(|s| Element::from_symbol(s).unwrap());
    let frac = [
        [0.012, 0.023, 0.981],
        [0.513, 0.487, 0.532],
        [0.471, 0.552, 0.043],
        [0.538, 0.031, 0.466],
        [0.983, 0.474, 0.521],
    ];
    (lattice, species, frac)
}

#[test]
fn published_sizes() {
    let count = |config: &DecoderConfig, latent| {
        let mut builder = ParamBuilder::default();
        Decoder::new(&mut builder, "decoder", config, latent);
        builder.finish().iter().map(ParamSpec::len).sum::<usize>()
    };
    // 2,345,188 less the energy branch of four output blocks, on which no output depends.
    let unused = 4 * (128 * 16 + 7 * 128 * 128 + 128);
    assert_eq!(count(&DecoderConfig::published(), 256), 2_345_188 - unused);
    assert!(4 * count(&small(), 64) < 4_000_000, "the small preset fits the repository");
}

#[test]
fn impossible_configurations_are_named() {
    assert!(small().validate().is_ok());
    let message = |config: DecoderConfig| config.validate().unwrap_err().to_string();
    let published = DecoderConfig::published;
    assert!(message(DecoderConfig { neighbors: 0, ..published() }).contains("decoder.neighbors = 0"));
    assert!(message(DecoderConfig { cutoff: f64::NAN, ..published() }).contains("decoder.cutoff = NaN"));
    assert!(message(DecoderConfig { num_spherical: 8, ..published() }).contains("expected 1 to 7"));
    let message = message(DecoderConfig { blocks: 2, ..published() });
    assert!(message.contains("scale_factors: triplet_radial has 3 factors, expected 2"), "{message}");
}

#[test]
fn vectors_turn_with_the_crystal() {
    let (lattice, species, frac) = perovskite();
    for symmetrization in [Symmetrization::ByIndex, Symmetrization::Union] {
        let network = Network::new(tiny(symmetrization));
        let (vectors, logits) = network.evaluate(&[(lattice, &species, &frac, 0.3)]);
        assert!(vectors.iter().any(|v| v.abs() > 1e-2), "the vectors are not trivially zero: {vectors:?}");
        let turn = Rotation3::from_axis_angle(&Vector3::x_axis(), 0.9).into_inner()
            * Matrix3::from_diagonal(&Vector3::new(1.0, 1.0, -1.0));
        let turned = Lattice::from_matrix(lattice.matrix() * turn).unwrap();
        let (others, same) = network.evaluate(&[(turned, &species, &frac, 0.3)]);
        let expected = vectors.chunks_exact(3).flat_map(|v| {
            let v = Vector3::new(v[0], v[1], v[2]).map(f64::from).transpose() * turn;
            [v[0] as f32, v[1] as f32, v[2] as f32]
        });
        close(&others, &expected.collect::<Vec<_>>(), "rotoreflection, vectors");
        close(&same, &logits, "rotoreflection, logits");
    }
}

#[test]
fn a_crystal_does_not_depend_on_its_neighbors_in_the_batch() {
    let (lattice, species, frac) = perovskite();
    let network = Network::new(tiny(Symmetrization::ByIndex));
    let cube = Lattice::cubic(3.0).unwrap();
    let iron = [Element::from_symbol("Fe").unwrap()];
    let first: Crystal<'_> = (lattice, &species, &frac, 0.3);
    let second: Crystal<'_> = (cube, &iron, &[[0.2, 0.4, 0.9]], -0.8);
    let (vectors, logits) = network.evaluate(&[first, second]);
    let (a, b) = (network.evaluate(&[first]), network.evaluate(&[second]));
    assert_eq!(vectors, [a.0.clone(), b.0].concat());
    assert_eq!(logits, [a.1, b.1].concat());
    let other = network.evaluate(&[(lattice, &species, &frac, 0.4)]);
    assert_ne!(a.0, other.0, "the latent matters");

    // Searches that are prepared for a cell find the same.
    let search = network.config.search(lattice);
    let input = DecoderInput::from_searches(&network.config, &[(&search, &frac)]);
    let projection = network.decoder.latent_projection(&network.params, latents([0.3]));
    let output = network.decoder.forward(&network.params, &input, &species, projection);
    assert_eq!(host(output.vectors), a.0);
}

#[test]
fn atoms_without_neighbors_do_not_move() {
    let network = Network::new(tiny(Symmetrization::ByIndex));
    let iron = Element::from_symbol("Fe").unwrap();
    let wide = Lattice::cubic(25.0).unwrap();
    let (vectors, logits) = network.evaluate(&[(wide, &[iron], &[[0.5; 3]], 0.1)]);
    assert_eq!(vectors, [0.0; 3]);
    assert!(logits.iter().all(|x| x.is_finite()));
    let frac = [[0.5; 3], [0.1, 0.1, 0.1], [0.1, 0.1, 0.2]];
    let (vectors, _) = network.evaluate(&[(wide, &[iron; 3], &frac, 0.1)]);
    assert_eq!(vectors[..3], [0.0; 3]);
    assert!(vectors[5].abs() > 1e-4 && (vectors[5] + vectors[8]).abs() < 1e-5, "{vectors:?}");
}

#[test]
fn gradients_agree_with_finite_differences() {
    let network = Network::new(tiny(Symmetrization::Union));
    let (lattice, species, frac) = perovskite();
    let input =
        DecoderInput::new(&network.config, &[(lattice, &frac), (Lattice::cubic(4.5).unwrap(), &frac)]);
    let species = [species, species].concat();
    let latent = host(latents([0.3, -0.8]));
    let objective = |params: &Params, latent: Tensor<2>| {
        let projection = network.decoder.latent_projection(params, latent);
        let output = network.decoder.forward(params, &input, &species, projection);
        let weigh = |t: Tensor<2>, step: usize| {
            let [rows, cols] = t.dims();
            let w = (0..rows * cols).map(|i| ((i * step % 17) as f32 - 8.0) / 8.0).collect();
            (t * druse_nn::ops::matrix(w, cols, params.device())).sum()
        };
        weigh(output.vectors, 5) + weigh(output.logits, 37).mul_scalar(0.1)
    };
    let value = |params: &Params, latent: &[f32]| {
        let latent = druse_nn::ops::matrix(latent.to_vec(), LATENT, params.device());
        f64::from(objective(params, latent).into_scalar::<f32>())
    };
    let tracked = network.params.tracked();
    let latent_tensor = druse_nn::ops::matrix(latent.clone(), LATENT, tracked.device()).require_grad();
    let loss = objective(&tracked, latent_tensor.clone());
    let grads = loss.backward();
    let of_latent = latent_tensor.grad(&grads).unwrap();
    let of_value = |v: &Tensor<2>| host(v.grad(&grads).expect("the outputs depend on every parameter"));
    let grads: Vec<Vec<f32>> = tracked.values().iter().map(of_value).collect();
    let check = |name: &str, slope: f32, at: &dyn Fn(f32) -> f64| {
        let h = 4e-3f32;
        let estimate = (at(h) - at(-h)) / f64::from(2.0 * h);
        let error = (estimate - f64::from(slope)).abs();
        assert!(error < 0.03 * f64::from(slope.abs()) + 2e-3, "{name}: {slope} against {estimate}");
    };
    for (i, (spec, grad)) in network.specs.iter().zip(&grads).enumerate() {
        let (k, &slope) = grad.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
        assert!(slope.abs() > 1e-4, "the outputs depend on {}", spec.name);
        check(&spec.name, slope, &|h| {
            let mut values = network.params.to_host();
            values[i][k] += h;
            value(&Params::from_host(&network.specs, &values, &cpu()), &latent)
        });
    }
    for (k, slope) in host(of_latent).into_iter().enumerate().step_by(5) {
        check("latent", slope, &|h| {
            let mut moved = latent.clone();
            moved[k] += h;
            value(&network.params, &moved)
        });
    }
}

/// After teacher forcing has ended, the cell of the noisy crystal is predicted, and gradients flow into it.
#[test]
fn gradients_reach_the_predicted_cell() {
    use druse_nn::ops::{cells, edge_vectors, matrix};
    let network = Network::new(tiny(Symmetrization::Union));
    let (_, species, frac) = perovskite();
    let parameters =
        [vec![4.1f32, 3.9, 4.2, 86.0, 93.0, 88.0], vec![4.6, 4.4, 4.5, 95.0, 91.0, 84.0]].concat();
    let lattice = |p: &[f32]| Lattice::from_parameters(std::array::from_fn(|i| f64::from(p[i]))).unwrap();
    let crystals: Vec<_> = parameters.chunks_exact(6).map(|p| (lattice(p), frac.as_slice())).collect();
    let species = [species, species].concat();
    let places: Vec<f32> = [frac, frac].concat().iter().flatten().map(|&x| x as f32).collect();
    let projection = network.decoder.latent_projection(&network.params, latents([0.3, -0.8]));
    let forward = |parameters: Tensor<2>, places: Tensor<2>| {
        let input = DecoderInput::new(&network.config, &crystals);
        let vectors = edge_vectors(places, cells(parameters), input.graph());
        let input = input.with_vectors(vectors);
        network.decoder.forward(&network.params, &input, &species, projection.clone())
    };
    let device = cpu().autodiff();
    let tracked =
        [(&parameters, 6), (&places, 3)].map(|(x, cols)| matrix(x.clone(), cols, &device).require_grad());
    let output = forward(tracked[0].clone(), tracked[1].clone());

    let given = DecoderInput::new(&network.config, &crystals);
    let given = network.decoder.forward(&network.params, &given, &species, projection.clone());
    close(&host(output.vectors.clone()), &host(given.vectors), "vectors of a given geometry");
    close(&host(output.logits.clone()), &host(given.logits), "logits of a given geometry");

    let weigh = |t: Tensor<2>, step: usize| {
        let [rows, cols] = t.dims();
        let w = (0..rows * cols).map(|i| ((i * step % 17) as f32 - 8.0) / 8.0).collect();
        let w = matrix(w, cols, &t.device());
        (t * w).sum()
    };
    let objective = |output: druse_models::cdvae::DecoderOutput| {
        weigh(output.vectors, 5) + weigh(output.logits, 37).mul_scalar(0.1)
    };
    let grads = objective(output).backward();
    let [of_parameters, of_places] = tracked.map(|x| host(x.grad(&grads).unwrap()));
    let value = |parameters: &[f32], places: &[f32]| {
        let output = forward(matrix(parameters.to_vec(), 6, &cpu()), matrix(places.to_vec(), 3, &cpu()));
        f64::from(objective(output).into_scalar::<f32>())
    };
    let check = |what: &str, slopes: &[f32], k: usize, h: f32, at: &dyn Fn(f32) -> f64| {
        let estimate = (at(h) - at(-h)) / f64::from(2.0 * h);
        let scale = slopes.iter().fold(0f64, |m, s| m.max(f64::from(s.abs())));
        assert!(scale > 1e-3, "{what} matter");
        let error = (estimate - f64::from(slopes[k])).abs();
        assert!(error < 0.02 * scale, "{what} {k}: {} against {estimate}", slopes[k]);
    };
    // Lengths and angles have gradients of different size, and steps of different size show them.
    for (group, h) in [4e-3, 0.1, 4e-3, 0.1].into_iter().enumerate() {
        for k in 0..3 {
            check("parameters", &of_parameters[3 * group..][..3], k, h, &|h| {
                let mut moved = parameters.clone();
                moved[3 * group + k] += h;
                value(&moved, &places)
            });
        }
    }
    for k in (0..30).step_by(4) {
        check("positions", &of_places, k, 1e-3, &|h| {
            let mut moved = places.clone();
            moved[k] += h;
            value(&parameters, &moved)
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_union_graph_makes_the_decoder_invariant(
        frac in prop::collection::vec(prop::array::uniform3(0.0..1.0f64), 2..7),
        shift in prop::array::uniform3(-1.0..1.0f64),
        turn in 1usize..6,
    ) {
        // Flat enough to be searched in the 27 cells around, wherever the atoms lie in their cell.
        let lattice = Lattice::from_rows([[7.1, 0.1, 0.0], [0.4, 7.3, 0.2], [0.3, -0.4, 7.2]]).unwrap();
        let n = frac.len();
        let z = |i: usize| Element::from_z(8 + 3 * i as i64).unwrap();
        let species: Vec<_> = (0..n).map(z).collect();
        let network = Network::new(tiny(Symmetrization::Union));
        let (vectors, logits) = network.evaluate(&[(lattice, &species, &frac, 0.3)]);

        let order: Vec<usize> = (0..n).map(|i| (i + turn) % n).collect();
        let by_order = |values: &[f32], cols: usize| -> Vec<f32> {
            order.iter().flat_map(|&i| values[i * cols..][..cols].to_vec()).collect()
        };
        let turned: Vec<_> = order.iter().map(|&i| frac[i]).collect();
        let turned_species: Vec<_> = order.iter().map(|&i| species[i]).collect();
        let (others, other_logits) = network.evaluate(&[(lattice, &turned_species, &turned, 0.3)]);
        close(&others, &by_order(&vectors, 3), "permutation, vectors");
        close(&other_logits, &by_order(&logits, 100), "permutation, logits");

        let moved: Vec<[f64; 3]> =
            frac.iter().map(|f| std::array::from_fn(|a| (f[a] + shift[a]).rem_euclid(1.0))).collect();
        let (others, other_logits) = network.evaluate(&[(lattice, &species, &moved, 0.3)]);
        close(&others, &vectors, "translation, vectors");
        close(&other_logits, &logits, "translation, logits");
    }
}
