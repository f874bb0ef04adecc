//! CrysTens Wasserstein GAN: images by a generator against a critic with a gradient penalty, both with spectral and layer
//! normalization.
//!
//! Alverson et al., Digital Discovery 3, 62 (2024), "WGAN-GP".

use burn::tensor::Tensor;
use druse_crystal::Structure;
use druse_nn::{ParamBuilder, ParamSpec, Params};

use super::model::{ImageModel, LatentModel, SERVED};
use super::{CrystalImages, CrystensSampling, ImageNormalization};
use crate::kinds::{Kind, Preset};
use crate::settings::Settings;
use crate::{Model, ModelError, NoiseKey, Phase, PhaseParameters, Prepared};

mod config;
mod network;
mod objective;
pub(crate) mod parity;

pub use config::WganConfig;

use network::Critic;
use objective::PreparedBatch;

/// The Wasserstein GAN as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "crystens-wgan",
        "images of crystals by a Wasserstein GAN with gradient penalty (CrysTens)",
        |settings, sampling: CrystensSampling| {
            Ok(Model::generator(Wgan::new(settings)?.with_sampling(sampling)))
        },
    )
    .with_conditions(SERVED)
    .with_presets([
        Preset::new("crystens-wgan", include_str!("presets/crystens-wgan.toml")),
        Preset::new("crystens-small-wgan", include_str!("presets/crystens-small-wgan.toml")),
    ])
    .with_reference_files(parity::FILES)
}

/// A CrysTens Wasserstein GAN without its parameters.
pub struct Wgan {
    config: WganConfig,
    sampling: CrystensSampling,
    specs: Vec<ParamSpec>,
    generator: network::Generator,
    critic: Critic,
    images: CrystalImages,
}

impl Wgan {
    /// Builds the networks.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: WganConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let generator = network::Generator::new(&mut builder, &config);
        let critic = Critic::new(&mut builder, &config);
        Ok(Self {
            specs: builder.finish(),
            generator,
            critic,
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
    pub fn config(&self) -> &WganConfig {
        &self.config
    }
}

impl ImageModel for Wgan {
    const KIND: &'static str = "crystens-wgan";

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

    fn phases(&self) -> Vec<Phase> {
        let moved = |name| PhaseParameters::Below(vec![name]);
        vec![
            Phase {
                name: "critic",
                parameters: moved("critic"),
                repetitions: self.config.critic_updates,
                ..Phase::default()
            },
            Phase { name: "generator", parameters: moved("gen"), ..Phase::default() },
        ]
    }

    fn prepare<'a>(
        &'a self,
        phase: usize,
        micro_batch: &[&Structure],
        noise: &[NoiseKey],
    ) -> Result<Box<dyn Prepared + 'a>, ModelError> {
        Ok(Box::new(PreparedBatch::new(self, phase == 0, micro_batch, noise)?))
    }

    /// Of the critic its distance and the penalty.
    fn parts(&self, phase: usize) -> usize {
        if phase == 0 { 2 } else { 1 }
    }

    fn is_adversarial(&self) -> bool {
        true
    }
}

impl LatentModel for Wgan {
    fn latent(&self) -> usize {
        self.config.latent
    }

    fn sampling(&self) -> &CrystensSampling {
        &self.sampling
    }

    fn generate(&self, params: &Params, latents: Tensor<2>) -> Tensor<2> {
        let calls = self.generator.calls(params, 1, false);
        self.generator.forward(params, &calls[0], latents, None)
    }
}
