//! What each phase of a training step minimizes (Goodfellow et al. 2014; the published script).

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Tensor, activation};
use druse_crystal::Structure;
use druse_nn::Params;
use druse_nn::ops::{matrix, with_idle_threads};

use super::super::NUMBERS;
use super::super::model::check_variety;
use super::Gan;
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// The phases of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The discriminator learns from crystals.
    Real,
    /// The discriminator learns from images of the generator, which is in evaluation mode meanwhile.
    Fake,
    /// The generator learns from the discriminator, which normalizes by its running statistics meanwhile.
    Generator,
}

impl Step {
    pub const ALL: [Self; 3] = [Self::Real, Self::Fake, Self::Generator];

    /// Its name as a phase and as a part of the objective.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Fake => "fake",
            Self::Generator => "generator",
        }
    }
}

/// A batch with its noise.
pub(super) struct PreparedBatch<'a> {
    model: &'a Gan,
    step: Step,
    structures: usize,
    /// Images, or latents.
    inputs: Vec<f32>,
    /// What dropout leaves, at 1 / (1 - p).
    kept: Vec<f32>,
}

impl<'a> PreparedBatch<'a> {
    pub fn new(
        model: &'a Gan,
        step: Step,
        batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Self, ModelError> {
        let (mut inputs, mut kept) = (Vec::new(), Vec::new());
        let share = model.config.dropout;
        for (structure, key) in batch.iter().zip(noise) {
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            match step {
                Step::Real => {
                    inputs.reserve(NUMBERS);
                    inputs.extend(model.images.image(structure)?.channels_first().map(|x| x as f32));
                }
                Step::Fake | Step::Generator => {
                    inputs.extend((0..model.config.latent).map(|_| noise.normal() as f32));
                }
            }
            let factor = (1.0 / (1.0 - share)) as f32;
            let features = model.discriminator.features();
            kept.extend((0..features).map(|_| if noise.uniform() < share { 0.0 } else { factor }));
        }
        Ok(Self { model, step, structures: batch.len(), inputs, kept })
    }
}

impl Prepared for PreparedBatch<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let training = params.is_training();
        if training && self.structures == 1 {
            return Err(ModelError::Config(
                "a batch of one structure has no statistics to normalize by; train.batch_size has to be at least 2, and the training set to have as many structures".into(),
            ));
        }
        let (generator, discriminator) = (&self.model.generator, &self.model.discriminator);
        let device = params.device();
        let sum = with_idle_threads(|| -> Result<_, ModelError> {
            let kept = || training.then(|| matrix(self.kept.clone(), discriminator.features(), device));
            let latents = || matrix(self.inputs.clone(), self.model.config.latent, device);
            let judged = |images: Tensor<2>, of_batch: bool| {
                discriminator.forward(params, images, of_batch, kept(), None)
            };
            Ok(match self.step {
                Step::Real => {
                    binary_cross_entropy(judged(matrix(self.inputs.clone(), 1, device), training), true)
                }
                Step::Fake => {
                    let fakes = generator.forward(params, latents(), false, None);
                    binary_cross_entropy(judged(fakes, training), false)
                }
                Step::Generator => {
                    let fakes = generator.forward(params, latents(), training, None);
                    if training {
                        check_variety(&fakes, self.structures)?;
                    }
                    binary_cross_entropy(judged(fakes, false), true)
                }
            })
        })?;
        Ok(vec![LossTerm { name: self.step.name(), sum, count: self.structures as f64, weight: 1.0 }])
    }
}

/// The sum of the cross-entropies of logits with one label.
pub(super) fn binary_cross_entropy(logits: Tensor<2>, real: bool) -> Tensor<1> {
    let right = if real { logits } else { logits.neg() };
    log_sigmoid(right).neg().sum()
}

/// Probabilities of logits.
pub(super) fn probability(logits: &Tensor<2>) -> Tensor<2> {
    activation::sigmoid(logits.clone())
}
