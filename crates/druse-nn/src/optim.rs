//! Adam, gradient clipping and moving averages. (Learning-rate schedules belong to the training loop.)

mod host;

use std::mem::take;

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::device::is_host;
use crate::memory::{ComputeError, to_host};
use crate::{ParamGroup, ParamSpec, Params, Role};

/// Gradients of the parameters of a group, in its order, on the device without autodiff.
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

/// The Adam optimizer (Kingma and Ba 2015, Algorithm 1).
#[derive(Clone)]
pub struct Adam {
    config: AdamConfig,
    group: ParamGroup,
    steps: u64,
    first: Vec<Tensor<2>>,
    second: Vec<Tensor<2>>,
}

impl Adam {
    /// An optimizer of all trainable parameters, with zero moments.
    pub fn new(params: &Params, config: AdamConfig) -> Self {
        Self::of_group(params, params.group(), config)
    }

    /// An optimizer of the parameters of a group, with zero moments.
    pub fn of_group(params: &Params, group: &ParamGroup, config: AdamConfig) -> Self {
        let values = || group.indices().iter().map(|&i| &params.values()[i]);
        let zeros = || values().map(|v| Tensor::zeros(v.dims(), params.device())).collect();
        Self { config, group: group.clone(), steps: 0, first: zeros(), second: zeros() }
    }

    /// One update with learning rate `rate`; gradients are those of the group.
    ///
    /// # Panics
    /// When there are other gradients than parameters in the group.
    pub fn step(&mut self, params: &mut Params, grads: &Grads, rate: f64) {
        assert_eq!(grads.len(), self.group.len(), "one gradient per parameter of the group");
        self.steps += 1;
        let AdamConfig { beta1, beta2, epsilon } = self.config;
        let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correction1 = 1.0 - beta1.powi(exponent);
        let correction2 = 1.0 - beta2.powi(exponent);
        let on_host = is_host(params.device());
        let factors = host::AdamStep {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            new1: (1.0 - beta1) as f32,
            new2: (1.0 - beta2) as f32,
            correction2: correction2 as f32,
            epsilon: epsilon as f32,
            rate: (rate / correction1) as f32,
        };
        let [all, first, second] = [params.values_mut(), &mut self.first, &mut self.second].map(take);
        // Taken out of their places: a tensor that something else holds, too, cannot be changed where it lies.
        let mut all: Vec<Option<Tensor<2>>> = all.into_iter().map(Some).collect();
        let moments = first.into_iter().zip(second);
        let state = self
            .group
            .indices()
            .iter()
            .zip(moments)
            .filter_map(|(&i, (m, v))| Some([all[i].take()?, m, v]))
            .collect();
        let moved = each(on_host, state, |i, [value, m, v]| {
            if on_host {
                return host::in_place([value, m, v], [&grads[i]], |state, [grad]| {
                    factors.apply(state, grad)
                });
            }
            let grad = grads[i].clone();
            let m = m.mul_scalar(beta1) + grad.clone().mul_scalar(1.0 - beta1);
            let v = v.mul_scalar(beta2) + (grad.clone() * grad).mul_scalar(1.0 - beta2);
            let root = v.clone().div_scalar(correction2).sqrt().add_scalar(epsilon);
            [value - m.clone().mul_scalar(rate / correction1) / root, m, v]
        });
        for (&i, [value, m, v]) in self.group.indices().iter().zip(moved) {
            all[i] = Some(value);
            self.first.push(m);
            self.second.push(v);
        }
        params.values_mut().extend(all.into_iter().flatten());
    }

    /// Number of updates made.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The parameters that it moves.
    pub fn group(&self) -> &ParamGroup {
        &self.group
    }

    /// First and second moments on the host, in the order of the group.
    pub fn to_host(&self) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        (self.first.iter().map(numbers).collect(), self.second.iter().map(numbers).collect())
    }

    /// Restores a saved state of a group.
    ///
    /// # Panics
    /// When counts or sizes are not those of the group; weight files are checked before they come here.
    pub fn from_host(
        params: &Params,
        group: &ParamGroup,
        config: AdamConfig,
        steps: u64,
        first: &[Vec<f32>],
        second: &[Vec<f32>],
    ) -> Self {
        let specs: Vec<ParamSpec> = group.indices().iter().map(|&i| params.specs()[i].clone()).collect();
        let load = |saved: &[Vec<f32>]| Params::from_host(&specs, saved, params.device()).values().to_vec();
        Self { config, group: group.clone(), steps, first: load(first), second: load(second) }
    }
}

