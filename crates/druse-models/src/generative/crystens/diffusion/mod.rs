//! CrysTens diffusion: a cascade of two diffusion models of images, unconditional; the first makes images of half the
//! resolution, the second whole ones of them.
//!
//! Alverson et al., Digital Discovery 3, 62 (2024), "diffusion model"; the networks and the process are those of Saharia et
//! al., "Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding" (2022), without text.

use druse_crystal::{Element, Structure};
use druse_data::crystens::Image;
use druse_nn::{ParamSpec, Params};

use super::model::{ImageModel, SERVED};
use super::{CrystalImages, ImageNormalization};
use crate::kinds::{Kind, Preset};
use crate::{
    InFlight, Model, ModelError, NoiseKey, Phase, PhaseParameters, Prepared, Reverse, SampleRequest,
};

mod config;
mod model;
mod objective;
mod parity;
mod sampler;
mod schedule;

pub use config::{DiffusionConfig, DiffusionSampling, Trained};
pub use druse_nn::blocks::unet::UnetSizes;
pub use model::CrystensDiffusion;
pub use schedule::LossWeight;

use model::Stage;
use objective::PreparedImages;
use sampler::State;

/// The atoms that an image counts for where memory is limited, on the CPU one image at a time.
const ATOMS: usize = 96;

/// The cascade as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "crystens-diffusion",
        "images of crystals by two diffusion models, one after the other (CrysTens)",
        |settings, sampling: DiffusionSampling| {
            Ok(Model::generator(CrystensDiffusion::new(settings)?.with_sampling(sampling)?))
        },
    )
    .with_conditions(SERVED)
    .with_presets([
        Preset::new("crystens-diffusion", include_str!("presets/crystens-diffusion.toml")),
        Preset::new("crystens-small-diffusion", include_str!("presets/crystens-small-diffusion.toml")),
    ])
    .with_reference_files(parity::FILES)
}

impl ImageModel for CrystensDiffusion {
    const KIND: &'static str = "crystens-diffusion";

    fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn images(&self) -> &CrystalImages {
        &self.images
    }

    fn images_mut(&mut self) -> &mut CrystalImages {
        &mut self.images
    }

    fn normalization(&self) -> ImageNormalization {
        self.config.normalization
    }

    /// Each network that is trained is trained by itself, on the same images and with noise of its own.
    fn phases(&self) -> Vec<Phase> {
        let phase = |stage: Stage| Phase {
            name: stage.name(),
            parameters: PhaseParameters::Below(vec![stage.name()]),
            ..Phase::default()
        };
        self.trained().iter().copied().map(phase).collect()
    }

    fn prepare<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let stage = self.trained().get(phase).copied();
        let stage = stage.ok_or_else(|| ModelError::Config(format!("a cascade has no phase {phase}")))?;
        Ok(Box::new(PreparedImages::new(self, stage, micro_batch, noise)?))
    }
}

impl Reverse for CrystensDiffusion {
    type State = State;

    fn total_steps(&self) -> usize {
        self.sampling.base_steps + self.sampling.upsampler_steps
    }

    fn start(&self, params: &Params, request: &SampleRequest) -> Result<State, ModelError> {
        self.check_complete(params)?;
        Ok(State::of_request(request))
    }

    fn species<'s>(&self, _: &'s State) -> &'s [Element] {
        &[]
    }

    fn atoms(&self, _: &State) -> usize {
        ATOMS
    }

    fn step(&self, params: &Params, crystals: &mut [InFlight<State>]) -> Result<(), ModelError> {
        sampler::step(self, params, crystals)
    }

    fn image(&self, state: &State) -> Option<Image> {
        state.shown().ok()
    }

    fn finish(&self, _: &Params, state: State) -> Result<Structure, ModelError> {
        state.finish(self)
    }
}
