//! CrysTens diffusion: a cascade of two diffusion models of images, unconditional; the first makes images of half the
//! resolution, the second whole ones of them.
//!
//! Alverson et al., Digital Discovery 3, 62 (2024), "diffusion model"; the networks and the process are those of Saharia et
//! al., "Photorealistic Text-to-Image Diffusion Models with Deep Language Understanding" (2022), without text.

use druse_crystal::{Element, Structure};
use druse_data::crystens::SLOTS;
use druse_nn::{ParamSpec, Params};
use serde_json::Value;

use crate::kinds::{Kind, Preset};
use crate::{
    Capabilities, ConditionSet, Conditions, Generator, InFlight, InFlightSampler, MicroBatchLimit, Model,
    ModelError, NoiseKey, Phase, PhaseParameters, Prepared, Reverse, SampleRequest, Sampler, Trainable,
};

mod config;
mod model;
mod objective;
mod parity;
mod sampler;
mod schedule;

pub use config::{BaseNetwork, DiffusionConfig, DiffusionSampling, Trained, UpsamplerNetwork};
pub use model::CrystensDiffusion;
pub use schedule::LossWeight;

use model::Stage;
use objective::PreparedImages;
use sampler::State;

/// It makes crystals without conditions.
const SERVED: &[ConditionSet] = &[ConditionSet::NONE];

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

impl Trainable for CrystensDiffusion {
    fn kind(&self) -> &'static str {
        "crystens-diffusion"
    }

    fn parameters(&self) -> &[ParamSpec] {
        &self.specs
    }

    fn unusable(&self, structures: &[&Structure]) -> Vec<Option<String>> {
        self.images.unusable(structures)
    }

    fn fit_statistics(&mut self, training: &[&Structure]) -> Result<(), ModelError> {
        self.images.fit(self.config.normalization, training)
    }

    fn statistics(&self) -> Value {
        serde_json::to_value(&self.images.statistics).expect("statistics are plain data")
    }

    fn restore_statistics(&mut self, statistics: &Value) -> Result<(), ModelError> {
        self.images.restore(statistics)
    }

    fn prepare<'a>(
        &'a self,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        self.prepare_phase(0, micro_batch, noise)
    }

    fn loss_counts(&self, batch: &[&Structure]) -> Vec<f64> {
        vec![batch.len() as f64]
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

    fn prepare_phase<'a>(
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

impl Generator for CrystensDiffusion {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, Element::MAX_Z).with_max_atoms(Some(SLOTS))
    }

    fn conditions_like(&self, _: &Structure) -> Result<Conditions, ModelError> {
        Ok(Conditions::default())
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
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

    fn finish(&self, _: &Params, state: State) -> Result<Structure, ModelError> {
        state.finish(self)
    }
}
