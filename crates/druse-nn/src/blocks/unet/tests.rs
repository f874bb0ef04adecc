use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Unet, UnetDropout, UnetInput, UnetSizes};
use crate::device::cpu;
use crate::memory::to_host;
use crate::ops::{ImageGrid, matrix};
use crate::{ParamBuilder, ParamSpec, Params};

const EDGE: usize = 8;

fn sizes(second: bool) -> UnetSizes {
    UnetSizes {
        channels: 4,
        conditioned: second,
        edge: EDGE,
        dim: 8,
        multipliers: vec![1, 2],
        blocks: vec![1, 2],
        self_attention: vec![false, true],
        cross_attention: vec![false, true],
        linear_attention: !second,
        memory_efficient: second,
        heads: 2,
        head_width: 4,
        groups: 4,
        kernels: vec![3, 5],
    }
}

/// A small network with values that reach its output, which begins as zero.
fn network(second: bool) -> (Unet, Vec<ParamSpec>, Vec<Vec<f32>>) {
    let mut builder = ParamBuilder::default();
    let unet = Unet::new(&mut builder, "", &sizes(second)).unwrap();
    let specs = builder.finish();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let values = specs
        .iter()
        .map(|s| {
            let scale = 1.0 / (s.matrix_shape()[1] as f32).sqrt().min(6.0);
            let base = if s.name.ends_with(".g") || s.name.ends_with("norm.weight") { 1.0 } else { 0.0 };
            (0..s.len()).map(|_| base + rng.random_range(-scale..scale)).collect()
        })
        .collect();
    (unet, specs, values)
}

fn input(second: bool, images: usize) -> UnetInput {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut pixels = || {
        let numbers = (0..images * EDGE * EDGE * 4).map(|_| rng.random_range(-1.0..1.0)).collect();
        matrix(numbers, 4, &cpu())
    };
    let (x, low) = (pixels(), pixels());
    UnetInput {
        x,
        grid: ImageGrid::square(images, EDGE),
        log_snr: vec![-1.3, 2.2, 0.4][..images].to_vec(),
        low_resolution: second.then(|| (low, vec![0.7, -1.0, 3.0][..images].to_vec())),
        dropout: None,
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for second in [false, true] {
        let (unet, specs, values) = network(second);
        let weights: Vec<f32> =
            (0..2 * EDGE * EDGE * 4).map(|i| ((i * 37 % 17) as f32 - 8.0) / 8.0).collect();
        let objective = |params: &Params| -> Tensor<1> {
            let y = unet.forward(params, input(second, 2));
            let w = Tensor::<2>::from_data(TensorData::new(weights.clone(), y.dims()), &y.device());
            (y * w).sum()
        };
        let tracked = Params::from_host(&specs, &values, &cpu()).tracked();
        let grads: Vec<Vec<f32>> =
            tracked.gradients(&objective(&tracked)).into_iter().map(|g| to_host(g).unwrap()).collect();
        let at = |values: &[Vec<f32>]| -> f64 {
            let y = unet.forward(&Params::from_host(&specs, values, &cpu()), input(second, 2));
            to_host(y).unwrap().iter().zip(&weights).map(|(&y, &w)| f64::from(y) * f64::from(w)).sum()
        };
        for (p, spec) in specs.iter().enumerate() {
            // Along the gradient itself, every number of the tensor takes part. A bias of the scores of a softmax over all
            // pixels changes nothing.
            let norm = grads[p].iter().map(|g| g * g).sum::<f32>().sqrt();
            if spec.name.ends_with("to_k.bias") {
                assert!(norm < 1e-3, "{}: {norm}", spec.name);
                continue;
            }
            assert!(norm > 0.0, "{} has no gradient", spec.name);
            let h = 2e-3;
            let moved = |sign: f32| {
                let mut values = values.clone();
                for (v, g) in values[p].iter_mut().zip(&grads[p]) {
                    *v += sign * h * g / norm;
                }
                at(&values)
            };
            let slope = (moved(1.0) - moved(-1.0)) / f64::from(2.0 * h);
            let error = (slope - f64::from(norm)).abs();
            assert!(error < 2e-2 * f64::from(norm) + 3e-2, "{}: {slope} against {norm}", spec.name);
        }
    }
}

#[test]
fn images_of_a_batch_do_not_see_each_other() {
    for second in [false, true] {
        let (unet, specs, values) = network(second);
        let params = Params::from_host(&specs, &values, &cpu());
        let all = to_host(unet.forward(&params, input(second, 3))).unwrap();
        let first = to_host(unet.forward(&params, input(second, 1))).unwrap();
        // The first image of both; its low-resolution image is another, unless there is none.
        assert_eq!(first.len() * 3, all.len());
        if !second {
            assert_eq!(first, all[..first.len()]);
        }
        assert!(first.iter().any(|x| x.abs() > 1e-3));
    }
}

#[test]
fn dropout_depends_on_the_seed_of_an_image() {
    let (unet, specs, values) = network(false);
    let params = Params::from_host(&specs, &values, &cpu());
    let of = |share: f64, seeds: &[u64]| {
        let dropout = Some(UnetDropout { share, seeds: seeds.to_vec() });
        to_host(unet.forward(&params, UnetInput { dropout, ..input(false, seeds.len()) })).unwrap()
    };
    let plain = to_host(unet.forward(&params, input(false, 3))).unwrap();
    assert_eq!(of(0.0, &[5, 6, 7]), plain);
    let dropped = of(0.3, &[5, 6, 7]);
    assert_eq!(of(0.3, &[5]), dropped[..dropped.len() / 3]);
    let differs = |a: &[f32], b: &[f32]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
    assert!(differs(&dropped, &plain) && differs(&of(0.3, &[8, 6, 7]), &dropped));
}

#[test]
fn a_fresh_network_predicts_nothing() {
    let (unet, specs, _) = network(false);
    let y = unet.forward(&Params::init(&specs, 3, &cpu()), input(false, 1));
    assert!(to_host(y).unwrap().iter().all(|&y| y == 0.0));
}

#[test]
fn impossible_sizes_are_refused_by_name() {
    type Change = fn(&mut UnetSizes);
    let changes: [(Change, &str); 6] = [
        (|s| s.dim = 10, "dim = 10"),
        (|s| s.multipliers = vec![1, 2, 4, 8, 8], "blocks has 2"),
        (|s| s.kernels = vec![4], "kernels"),
        (|s| s.heads = 0, "heads = 0"),
        (|s| s.self_attention = vec![true], "self_attention has 1"),
        (
            |s| {
                (s.multipliers, s.blocks) = (vec![1; 5], vec![1; 5]);
                (s.self_attention, s.cross_attention) = (vec![false; 5], vec![false; 5]);
            },
            "cannot be halved",
        ),
    ];
    for (change, word) in changes {
        let mut sizes = sizes(false);
        change(&mut sizes);
        let error = Unet::new(&mut ParamBuilder::default(), "", &sizes).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn published_sizes_have_their_number_of_parameters() {
    for (sizes, count) in [(UnetSizes::base(), 263_014_815), (UnetSizes::upsampler(), 721_083_714)] {
        let mut builder = ParamBuilder::default();
        Unet::new(&mut builder, "", &sizes).unwrap();
        assert_eq!(builder.finish().iter().map(ParamSpec::len).sum::<usize>(), count);
    }
}
