//! What each phase of a training step minimizes (Gulrajani et al., NeurIPS 2017, equation 3 and algorithm 1).

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::ops::{matrix, with_idle_threads};
use druse_nn::tangent::{Dual, input_gradient_loss};

use super::super::NUMBERS;
use super::super::model::check_variety;
use super::Wgan;
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// Calls of the critic in one of its updates: real images, generated ones, and what lies between.
const CALLS: usize = 3;

/// A micro-batch with its noise.
pub(super) struct PreparedBatch<'a> {
    model: &'a Wgan,
    critic: bool,
    structures: usize,
    /// Real images; of the critic's phase.
    real: Vec<f32>,
    latents: Vec<f32>,
    /// Weight of the real image for every number of an image; of the critic's phase.
    mixture: Vec<f32>,
    /// What dropout leaves in each call, at 1 / (1 - p).
    kept: Vec<Vec<f32>>,
}

impl<'a> PreparedBatch<'a> {
    pub fn new(
        model: &'a Wgan,
        critic: bool,
        batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Self, ModelError> {
        let share = model.config.dropout;
        let factor = (1.0 / (1.0 - share)) as f32;
        let mut prepared = Self {
            model,
            critic,
            structures: batch.len(),
            real: Vec::new(),
            latents: Vec::new(),
            mixture: Vec::new(),
            kept: vec![Vec::new(); if critic { CALLS } else { 1 }],
        };
        for (structure, key) in batch.iter().zip(noise) {
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            prepared.latents.extend((0..model.config.latent).map(|_| noise.normal() as f32));
            if critic {
                prepared.real.reserve(NUMBERS);
                prepared.real.extend(model.images.image(structure)?.channels_first().map(|x| x as f32));
                prepared.mixture.extend(std::iter::repeat_n(noise.uniform() as f32, NUMBERS));
            }
            for kept in &mut prepared.kept {
                let features = model.critic.features();
                kept.extend((0..features).map(|_| if noise.uniform() < share { 0.0 } else { factor }));
            }
        }
        Ok(prepared)
    }

    fn kept(&self, params: &Params, call: usize) -> Option<Tensor<2>> {
        let features = self.model.critic.features();
        params.is_training().then(|| matrix(self.kept[call].clone(), features, params.device()))
    }

    /// Images of the generator, which rescales its weights once.
    fn fakes(&self, params: &Params) -> Tensor<2> {
        let latents = matrix(self.latents.clone(), self.model.config.latent, params.device());
        let calls = self.model.generator.calls(params, 1, true);
        self.model.generator.forward(params, &calls[0], latents, None)
    }

    fn of_critic(&self, params: &Params) -> Vec<LossTerm> {
        let critic = &self.model.critic;
        let device = params.device();
        let fakes = self.fakes(params);
        let real = matrix(self.real.clone(), 1, device);
        let calls = critic.calls(params, CALLS, true);
        let judged = |images: &Tensor<2>, call: usize| {
            let images = Dual::constant(images.clone());
            critic.forward(params, &calls[call], images, self.kept(params, call), None).value.sum()
        };
        let distance = judged(&fakes, 1) - judged(&real, 0);
        let mixture = matrix(self.mixture.clone(), 1, device);
        let between = fakes.clone() + mixture * (real - fakes);
        let kept = self.kept(&params.untracked(), 2);
        let penalty = input_gradient_loss(
            params,
            [between],
            |params, [x]| {
                let calls = critic.calls(params, CALLS, false);
                let kept = kept.clone().map(|kept| match params.device().is_autodiff() {
                    true => Tensor::from_inner(kept),
                    false => kept,
                });
                critic.forward(params, &calls[CALLS - 1], x, kept, None)
            },
            |[slopes]| penalty(slopes, self.structures),
        );
        let term = |name, sum, weight| LossTerm { name, sum, count: self.structures as f64, weight };
        vec![term("critic", distance, 1.0), term("penalty", penalty, self.model.config.penalty)]
    }
}

/// The norm of the input gradient of every sample: (batch, 1).
pub(super) fn gradient_norms(slopes: Tensor<2>, samples: usize) -> Tensor<2> {
    let slopes = slopes.reshape([samples, NUMBERS]);
    // The root has no derivative at zero.
    (slopes.clone() * slopes).sum_dim(1).clamp_min(1e-24).sqrt()
}

/// `Σ (|∂D/∂x| - 1)²`.
pub(super) fn penalty(slopes: Tensor<2>, samples: usize) -> Tensor<1> {
    (gradient_norms(slopes, samples) - 1.0).powi_scalar(2).sum()
}

impl Prepared for PreparedBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        if self.critic {
            return Ok(with_idle_threads(|| self.of_critic(params)));
        }
        let sum = with_idle_threads(|| -> Result<_, ModelError> {
            let fakes = self.fakes(params);
            if params.is_training() {
                check_variety(&fakes, self.structures)?;
            }
            let fakes = Dual::constant(fakes);
            let calls = self.model.critic.calls(params, 1, true);
            let judged = self.model.critic.forward(params, &calls[0], fakes, self.kept(params, 0), None);
            Ok(judged.value.sum().neg())
        })?;
        Ok(vec![LossTerm { name: "generator", sum, count: self.structures as f64, weight: 1.0 }])
    }
}
