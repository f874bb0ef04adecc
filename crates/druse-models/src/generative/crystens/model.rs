//! What all models of images have in common: which structures they learn from, what they keep of a training set, what they
//! can be asked for, and of the adversarial ones, how a latent becomes a structure.
//!
//! A model says what is its own ([`ImageModel`], [`LatentModel`]); the traits of models follow.

use burn::tensor::Tensor;
use druse_crystal::{Element, Structure};
use druse_data::crystens::{Image, Normalization, SLOTS};
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use super::{CrystalImages, CrystensSampling, ImageNormalization, NUMBERS};
use crate::process::Noise;
use crate::{
    BatchStatistics, Capabilities, ConditionSet, Conditions, Generator, InFlight, InFlightSampler,
    MicroBatchLimit, ModelError, NoiseKey, Objective, Phase, Prepared, Reverse, SampleRequest, Sampler,
    Trainable,
};

/// Images of crystals are made without conditions.
pub(super) const SERVED: &[ConditionSet] = &[ConditionSet::NONE];

/// What is particular to a model of images.
pub(super) trait ImageModel: Send + Sync {
    /// [`Trainable::kind`].
    const KIND: &'static str;

    /// [`Trainable::parameters`].
    fn specs(&self) -> &[ParamSpec];

    /// The images of its training set.
    fn images(&self) -> &CrystalImages;

    /// The images of its training set, to be fitted or restored.
    fn images_mut(&mut self) -> &mut CrystalImages;

    /// How images are normalized.
    fn normalization(&self) -> ImageNormalization;

    /// [`Trainable::phases`].
    fn phases(&self) -> Vec<Phase>;

    /// [`Trainable::prepare_phase`].
    ///
    /// # Errors
    /// [`ModelError`] for a structure without an image, or a phase that there is not.
    fn prepare<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError>;

    /// Parts of the objective of a phase, each a mean over images.
    fn parts(&self, _phase: usize) -> usize {
        1
    }

    /// Whether networks compete: the losses of adversaries do not tell which state is the best, so none is kept as such, and
    /// the latest counts.
    fn is_adversarial(&self) -> bool {
        false
    }

    /// [`Trainable::batch_statistics`].
    fn batch_statistics(&self) -> BatchStatistics {
        BatchStatistics::Independent
    }
}

impl<M: ImageModel> Trainable for M {
    fn kind(&self) -> &'static str {
        M::KIND
    }

    fn parameters(&self) -> &[ParamSpec] {
        self.specs()
    }

    fn unusable(&self, structures: &[&Structure]) -> Vec<Option<String>> {
        self.images().unusable(structures)
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        let how = self.normalization();
        self.images_mut().fit(how, training)
    }

    fn statistics(&self) -> Value {
        serde_json::to_value(&self.images().statistics).expect("statistics are plain data")
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.images_mut().restore(statistics)
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        ImageModel::prepare(self, 0, micro_batch, noise)
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        self.phase_loss_counts(0, batch)
    }

    fn phases(&self) -> Vec<Phase> {
        ImageModel::phases(self)
    }

    fn prepare_phase<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        ImageModel::prepare(self, phase, micro_batch, noise)
    }

    fn phase_loss_counts(&self, phase: usize, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64; self.parts(phase)]
    }

    fn batch_statistics(&self) -> BatchStatistics {
        ImageModel::batch_statistics(self)
    }

    /// One structure has no statistics to normalize by.
    fn smallest_batch(&self) -> usize {
        match ImageModel::batch_statistics(self) {
            BatchStatistics::Independent => 1,
            BatchStatistics::PerMicroBatch | BatchStatistics::Whole => 2,
        }
    }

    fn criterion(&self, objective: &Objective) -> f64 {
        if self.is_adversarial() { f64::NAN } else { objective.total }
    }
}

impl<M: ImageModel + Reverse> Generator for M {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, Element::MAX_Z).with_max_atoms(Some(SLOTS))
    }

    fn conditions_like(&self, _: &Structure) -> Result<Conditions, ModelError> {
        Ok(Conditions::default())
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }

    fn image_normalization(&self) -> Option<Normalization> {
        Some(self.images().statistics.normalization)
    }
}

/// A model that makes an image of a latent in one pass of a network.
pub(super) trait LatentModel: ImageModel {
    /// Numbers of a latent.
    fn latent(&self) -> usize;

    /// How images become structures.
    fn sampling(&self) -> &CrystensSampling;

    /// Images of latents (images, numbers of a latent), as pixels with one feature in the order channel, row, column.
    fn generate(&self, params: &Params, latents: Tensor<2>) -> Tensor<2>;
}

/// A crystal on its way: a latent, then an image.
pub struct LatentState {
    latent: Vec<f32>,
    image: Option<Image>,
}

impl<M: LatentModel> Reverse for M {
    type State = LatentState;

    fn total_steps(&self) -> usize {
        1
    }

    fn start(&self, _: &Params, request: &SampleRequest) -> Result<LatentState, ModelError> {
        let mut noise = Noise::new(request.seed, request.index);
        Ok(LatentState { latent: (0..self.latent()).map(|_| noise.normal() as f32).collect(), image: None })
    }

    fn species<'s>(&self, _: &'s LatentState) -> &'s [Element] {
        &[]
    }

    fn atoms(&self, _: &LatentState) -> usize {
        SLOTS
    }

    fn step(&self, params: &Params, crystals: &mut [InFlight<LatentState>]) -> Result<(), ModelError> {
        let latents = crystals.iter().flat_map(|c| c.state.latent.iter().copied()).collect();
        let latents = matrix(latents, self.latent(), params.device());
        let values = to_host(params.scope(|| self.generate(params, latents)))?;
        for (crystal, values) in crystals.iter_mut().zip(values.chunks_exact(NUMBERS)) {
            match Image::from_channels_first(values) {
                Ok(image) => crystal.state.image = Some(image),
                Err(e) => crystal.fail(ModelError::Output(e.to_string())),
            }
        }
        Ok(())
    }

    fn image(&self, state: &LatentState) -> Option<Image> {
        state.image.clone()
    }

    fn finish(&self, _: &Params, state: LatentState) -> Result<Structure, ModelError> {
        let image = state.image.ok_or_else(|| ModelError::Output("no image was made".into()))?;
        self.sampling().structure(&image, &self.images().statistics.normalization)
    }
}

/// Numbers of two images that differ by less are the same.
const SAME: f64 = 1e-5;

/// Refuses images of different latents that are all the same: the generator has collapsed.
///
/// # Errors
/// [`ModelError::Collapsed`].
pub(super) fn check_variety(images: &Tensor<2>, count: usize) -> Result<(), ModelError> {
    if count < 2 {
        return Ok(());
    }
    let images = images.clone().reshape([count, NUMBERS]);
    let spread = (images.clone().max_dim(0) - images.min_dim(0)).max();
    let spread = f64::from(to_host(spread.reshape([1, 1]))?[0]);
    // Numbers that are none are a matter of the loss.
    match spread < SAME {
        true => Err(ModelError::Collapsed(format!(
            "it makes the same image of {count} latents (no number differs by more than {spread:.1e})"
        ))),
        false => Ok(()),
    }
}
