//! The training objective: the noise of an image at a random time, each network by itself (Ho et al. 2022, Algorithm 1).

use druse_crystal::Structure;
use druse_data::crystens::{CHANNELS, EDGE};
use druse_nn::Params;
use druse_nn::blocks::unet::{UnetDropout, UnetInput};
use druse_nn::ops::{ImageGrid, matrix};

use super::model::{CrystensDiffusion, Stage};
use super::schedule::{Schedule, alpha_sigma, doubled, halved};
use crate::process::Noise;
use crate::{LossTerm, ModelError, NoiseKey, Prepared};

/// Times of training are below this one, where nothing is left of an image.
const LAST_TIME: f64 = 0.999;

/// An image in noise, in the form that a network takes it.
#[derive(Default)]
pub(super) struct Noisy {
    /// Pixels with their channels, image by image.
    pub x: Vec<f32>,
    /// The noise that is in it, likewise.
    pub noise: Vec<f32>,
    /// Of each image.
    pub log_snr: Vec<f64>,
}

impl Noisy {
    /// Adds an image at a time; `image` has its numbers in [-1, 1].
    pub fn push(&mut self, image: &[f64], schedule: Schedule, t: f64, mut noise: impl FnMut() -> f64) {
        let log_snr = schedule.log_snr(t);
        let [alpha, sigma] = alpha_sigma(log_snr);
        for x in image {
            let e = noise();
            self.noise.push(e as f32);
            self.x.push((alpha * x + sigma * e) as f32);
        }
        self.log_snr.push(log_snr);
    }
}

/// A micro-batch with everything that needs no weights.
pub(super) struct PreparedImages<'a> {
    model: &'a CrystensDiffusion,
    stage: Stage,
    noisy: Noisy,
    /// Images of half the resolution, doubled again and noised; empty for the first network.
    low_resolution: Noisy,
    /// For dropout, of each image.
    seeds: Vec<u64>,
}

impl<'a> PreparedImages<'a> {
    pub fn new(
        model: &'a CrystensDiffusion,
        stage: Stage,
        batch: &[&Structure],
        keys: &[NoiseKey],
    ) -> Result<Self, ModelError> {
        let (mut noisy, mut low_resolution, mut seeds) = (Noisy::default(), Noisy::default(), Vec::new());
        for (structure, key) in batch.iter().zip(keys) {
            let image = model.images.image(structure)?;
            let image: Vec<f64> = image.channels_last().iter().map(|x| 2.0 * x - 1.0).collect();
            let half = halved(&image, EDGE);
            let mut noise = Noise::of_epoch(key.seed, key.epoch, key.index);
            let t = LAST_TIME * noise.uniform();
            match stage {
                Stage::Base => noisy.push(&half, Schedule::Cosine, t, || noise.normal()),
                Stage::Upsampler => {
                    noisy.push(&image, Schedule::Cosine, t, || noise.normal());
                    let t = LAST_TIME * noise.uniform();
                    let doubled = doubled(&half, EDGE / 2);
                    low_resolution.push(&doubled, Schedule::Linear, t, || noise.normal());
                }
            }
            seeds.push(noise.uniform().to_bits());
        }
        Ok(Self { model, stage, noisy, low_resolution, seeds })
    }
}

impl Prepared for PreparedImages<'_> {
    fn loss(&self, params: &Params) -> Result<Vec<LossTerm>, ModelError> {
        let (device, images) = (params.device(), self.noisy.log_snr.len());
        let grid = ImageGrid::square(images, self.stage.edge());
        let pixels = |numbers: &[f32]| matrix(numbers.to_vec(), CHANNELS, device);
        let input = UnetInput {
            x: pixels(&self.noisy.x),
            grid,
            log_snr: self.noisy.log_snr.clone(),
            low_resolution: (self.stage == Stage::Upsampler)
                .then(|| (pixels(&self.low_resolution.x), self.low_resolution.log_snr.clone())),
            dropout: params
                .is_training()
                .then(|| UnetDropout { share: self.model.config.dropout, seeds: self.seeds.clone() }),
        };
        let error = self.model.network(self.stage).forward(params, input) - pixels(&self.noisy.noise);
        let per_image = grid.pixels() * CHANNELS;
        let weights = self.noisy.log_snr.iter();
        let weights = weights.map(|&l| (self.model.config.loss_weight.at(l) / per_image as f64) as f32);
        let errors = (error.clone() * error).reshape([images, per_image]).sum_dim(1);
        let sum = (errors * matrix(weights.collect(), 1, device)).sum();
        Ok(vec![LossTerm { name: self.stage.name(), sum, count: images as f64, weight: 1.0 }])
    }
}
