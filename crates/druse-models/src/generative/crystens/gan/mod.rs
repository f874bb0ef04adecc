//! CrysTens GAN: images by a generator against a discriminator, both with batch normalization and side branches of planes.
//!
//! Alverson et al., Digital Discovery 3, 62 (2024), "vanilla GAN".

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::{ParamBuilder, ParamSpec, Params};

use super::model::{ImageModel, LatentModel, SERVED};
use super::{CrystalImages, CrystensSampling, ImageNormalization};
use crate::kinds::{Kind, Preset};
use crate::settings::Settings;
use crate::{BatchStatistics, Model, ModelError, NoiseKey, Phase, PhaseParameters, Prepared};

mod config;
mod network;
mod objective;
pub(crate) mod parity;

pub use config::GanConfig;

use network::Discriminator;
use objective::{PreparedBatch, Step};

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

impl ImageModel for Gan {
    const KIND: &'static str = "crystens-gan";

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

    /// The published script makes three updates in turn: of the discriminator with real images and with generated ones, each
    /// normalized by statistics of its own, and of the generator.
    fn phases(&self) -> Vec<Phase> {
        let phase = |step: Step| {
            let moved = if step == Step::Generator { "gen" } else { "disc" };
            Phase { name: step.name(), parameters: PhaseParameters::Below(vec![moved]), ..Phase::default() }
        };
        Step::ALL.map(phase).into()
    }

    fn prepare<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        let step = Step::ALL.get(phase).copied();
        let step = step.ok_or_else(|| ModelError::Config(format!("a GAN has no phase {phase}")))?;
        Ok(Box::new(PreparedBatch::new(self, step, micro_batch, noise)?))
    }

    fn is_adversarial(&self) -> bool {
        true
    }

    fn batch_statistics(&self) -> BatchStatistics {
        BatchStatistics::Whole
    }
}

impl LatentModel for Gan {
    fn latent(&self) -> usize {
        self.config.latent
    }

    fn sampling(&self) -> &CrystensSampling {
        &self.sampling
    }

    fn generate(&self, params: &Params, latents: Tensor<2>) -> Tensor<2> {
        self.generator.forward(params, latents, false, None)
    }
}
