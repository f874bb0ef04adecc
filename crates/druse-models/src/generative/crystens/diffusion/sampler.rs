//! Sampling: from noise to an image of half the resolution, and from noise and this one to a whole image.

use druse_crystal::Structure;
use druse_data::crystens::{CHANNELS, Codec, EDGE, IMAGE_LEN, Image};
use druse_nn::Params;
use druse_nn::blocks::unet::UnetInput;
use druse_nn::memory::to_host;
use druse_nn::ops::{ImageGrid, matrix};

use super::super::CrystensSampling;
use super::model::{CrystensDiffusion, HALF_LEN, Stage};
use super::schedule::{ReverseStep, Schedule, alpha_sigma, doubled, threshold};
use crate::process::Noise;
use crate::{InFlight, ModelError, Reverse, SampleRequest};

/// Where the noise of an image comes from.
pub trait Normal {
    /// So many standard normal numbers, pixel by pixel with their channels.
    fn normal(&mut self, len: usize) -> Vec<f64>;
}

impl Normal for Noise {
    fn normal(&mut self, len: usize) -> Vec<f64> {
        (0..len).map(|_| Noise::normal(self)).collect()
    }
}

/// One image on its way from noise. Pixels come with their channels.
pub struct State<N = Noise> {
    /// The noisy image, in [-1, 1] at the end.
    pub(super) x: Vec<f64>,
    /// What the second network sees of the first image.
    pub(super) low_resolution: Vec<f32>,
    noise: N,
}

/// One step of one image, in parts.
pub(super) struct Moved {
    /// Predicted image before any limit.
    pub unlimited: Vec<f64>,
    /// The quantile of its magnitudes.
    pub quantile: f64,
    /// Predicted image.
    pub clean: Vec<f64>,
    pub mean: Vec<f64>,
}

impl<N: Normal> State<N> {
    pub(super) fn start(mut noise: N, stage: Stage) -> Self {
        let len = stage.edge() * stage.edge() * CHANNELS;
        Self { x: noise.normal(len), low_resolution: Vec::new(), noise }
    }

    /// The next image, by the predicted noise; `amend` may change the predicted image once it is limited.
    pub(super) fn advance(
        &mut self,
        step: &ReverseStep,
        predicted: &[f32],
        part: f64,
        amend: impl FnOnce(&mut [f64]),
    ) -> Moved {
        let unlimited = step.clean(&self.x, predicted);
        let mut clean = unlimited.clone();
        let quantile = threshold(&mut clean, part);
        amend(&mut clean);
        let mean = step.mean(&self.x, &clean);
        let deviation = step.deviation();
        let noise = self.noise.normal(mean.len());
        self.x = mean.iter().zip(noise).map(|(mean, e)| mean + deviation * e).collect();
        Moved { unlimited, quantile, clean, mean }
    }

    /// The image of half the resolution is done: limits it, noises it for the second network, and begins a whole image.
    /// Returns the limited image.
    pub(super) fn ascend(&mut self, time: f64) -> Vec<f64> {
        let half: Vec<f64> = self.x.iter().map(|x| x.clamp(-1.0, 1.0)).collect();
        self.low_resolution = noised(&doubled(&half, EDGE / 2), time, &mut self.noise);
        self.x = self.noise.normal(IMAGE_LEN);
        half
    }

    /// The numbers of the image in [0, 1].
    pub(super) fn image(&self) -> Vec<f64> {
        to_unit(&self.x)
    }
}

/// Numbers of an image in [-1, 1], cut there, as numbers in [0, 1].
fn to_unit(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| (x.clamp(-1.0, 1.0) + 1.0) / 2.0).collect()
}

/// Takes its contradictions out of a whole image in [-1, 1]. One that shows no atoms stays as it is.
fn reconcile(x: &mut [f64], codec: &Codec) {
    let Ok(image) = Image::from_channels_last(&to_unit(x)) else { return };
    if let Ok(image) = codec.reconciled(&image) {
        // Distances of coordinates beyond the cell may exceed the largest one of the training set.
        x.iter_mut().zip(image.channels_last()).for_each(|(x, y)| *x = (2.0 * y - 1.0).clamp(-1.0, 1.0));
    }
}