/// `f` of every item and its index, on all threads where the host computes: these operations are bound by memory, and
/// one thread does not use all of it.
fn each<T: Send, R: Send>(on_host: bool, items: Vec<T>, f: impl Fn(usize, T) -> R + Sync) -> Vec<R> {
    match on_host {
        true => items.into_par_iter().enumerate().map(|(i, item)| f(i, item)).collect(),
        false => items.into_iter().enumerate().map(|(i, item)| f(i, item)).collect(),
    }
}

fn on_host(tensors: &[Tensor<2>]) -> bool {
    tensors.first().is_some_and(|t| is_host(&t.device()))
}

fn numbers(t: &Tensor<2>) -> Vec<f32> {
    t.to_data().try_into_vec::<f32>().expect("parameters are 32-bit floats")
}

/// Euclidean norm of all gradients together; NaN or infinity when one of them is.
///
/// # Errors
/// [`ComputeError`] when the device failed at one of them.
pub fn grad_norm(grads: &Grads) -> Result<f64, ComputeError> {
    if on_host(grads) {
        let squares: Vec<f64> = grads.par_iter().map(host::square_sum).collect();
        return Ok(squares.into_iter().sum::<f64>().sqrt());
    }
    let squares: Vec<Tensor<1>> = grads.iter().map(|g| (g.clone() * g.clone()).sum()).collect();
    if squares.is_empty() {
        return Ok(0.0);
    }
    let total: f64 = to_host(Tensor::cat(squares, 0))?.into_iter().map(f64::from).sum();
    Ok(total.sqrt())
}

/// Scales gradients of the common norm `norm` so that it becomes at most `limit`.
pub fn clip(grads: &mut Grads, norm: f64, limit: f64) {
    if norm > limit {
        let factor = limit / (norm + 1e-6);
        change_each(grads, |g| g * factor as f32, |g| g.mul_scalar(factor));
    }
}

/// Limits every component to ±`limit`.
pub fn clip_values(grads: &mut Grads, limit: f64) {
    let most = limit as f32;
    change_each(grads, |g| g.clamp(-most, most), |g| g.clamp(-limit, limit));
}

/// Applies `number` to every number on the host, `tensor` to every tensor elsewhere.
fn change_each(
    grads: &mut Grads,
    number: impl Fn(f32) -> f32 + Sync,
    tensor: impl Fn(Tensor<2>) -> Tensor<2> + Sync,
) {
    let on_host = on_host(grads);
    *grads = each(on_host, take(grads), |_, grad| match on_host {
        true => {
            let [grad] = host::in_place([grad], [], |[grad], []| host::map(grad, &number));
            grad
        }
        false => tensor(grad),
    });
}

/// Exponential moving average of the trainable parameters with warm-up: decay `min(decay, (1 + n) / (10 + n))` at update
/// n. Frozen parameters and buffers are those of the latest update.
#[derive(Clone)]
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
        let on_host = is_host(params.device());
        let averages = take(self.params.values_mut());
        *self.params.values_mut() = each(on_host, averages, |i, average| {
            let new = &params.values()[i];
            if params.specs()[i].role != Role::Trainable {
                return new.clone();
            }
            if on_host {
                let [average] = host::in_place([average], [new], |[y], [x]| host::average(y, x, keep));
                return average;
            }
            average.mul_scalar(keep) + new.clone().mul_scalar(1.0 - keep)
        });
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

