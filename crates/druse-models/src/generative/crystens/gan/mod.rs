//! CrysTens GAN: images by a generator against a discriminator, both with batch normalization and side branches of planes.
//!
//! Alverson et al., Digital Discovery 3, 62 (2024), "vanilla GAN".

use druse_crystal::{Element, Structure};
use druse_data::crystens::Image;
use druse_nn::memory::to_host;
use druse_nn::ops::matrix;
use druse_nn::{ParamBuilder, ParamSpec, Params};
use serde_json::Value;

use super::{CrystalImages, CrystensSampling, NUMBERS};
use crate::kinds::{Kind, Preset};
use crate::process::Noise;
use crate::settings::Settings;
use crate::{
    BatchStatistics, Capabilities, ConditionSet, Conditions, Generator, InFlight, InFlightSampler,
    MicroBatchLimit, Model, ModelError, NoiseKey, Objective, Phase, PhaseParameters, Prepared, Reverse,
    SampleRequest, Sampler, Trainable,
};

mod config;
mod network;
mod objective;
pub(crate) mod parity;

pub use config::GanConfig;

use network::Discriminator;
use objective::{PreparedBatch, Step};

/// It makes crystals without conditions.
const SERVED: &[ConditionSet] = &[ConditionSet::NONE];

/// The GAN as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "crystens-gan",
        "images of crystals by a generative adversarial network (CrysTens)",
        |settings, sampling: CrystensSampling| {
            Ok(Model::generator(Gan::new(settings)?.with_sampling(sampling)))
        },
    )
    .with_conditions(SERVED)
    .with_presets([
        Preset::new("crystens-gan", include_str!("presets/crystens-gan.toml")),
        Preset::new("crystens-small-gan", include_str!("presets/crystens-small-gan.toml")),
    ])
    .with_reference_files(parity::FILES)
}

/// A CrysTens GAN without its parameters.
pub struct Gan {
    config: GanConfig,
    sampling: CrystensSampling,
    specs: Vec<ParamSpec>,
    generator: network::Generator,
    discriminator: Discriminator,
    images: CrystalImages,
}

impl Gan {
    /// Builds the networks.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: GanConfig) -> Result<Self, ModelError> {
        Self::build(config, false)
    }

    /// With biased running variances everywhere, as the reference evaluation in double precision has them.
    fn build(config: GanConfig, biased: bool) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let generator = network::Generator::new(&mut builder, &config, biased);
        let discriminator = Discriminator::new(&mut builder, &config, biased);
        Ok(Self {
            specs: builder.finish(),
            generator,
            discriminator,
            images: CrystalImages::default(),
            sampling: CrystensSampling::default(),
            config,
        })
    }

    /// With other settings of sampling.
    #[must_use]
    pub fn with_sampling(self, sampling: CrystensSampling) -> Self {
        Self { sampling, ..self }
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &GanConfig {
        &self.config
    }
}

impl Trainable for Gan {
    fn kind(&self) -> &'static str {
        "crystens-gan"
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

    /// The published script makes three updates in turn: of the discriminator with real images and with generated ones, each
    /// normalized by statistics of its own, and of the generator.
    fn phases(&self) -> Vec<Phase> {
        let phase = |step: Step| {
            let moved = if step == Step::Generator { "gen" } else { "disc" };
            Phase { name: step.name(), parameters: PhaseParameters::Below(vec![moved]), ..Phase::default() }
        };
        Step::ALL.map(phase).into()
    }

    fn prepare_phase<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let step = Step::ALL.get(phase).copied();
        let step = step.ok_or_else(|| ModelError::Config(format!("a GAN has no phase {phase}")))?;
        Ok(Box::new(PreparedBatch::new(self, step, micro_batch, noise)?))
    }

    fn batch_statistics(&self) -> BatchStatistics {
        BatchStatistics::Whole
    }

    /// The losses of adversaries do not tell which state is the best: none is kept as such, and the latest counts.
    fn criterion(&self, _: &Objective) -> f64 {
        f64::NAN
    }
}

impl Generator for Gan {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new(SERVED, Element::MAX_Z).with_max_atoms(Some(druse_data::crystens::SLOTS))
    }

    fn conditions_like(&self, _: &Structure) -> Result<Conditions, ModelError> {
        Ok(Conditions::default())
    }

    fn sampler<'a>(&'a self, params: &'a Params, limit: &'a MicroBatchLimit) -> Box<dyn Sampler + 'a> {
        InFlightSampler::boxed(self, params, limit)
    }
}

/// A crystal on its way: a latent, then an image.
pub struct State {
    latent: Vec<f32>,
    image: Option<Image>,
}

impl Reverse for Gan {
    type State = State;

    fn total_steps(&self) -> usize {
        1
    }

    fn start(&self, _: &Params, request: &SampleRequest) -> Result<State, ModelError> {
        let mut noise = Noise::new(request.seed, request.index);
        Ok(State { latent: (0..self.config.latent).map(|_| noise.normal() as f32).collect(), image: None })
    }

    fn species<'s>(&self, _: &'s State) -> &'s [Element] {
        &[]
    }

    fn atoms(&self, _: &State) -> usize {
        druse_data::crystens::SLOTS
    }

    fn step(&self, params: &Params, crystals: &mut [InFlight<State>]) -> Result<(), ModelError> {
        let latents = crystals.iter().flat_map(|c| c.state.latent.iter().copied()).collect();
        let latents = matrix(latents, self.config.latent, params.device());
        let values = to_host(params.scope(|| self.generator.forward(params, latents, false, None)))?;
        for (crystal, values) in crystals.iter_mut().zip(values.chunks_exact(NUMBERS)) {
            match Image::from_channels_first(values) {
                Ok(image) => crystal.state.image = Some(image),
                Err(e) => crystal.fail(ModelError::Output(e.to_string())),
            }
        }
        Ok(())
    }

    fn finish(&self, _: &Params, state: State) -> Result<Structure, ModelError> {
        let image = state.image.ok_or_else(|| ModelError::Output("no image was made".into()))?;
        self.sampling.structure(&image, &self.images.statistics.normalization)
    }
}
