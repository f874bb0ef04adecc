//! The gradient penalty of a Wasserstein critic (Gulrajani et al., NeurIPS 2017, equation 3).

use burn::tensor::{Tensor, TensorData};
use druse_nn::blocks::Linear;
use druse_nn::device::cpu;
use druse_nn::ops::Activation;
use druse_nn::tangent::{Dual, loss_gradients};
use druse_nn::{ParamBuilder, Params};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::reference::{self, Values};
use super::{compare, derivative, entries};

const INPUT: usize = 5;
const ROWS: usize = 6;

#[test]
fn gradient_penalties_against_differences() {
    let mut builder = ParamBuilder::default();
    let layers = [[INPUT, 9], [9, 7], [7, 1]];
    let layers: Vec<Linear> =
        (0..3).map(|i| Linear::new(&mut builder, &format!("layers.{i}"), layers[i], true)).collect();
    let params = Params::init(&builder.finish(), 4, &cpu());
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let rows: Vec<f32> = (0..ROWS * INPUT).map(|_| rng.random_range(-1.5..1.5)).collect();
    let x = Tensor::<2>::from_data(TensorData::new(rows.clone(), [ROWS, INPUT]), &cpu());
    let critic = |params: &Params, [x]: [Dual; 1]| {
        let x = layers[0].dual(params, x, Activation::Silu);
        let x = layers[1].dual(params, x, Activation::Silu);
        layers[2].dual(params, x, Activation::Identity)
    };
    let found = loss_gradients(&params, [x], critic, |score, [slope]| {
        let norm = (slope.clone() * slope).sum_dim(1).sqrt();
        let penalty = norm.sub_scalar(1.0).powi_scalar(2).mean();
        score.mean() + penalty.mul_scalar(10.0)
    });

    let loss = |values: &Values| -> f64 {
        let rows = rows.chunks_exact(INPUT).map(|row| {
            let x: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
            let slope = (0..INPUT).map(|i| {
                derivative(1e-3, |h| {
                    let mut x = x.clone();
                    x[i] += h;
                    reference::critic(values, &x)
                })
            });
            let norm = slope.map(|g| g * g).sum::<f64>().sqrt();
            reference::critic(values, &x) + 10.0 * (norm - 1.0).powi(2)
        });
        rows.sum::<f64>() / ROWS as f64
    };
    let values: Values = params.to_host().iter().map(|v| v.iter().map(|&x| f64::from(x)).collect()).collect();
    assert!((f64::from(found.loss) - loss(&values)).abs() < 1e-5 * loss(&values).abs());
    let gradients: Vec<Vec<f32>> =
        found.gradients.iter().map(|g| g.to_data().try_into_vec().unwrap()).collect();
    // Single precision against differences whose error is below 1e-8.
    let choose = |_, len| entries(len, 12, &mut rng);
    compare(&params, &gradients, 2e-6, choose, |p, k| {
        derivative(1e-3, |h| {
            let mut values = values.clone();
            values[p][k] += h;
            loss(&values)
        })
    });
}
