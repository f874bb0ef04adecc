//! Adam, gradient clipping and moving averages. (Learning-rate schedules belong to the training loop.)

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Params;
use crate::device::is_host;
use crate::memory::{ComputeError, to_host};

/// Gradients of all parameters, in the order of the specifications, on the device without autodiff.
pub type Grads = Vec<Tensor<2>>;

/// Constants of [`Adam`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AdamConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// The Adam optimiser (Kingma and Ba 2015, Algorithm 1).
pub struct Adam {
    config: AdamConfig,
    steps: u64,
    first: Vec<Tensor<2>>,
    second: Vec<Tensor<2>>,
}

impl Adam {
    /// An optimiser with zero moments.
    pub fn new(params: &Params, config: AdamConfig) -> Self {
        let zeros = || params.values().iter().map(|v| Tensor::zeros(v.dims(), params.device())).collect();
        Self { config, steps: 0, first: zeros(), second: zeros() }
    }

    /// One update with learning rate `rate`.
    pub fn step(&mut self, params: &mut Params, grads: &Grads, rate: f64) {
        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon } = self.config;
        let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correction1 = 1.0 - beta1.powi(exponent);
        let correction2 = 1.0 - beta2.powi(exponent);
        let moved = each_tensor(params.device(), grads.len(), |i| {
            let (value, grad) = (params.values()[i].clone(), grads[i].clone());
            let m = self.first[i].clone().mul_scalar(beta1) + grad.clone().mul_scalar(1.0 - beta1);
            let v = self.second[i].clone().mul_scalar(beta2) + (grad.clone() * grad).mul_scalar(1.0 - beta2);
            let root = v.clone().div_scalar(correction2).sqrt().add_scalar(epsilon);
            (value - m.clone().mul_scalar(rate / correction1) / root, m, v)
        });
        let mut values = Vec::with_capacity(grads.len());
        for (i, (value, m, v)) in moved.into_iter().enumerate() {
            values.push(value);
            (self.first[i], self.second[i]) = (m, v);
        }
        *params = params.with_values(values);
    }

    /// Number of updates made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First and second moments on the host, in the order of the parameters.
    pub fn to_host(&self) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        (self.first.iter().map(host).collect(), self.second.iter().map(host).collect())
    }

    /// Restores a saved state.
    pub fn from_host(
        params: &Params,
        config: AdamConfig,
        steps: u64,
        first: &[Vec<f32>],
        second: &[Vec<f32>],
    ) -> Self {
        let load =
            |saved: &[Vec<f32>]| Params::from_host(params.specs(), saved, params.device()).values().to_vec();
        Self { config, steps, first: load(first), second: load(second) }
    }
}

/// `f(0)` to `f(count - 1)`, on all threads where the host computes: these operations are bound by memory, and one thread
/// does not use all of it.
fn each_tensor<T: Send>(device: &Device, count: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    match is_host(device) {
        true => (0..count).into_par_iter().map(&f).collect(),
        false => (0..count).map(&f).collect(),
    }
}

fn change_all(grads: &mut Grads, f: impl Fn(Tensor<2>) -> Tensor<2> + Sync) {
    let Some(first) = grads.first() else { return };
    *grads = each_tensor(&first.device(), grads.len(), |i| f(grads[i].clone()));
}

fn host(t: &Tensor<2>) -> Vec<f32> {
    t.to_data().try_into_vec::<f32>().expect("parameters are 32-bit floats")
}

/// Euclidean norm of all gradients together; NaN or infinity when one of them is.
///
/// # Errors
/// [`ComputeError`] when the device failed at one of them.
pub fn grad_norm(grads: &Grads) -> Result<f64, ComputeError> {
    let Some(first) = grads.first() else { return Ok(0.0) };
    let squares = each_tensor(&first.device(), grads.len(), |i| (grads[i].clone() * grads[i].clone()).sum());
    let total: f64 = to_host(Tensor::cat(squares, 0))?.into_iter().map(f64::from).sum();
    Ok(total.sqrt())
}

/// Scales gradients of the common norm `norm` so that it becomes at most `limit`.
pub fn clip(grads: &mut Grads, norm: f64, limit: f64) {
    if norm > limit {
        let factor = limit / (norm + 1e-6);
        change_all(grads, |g| g.mul_scalar(factor));
    }
}

