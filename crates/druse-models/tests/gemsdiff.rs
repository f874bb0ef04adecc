//! Properties of GemsDiff: the contract of models, symmetries the method promises, overfitting.

use druse_crystal::{Composition, Element, Lattice, Structure};
use druse_models::gemsdiff::{GemsDiff, GemsDiffConfig, GemsNetConfig, Variant};
use druse_models::registry::{Registry, preset_model};
use druse_models::{
    Batch, Gradient, MicroBatchLimit, NoiseKey, SampleRequest, Trainable, differentiate, evaluate, sample_all,
};
use druse_nn::device::cpu;
use druse_nn::optim::{Adam, AdamConfig, Ema};
use druse_nn::{Params, Precision, PrecisionError};
use druse_testkit::contract::{self, Check};
use druse_testkit::prototype;
use druse_testkit::prototypes::element;
use nalgebra::{Matrix3, Rotation3, Vector3};

fn tiny(variant: Variant) -> GemsDiffConfig {
    let net = GemsNetConfig {
        hidden: 24,
        triplet: 8,
        basis: 8,
        bilinear: 12,
        lattice_head: 16,
        num_radial: 24,
        num_spherical: 4,
        blocks: 1,
        cutoff: 6.0,
    };
    let steps = 20;
    GemsDiffConfig { variant, decoder: net.clone(), encoder: net, latent: 16, knn: 12, steps, ..small() }
}

fn small() -> GemsDiffConfig {
    preset_model("gemsdiff-small").unwrap()
}

/// Sixteen prototype crystals: caesium chloride, zinc blende and perovskite in various compositions. (Rock salt in its
/// primitive cell is not among them: its fractional coordinates have the full symmetry of the cube, and in the identity
/// cell of the published method no network with the symmetries below can answer with angles of 60°.)
fn prototypes() -> Vec<Structure> {
    let names = "CsCl NiAl CsI FeTi TlBr AgMg ZnS GaAs CuI BN InP SrTiO3 BaZrO3 KNbO3 LaAlO3 NaTaO3";
    names.split(' ').map(prototype).collect()
}

fn keys(n: usize, epoch: u64) -> Vec<NoiseKey> {
    (0..n as u64).map(|index| NoiseKey { seed: 11, epoch, index }).collect()
}

fn model(variant: Variant, training: &[&Structure]) -> (GemsDiff, Params) {
    let mut model = GemsDiff::new(tiny(variant)).unwrap();
    model.fit_statistics(training).unwrap();
    let params = Params::init(model.parameters(), 3, &cpu());
    (model, params)
}

#[test]
fn it_keeps_the_contract() {
    contract::kind(&Registry::builtin(), "gemsdiff").run();
    for variant in [Variant::Paper, Variant::Released] {
        contract::generator(move || GemsDiff::new(tiny(variant)).unwrap())
            // The L1 norm of the other part looks at Cartesian axes.
            .parts(Check::Rotation, &["lattice"])
            .gradient_tolerance(0.08)
            .run();
    }
}

#[test]
fn published_sizes() {
    let count = |config| {
        let model = GemsDiff::new(config).unwrap();
        model.parameters().iter().map(druse_nn::ParamSpec::len).sum::<usize>()
    };
    // 2,316,784 of the published network less what no output depends on: the latent merge layer (128·384 + 128) and
    // in each of four output blocks the energy branch (128·16 + 7·128·128 + 128).
    let unused = 128 * 384 + 128 + 4 * (128 * 16 + 7 * 128 * 128 + 128);
    assert_eq!(count(preset_model("gemsdiff-released").unwrap()), 2_316_784 - unused);
    let bytes = 4 * count(small());
    assert!(bytes < 12_000_000, "the small preset fits the repository: {bytes}");
}