/// The sum of two sets of gradients of one group.
pub fn add_grads(left: Grads, right: Grads) -> Grads {
    left.into_iter().zip(right).map(|(a, b)| a + b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::matrix;
    use crate::{BufferUpdate, Init, ParamBuilder};

    fn one_parameter(value: f32) -> Params {
        let mut builder = ParamBuilder::default();
        builder.add("x", &[1], Init::Zeros);
        Params::from_host(&builder.finish(), &[vec![value]], &crate::device::cpu())
    }

    #[test]
    fn adam_minimizes_a_parabola_and_resumes_exactly() {
        let gradient = |p: &Params| vec![p.values()[0].clone().sub_scalar(3.0).mul_scalar(2.0)];
        let config = AdamConfig::default();
        let mut params = one_parameter(0.0);
        let mut adam = Adam::new(&params, config);
        for i in 0..400 {
            if i == 100 {
                let (first, second) = adam.to_host();
                params = Params::from_host(params.specs(), &params.to_host(), params.device());
                adam = Adam::from_host(&params, &adam.group, config, adam.steps(), &first, &second);
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

    /// The host's pass over memory against the published formulas as tensor operations.
    #[test]
    fn host_updates_agree_with_tensor_operations() {
        let device = crate::device::cpu();
        let start: Vec<f32> = (0..51).map(|i| (i as f32).sin()).collect();
        let mut builder = ParamBuilder::default();
        builder.add("w", &[3, 17], Init::Zeros);
        let mut params = Params::from_host(&builder.finish(), &[start], &device);
        let untouched = params.clone();
        let (mut adam, mut ema) = (Adam::new(&params, AdamConfig::default()), Ema::new(&params, 0.9));
        let mut value = params.values()[0].clone();
        let (mut m, mut v, mut mean) = (value.zeros_like(), value.zeros_like(), value.clone());
        for step in 1..=20 {
            let grad = value.clone().mul_scalar(3.0).sub_scalar(0.1 * f64::from(step));
            let mut grads = vec![grad.clone()];
            let norm = grad_norm(&grads).unwrap();
            clip(&mut grads, norm, 0.7 * norm);
            clip_values(&mut grads, 0.5);
            let grad = grad.mul_scalar(0.7 * norm / (norm + 1e-6)).clamp(-0.5, 0.5);
            assert_eq!(numbers(&grads[0]), numbers(&grad));
            adam.step(&mut params, &grads, 0.01);
            ema.update(&params);
            m = m.mul_scalar(0.9) + grad.clone().mul_scalar(1.0 - 0.9);
            v = v.mul_scalar(0.999) + (grad.clone() * grad).mul_scalar(1.0 - 0.999);
            let root = v.clone().div_scalar(1.0 - 0.999f64.powi(step)).sqrt().add_scalar(1e-8);
            value = value - m.clone().mul_scalar(0.01 / (1.0 - 0.9f64.powi(step))) / root;
            let n = f64::from(step);
            let keep = 0.9f64.min((1.0 + n) / (10.0 + n));
            mean = mean.mul_scalar(keep) + value.clone().mul_scalar(1.0 - keep);
            for (host, tensor) in [(&params.values()[0], &value), (&ema.params().values()[0], &mean)] {
                for (a, b) in numbers(host).into_iter().zip(numbers(tensor)) {
                    assert!((a - b).abs() <= 1e-6 * b.abs().max(0.1), "{a} {b} at step {step}");
                }
            }
        }
        assert_eq!(untouched.to_host()[0][1], 1f32.sin(), "a copy of the parameters stays as it was");
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
    fn roles_and_groups_are_kept_apart() {
        let mut builder = ParamBuilder::default();
        builder.add("a.x", &[2], Init::Constant(1.0));
        builder.frozen("a.fixed", &[2], Init::Constant(2.0));
        let buffer = builder.buffer("a.state", &[2], Init::Constant(3.0));
        builder.add("b.x", &[2], Init::Constant(4.0));
        let specs = builder.finish();
        let mut params = Params::init(&specs, 0, &crate::device::cpu());
        assert_eq!((params.count(), params.group().indices()), (4, &[0, 3][..]));
        let group = ParamGroup::of(&specs, |name| name.starts_with('b'));
        let tracked = params.tracked_by(&group).in_training();
        let loss = tracked.values().iter().cloned().reduce(|a, b| a * b).unwrap().sum();
        let grads = tracked.gradients(&loss);
        assert_eq!(grads.iter().map(numbers).collect::<Vec<_>>(), [[6.0, 6.0]]);
        let value = || tracked.values()[0].clone();
        tracked.note_update(buffer, BufferUpdate::Average { momentum: 0.25, value: value() });
        tracked.note_update(buffer, BufferUpdate::Average { momentum: 0.5, value: value() });
        let updates = tracked.take_updates();
        assert_eq!((updates.len(), tracked.take_updates().len()), (2, 0));
        let mut ema = Ema::new(&params, 0.5);
        Adam::of_group(&params, &group, AdamConfig::default()).step(&mut params, &grads, 0.1);
        params.apply_updates(updates);
        ema.update(&params);
        let rounded = |p: &Params| p.to_host().iter().map(|v| (v[0] * 1e4).round() / 1e4).collect::<Vec<_>>();
        assert_eq!(rounded(&params), [1.0, 2.0, 1.75, 3.9]);
        let keep = 2.0 / 11.0;
        let mean = ((4.0 * keep + 3.9 * (1.0 - keep)) * 1e4_f32).round() / 1e4;
        assert_eq!(rounded(ema.params()), [1.0, 2.0, 1.75, mean]);
        params.note_update(buffer, BufferUpdate::Set(params.values()[0].clone()));
        assert!(!params.is_training() && params.take_updates().is_empty());
    }

    #[test]
    fn average_warms_up() {
        let mut ema = Ema::new(&one_parameter(0.0), 0.995);
        ema.update(&one_parameter(1.0));
        assert!((ema.params().to_host()[0][0] - (1.0 - 2.0 / 11.0)).abs() < 1e-6);
    }
}