/// Limits every component to ±`limit`.
pub fn clip_values(grads: &mut Grads, limit: f64) {
    change_all(grads, |g| g.clamp(-limit, limit));
}

/// Exponential moving average of parameters with warm-up: decay `min(decay, (1 + n) / (10 + n))` at update n.
pub struct Ema {
    decay: f64,
    updates: u64,
    params: Params,
}

impl Ema {
    /// Starts at the given values.
    pub fn new(params: &Params, decay: f64) -> Self {
        Self { decay, updates: 0, params: params.clone() }
    }

    /// Restores a saved state.
    pub fn from_parts(params: Params, decay: f64, updates: u64) -> Self {
        Self { decay, updates, params }
    }

    /// Moves the average towards `params`.
    pub fn update(&mut self, params: &Params) {
        self.updates += 1;
        let n = self.updates as f64;
        let keep = self.decay.min((1.0 + n) / (10.0 + n));
        let values = each_tensor(params.device(), params.values().len(), |i| {
            let (average, new) = (self.params.values()[i].clone(), params.values()[i].clone());
            average.mul_scalar(keep) + new.mul_scalar(1.0 - keep)
        });
        self.params = self.params.with_values(values);
    }

    /// The averaged parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Number of updates made.
    pub fn updates(&self) -> u64 {
        self.updates
    }
}

/// Sums gradient sets in the given order, so that the result does not depend on which was ready first.
pub fn sum_grads(mut parts: impl Iterator<Item = Grads>) -> Option<Grads> {
    let first = parts.next()?;
    Some(parts.fold(first, |sum, part| sum.into_iter().zip(part).map(|(a, b)| a + b).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matrix;
    use crate::{Init, ParamBuilder};

    fn one_parameter(value: f32) -> Params {
        let mut builder = ParamBuilder::default();
        builder.add("x", &[1], Init::Zeros);
        Params::from_host(&builder.finish(), &[vec![value]], &crate::device::cpu())
    }

    #[test]
    fn adam_minimises_a_parabola_and_resumes_exactly() {
        let gradient = |p: &Params| vec![p.values()[0].clone().sub_scalar(3.0).mul_scalar(2.0)];
        let config = AdamConfig::default();
        let mut params = one_parameter(0.0);
        let mut adam = Adam::new(&params, config);
        for i in 0..400 {
            if i == 100 {
                let (first, second) = adam.to_host();
                params = Params::from_host(params.specs(), &params.to_host(), params.device());
                adam = Adam::from_host(&params, config, adam.steps(), &first, &second);
            }
            let grads = gradient(&params);
            adam.step(&mut params, &grads, 0.05);
        }
        let mut unbroken = one_parameter(0.0);
        let mut other = Adam::new(&unbroken, config);
        for _ in 0..400 {
            let grads = gradient(&unbroken);
            other.step(&mut unbroken, &grads, 0.05);
        }
        assert_eq!(params.to_host(), unbroken.to_host());
        assert!((params.to_host()[0][0] - 3.0).abs() < 0.02, "{:?}", params.to_host());
    }

    #[test]
    fn first_adam_step_is_the_learning_rate() {
        let mut params = one_parameter(1.0);
        let grads = vec![params.values()[0].clone().mul_scalar(123.0)];
        Adam::new(&params, AdamConfig::default()).step(&mut params, &grads, 0.1);
        assert!((params.to_host()[0][0] - 0.9).abs() < 1e-6);
    }

    #[test]
    fn clipping_keeps_the_direction() {
        let device = crate::device::cpu();
        let mut grads = vec![matrix(vec![3.0, 0.0], 2, &device), matrix(vec![4.0], 1, &device)];
        let norm = grad_norm(&grads).unwrap();
        assert!((norm - 5.0).abs() < 1e-6);
        clip(&mut grads, norm, 7.0);
        assert_eq!(grad_norm(&grads).unwrap(), norm);
        clip(&mut grads, norm, 1.0);
        assert!((grad_norm(&grads).unwrap() - 1.0).abs() < 1e-5);
        assert!(grad_norm(&vec![matrix(vec![f32::NAN], 1, &device)]).unwrap().is_nan());
    }

    #[test]
    fn average_warms_up() {
        let mut ema = Ema::new(&one_parameter(0.0), 0.995);
        ema.update(&one_parameter(1.0));
        assert!((ema.params().to_host()[0][0] - (1.0 - 2.0 / 11.0)).abs() < 1e-6);
    }
}