/// Rotation and reflection, translation, permutation, supercell and change of basis. (With the identity cell of the
/// published method only signed permutations of the axes are left of the rotations: it looks at fractional coordinates.)
#[test]
fn the_decoder_keeps_the_symmetries_it_promises() {
    use druse_models::gemsdiff::{AtomEmbedding, Decoder, GeometryInput};
    use druse_nn::ParamBuilder;
    let config = tiny(Variant::Released).decoder;
    let mut builder = ParamBuilder::default();
    let embedding = AtomEmbedding::new(&mut builder, "gnn", config.hidden);
    let decoder = Decoder::new(&mut builder, "gnn", &config);
    let params = Params::init(&builder.finish(), 9, &cpu());
    let evaluate = |species: &[Element], lattice: Lattice, frac: &[[f64; 3]]| {
        let input = GeometryInput::new(&config, &[(lattice, frac)], 12, true).unwrap();
        let h = embedding.forward(&params, species);
        let p = decoder.forward(&params, &input, h);
        let host = |t: burn::tensor::Tensor<2>| t.to_data().try_into_vec::<f32>().unwrap();
        (host(p.displacement), host(p.cell))
    };
    let close = |a: &[f32], b: &[f32], what: &str| {
        let scale = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() < 2e-4 * scale, "{what}: {a:?} {b:?}");
        }
    };
    let species = ["Sr", "Ti", "O", "O", "O"].map(element);
    let frac = [
        [0.012, 0.023, 0.981],
        [0.513, 0.487, 0.532],
        [0.471, 0.552, 0.043],
        [0.538, 0.031, 0.466],
        [0.983, 0.474, 0.521],
    ];
    let cube = Lattice::cubic(1.0).unwrap();
    let (x, cell) = evaluate(&species, cube, &frac);
    assert!(x.iter().any(|v| v.abs() > 1e-3), "the displacement is not trivially zero");

    let moved = frac.map(|f| [f[0] + 0.31, f[1] + 0.77, f[2] - 0.12]);
    let (y, other) = evaluate(&species, cube, &moved);
    close(&y, &x, "translation, positions");
    close(&other, &cell, "translation, cell");

    let order = [3, 1, 4, 0, 2];
    let (y, other) = evaluate(&order.map(|i| species[i]), cube, &order.map(|i| frac[i]));
    let expected: Vec<f32> = order.iter().flat_map(|&i| x[3 * i..3 * i + 3].to_vec()).collect();
    close(&y, &expected, "permutation, positions");
    close(&other, &cell, "permutation, cell");

    // A signed permutation of the axes is a symmetry of the cube: displacements turn with it, and so does the cell.
    let turned = frac.map(|f| [-f[1], f[2], f[0]]);
    let (y, other) = evaluate(&species, cube, &turned);
    let expected: Vec<f32> = x.chunks(3).flat_map(|v| [-v[1], v[2], v[0]]).collect();
    close(&y, &expected, "axes, positions");
    let c = &cell;
    close(&other, &[c[1], c[2], c[0], -c[5], -c[3], c[4]], "axes, cell");

    // Turning a general cell turns the predicted matrix by conjugation and leaves fractional displacements alone.
    let skew = Lattice::from_rows([[1.1, 0.1, 0.0], [0.2, 0.9, 0.1], [-0.1, 0.1, 1.2]]).unwrap();
    let (x, cell) = evaluate(&species, skew, &frac);
    let turn = Rotation3::from_axis_angle(&Vector3::x_axis(), 0.9).into_inner()
        * Matrix3::from_diagonal(&Vector3::new(1.0, 1.0, -1.0));
    let (y, other) = evaluate(&species, Lattice::from_matrix(skew.matrix() * turn).unwrap(), &frac);
    close(&y, &x, "rotoreflection, positions");
    let full = |c: &[f32]| {
        let c: Vec<f64> = c.iter().map(|&x| f64::from(x)).collect();
        Matrix3::new(c[0], c[3], c[4], c[3], c[1], c[5], c[4], c[5], c[2])
    };
    // Row vectors are multiplied from the right, so the matrix transforms with the transpose.
    let expected = turn.transpose() * full(&cell) * turn;
    assert!((full(&other) - expected).amax() < 1e-3 * expected.amax(), "{other:?} {expected}");

    // A supercell of two cells: the same surroundings, so the same Cartesian displacement of both copies and the same
    // matrix.
    let doubled =
        Lattice::from_matrix(Matrix3::from_diagonal(&Vector3::new(2.0, 1.0, 1.0)) * skew.matrix()).unwrap();
    let copies: Vec<[f64; 3]> =
        [0.0, 1.0].iter().flat_map(|n| frac.map(|f| [(f[0] + n) / 2.0, f[1], f[2]])).collect();
    let (y, other) = evaluate(&[species, species].concat(), doubled, &copies);
    let expected: Vec<f32> = x.chunks(3).flat_map(|v| [v[0] / 2.0, v[1], v[2]]).collect();
    close(&y, &[expected.clone(), expected].concat(), "supercell, positions");
    close(&other, &cell, "supercell, cell");

    // Another basis of the same lattice (SL3(Z)): same geometry, so same Cartesian displacements and same matrix.
    let g = Matrix3::new(1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 1.0);
    let inverse = g.try_inverse().unwrap();
    let other_frac = frac.map(|f| {
        let r = Vector3::from(f).transpose() * inverse;
        [r[0], r[1], r[2]]
    });
    let other_lattice = Lattice::from_matrix(g * skew.matrix()).unwrap();
    let (_, other) = evaluate(&species, other_lattice, &other_frac);
    close(&other, &cell, "change of basis, cell");
}

