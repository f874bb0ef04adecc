//! Gradients of losses of forces, stresses and of a critic's slope, against finite differences of second order.

mod critic;
mod potential;
mod reference;

use druse_nn::Params;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Some entries of a parameter: all of a small one.
fn entries(len: usize, count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    if len <= count { (0..len).collect() } else { (0..count).map(|_| rng.random_range(0..len)).collect() }
}

/// Derivative of f at zero by central differences of steps h and 2h, without the error of order h².
fn derivative(h: f64, f: impl Fn(f64) -> f64) -> f64 {
    let slope = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    (4.0 * slope(h) - slope(2.0 * h)) / 3.0
}

/// Compares some gradients of every parameter with `expected(parameter, entry)`; differences count relative to the largest
/// gradient of the parameter.
fn compare(
    params: &Params,
    gradients: &[Vec<f32>],
    tolerance: f64,
    mut entries: impl FnMut(usize, usize) -> Vec<usize>,
    expected: impl Fn(usize, usize) -> f64,
) {
    for (p, (spec, gradient)) in params.specs().iter().zip(gradients).enumerate() {
        assert_eq!(spec.len(), gradient.len());
        let scale = gradient.iter().fold(0f64, |m, &g| m.max(f64::from(g).abs()));
        assert!(scale > 0.0, "{} has a gradient", spec.name);
        for k in entries(p, spec.len()) {
            let (found, expected) = (f64::from(gradient[k]), expected(p, k));
            let error = (found - expected).abs() / scale;
            assert!(error < tolerance, "{}[{k}]: {found} against {expected}, scale {scale}", spec.name);
        }
    }
}