/// An image of lower resolution as the second network sees it.
pub(super) fn noised(image: &[f64], time: f64, noise: &mut impl Normal) -> Vec<f32> {
    let [alpha, sigma] = alpha_sigma(Schedule::Linear.log_snr(time));
    let noise = noise.normal(image.len());
    image.iter().zip(noise).map(|(x, e)| (alpha * x + sigma * e) as f32).collect()
}

/// The noise that a network sees in images, which may be at different times.
pub(super) fn predict<N>(
    model: &CrystensDiffusion,
    params: &Params,
    stage: Stage,
    images: &[(&State<N>, ReverseStep)],
    low_resolution_time: f64,
) -> Result<Vec<f32>, ModelError> {
    let device = params.device();
    let x = images.iter().flat_map(|(state, _)| state.x.iter().map(|&x| x as f32)).collect();
    let low_resolution = (stage == Stage::Upsampler).then(|| {
        let pixels = images.iter().flat_map(|(state, _)| state.low_resolution.iter().copied()).collect();
        let level = Schedule::Linear.log_snr(low_resolution_time);
        (matrix(pixels, CHANNELS, device), vec![level; images.len()])
    });
    let input = UnetInput {
        x: matrix(x, CHANNELS, device),
        grid: ImageGrid::square(images.len(), stage.edge()),
        log_snr: images.iter().map(|(_, step)| step.log_snr).collect(),
        low_resolution,
        dropout: None,
    };
    Ok(to_host(params.scope(|| model.network(stage).forward(params, input)))?)
}

impl State {
    pub(super) fn of_request(request: &SampleRequest) -> Self {
        Self::start(Noise::new(request.seed, request.index), Stage::Base)
    }

    /// The image, whole at the end.
    pub(super) fn shown(&self) -> Result<Image, ModelError> {
        Image::from_channels_last(&self.image()).map_err(|e| ModelError::Output(e.to_string()))
    }

    pub(super) fn finish(self, model: &CrystensDiffusion) -> Result<Structure, ModelError> {
        let image = self.shown()?;
        let sampling = CrystensSampling { decoding: model.sampling.decoding };
        sampling.structure(&image, &model.images.statistics.normalization)
    }
}

/// The stage of a step and its place in it.
fn place(model: &CrystensDiffusion, step: usize) -> (Stage, ReverseStep) {
    let (base, upsampler) = (model.sampling.base_steps, model.sampling.upsampler_steps);
    match step.checked_sub(base) {
        None => (Stage::Base, ReverseStep::of(step, base)),
        Some(step) => (Stage::Upsampler, ReverseStep::of(step, upsampler)),
    }
}

/// One call of each network that images need; they may be at different steps. When it fails, no image has moved.
pub(super) fn step(
    model: &CrystensDiffusion,
    params: &Params,
    crystals: &mut [InFlight<State>],
) -> Result<(), ModelError> {
    let places: Vec<(Stage, ReverseStep)> = crystals.iter().map(|c| place(model, c.step)).collect();
    let mut predicted = vec![Vec::new(); crystals.len()];
    for stage in Stage::ALL {
        let chosen: Vec<usize> = (0..crystals.len()).filter(|&i| places[i].0 == stage).collect();
        if chosen.is_empty() {
            continue;
        }
        let images: Vec<_> = chosen.iter().map(|&i| (&crystals[i].state, places[i].1)).collect();
        let noise = predict(model, params, stage, &images, model.sampling.low_resolution_time)?;
        let len = noise.len() / chosen.len();
        chosen.iter().zip(noise.chunks(len)).for_each(|(&i, noise)| predicted[i] = noise.to_vec());
    }
    for ((crystal, (stage, step)), predicted) in crystals.iter_mut().zip(places).zip(predicted) {
        if predicted.iter().any(|x| !x.is_finite()) {
            let reason = format!("a number that is not finite at step {}", crystal.step);
            crystal.fail(ModelError::Output(reason));
            continue;
        }
        debug_assert!(stage == Stage::Upsampler || crystal.state.x.len() == HALF_LEN);
        let reconciled = crystal.step + model.sampling.reconciled_steps >= model.total_steps();
        let codec = Codec::new(model.images.statistics.normalization);
        crystal.state.advance(&step, &predicted, model.sampling.threshold, |clean| {
            if reconciled {
                reconcile(clean, &codec);
            }
        });
        if crystal.step + 1 == model.sampling.base_steps {
            crystal.state.ascend(model.sampling.low_resolution_time);
        }
    }
    Ok(())
}