/// Rounding the operands of products to eight bits moves loss and gradient a little, in the backward pass too.
#[test]
fn products_of_bf16_change_little() {
    let structures = contract::standard();
    let batch: Vec<_> = structures.iter().collect();
    for variant in [Variant::Paper, Variant::Released] {
        let (model, exact) = model(variant, &batch);
        let rounded = match exact.clone().with_precision(Precision::Bf16) {
            Ok(params) => params,
            Err(PrecisionError::Processor) => {
                return eprintln!("skipped: no bf16 products on this processor");
            }
            Err(e) => panic!("{e}"),
        };
        let keys = keys(batch.len(), 3);
        let [a, b] = [&exact, &rounded].map(|p| differentiate(&model, p, &batch, &keys).unwrap());
        let difference = (b.objective.total / a.objective.total - 1.0).abs();
        assert!(difference > 0.0 && difference < 0.02, "{difference}");
        let host = |g: &Gradient| -> Vec<f64> {
            let values = g.grads.iter().flat_map(|t| t.to_data().try_into_vec::<f32>().unwrap());
            values.map(f64::from).collect()
        };
        let (a, b) = (host(&a), host(&b));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!(cosine > 0.99 && cosine < 1.0 - 1e-9, "{cosine}");
        // The same with one structure in a micro-batch, hence on other threads.
        let alone = |params: &Params| {
            let limit = MicroBatchLimit::atoms_at_most(1);
            Batch::new(&model, batch.clone(), keys.clone()).differentiate(params, &limit).unwrap()
        };
        let (once, twice) = (alone(&rounded), alone(&rounded));
        assert_eq!(host(&once), host(&twice));
        assert_eq!(rounded.to_host(), exact.to_host());
    }
}

/// Sixteen structures are learnt by heart: the loss falls to a small part of its start, and sampling returns cells and
/// distances of the training set.
#[test]
fn overfits_sixteen_structures() {
    let structures = prototypes();
    let refs: Vec<&Structure> = structures.iter().collect();
    // Noise of at most a tenth of the cell: beyond that two atoms can change places, and no network could know.
    let config = GemsDiffConfig {
        decoder: GemsNetConfig { hidden: 32, blocks: 2, ..tiny(Variant::Released).decoder },
        position_betas: [1e-6, 1e-3],
        ..tiny(Variant::Released)
    };
    let mut model = GemsDiff::new(config).unwrap();
    model.fit_statistics(&refs).unwrap();
    let mut params = Params::init(model.parameters(), 1, &cpu());
    let mut adam = Adam::new(&params, AdamConfig::default());
    let mut ema = Ema::new(&params, 0.99);
    let steps = 1000;
    let mut first = None;
    for step in 0..steps {
        let mut gradient = differentiate(&model, &params, &refs, &keys(refs.len(), step)).unwrap();
        first.get_or_insert(gradient.objective.total);
        gradient.clip(1.0);
        let rate = 2.5e-3 * (1.0 - step as f64 / steps as f64).max(0.02);
        adam.step(&mut params, &gradient.grads, rate);
        ema.update(&params);
    }
    let end = (0..4)
        .map(|e| evaluate(&model, ema.params(), &refs, &keys(refs.len(), 10_000 + e)).unwrap().total)
        .sum::<f64>()
        / 4.0;
    let start = first.unwrap();
    assert!(end < 0.03 * start, "loss {start} at the start, {end} at the end");

    // Several draws of each: a random process misses now and then.
    let targets: Vec<&Structure> = refs.iter().cycle().take(4 * refs.len()).copied().collect();
    let requests: Vec<SampleRequest> = (0u64..)
        .zip(&targets)
        .map(|(index, s)| SampleRequest::new(Composition::from_species(&s.species).into(), 1, index))
        .collect();
    let results = sample_all(&model, ema.params(), &requests).unwrap();
    let (mut volumes, mut distances) = (0, 0);
    for (sampled, original) in results.into_iter().zip(&targets) {
        let sampled = sampled.unwrap();
        let ratio = sampled.lattice.volume() / original.lattice.volume();
        volumes += usize::from((ratio - 1.0).abs() < 0.1);
        let (a, b) = (sampled.min_distance().unwrap(), original.min_distance().unwrap());
        distances += usize::from((a / b - 1.0).abs() < 0.1);
    }
    assert!(volumes >= 56 && distances >= 56, "{volumes} volumes and {distances} distances of 64 return");
}
