//! The model: two networks, and the images of its training set.

use druse_data::crystens::{CHANNELS, EDGE};
use druse_nn::blocks::unet::Unet;
use druse_nn::memory::to_host;
use druse_nn::{ParamBuilder, ParamSpec, Params, Role};

use super::super::CrystalImages;
use super::config::{DiffusionConfig, DiffusionSampling, Trained};
use crate::ModelError;
use crate::settings::Settings;

/// Numbers of an image of half the resolution.
pub(super) const HALF_LEN: usize = EDGE / 2 * (EDGE / 2) * CHANNELS;

/// The stages of the cascade, and the phases of its training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Images of half the resolution from noise.
    Base,
    /// Whole images from noise and those of half the resolution.
    Upsampler,
}

impl Stage {
    pub const ALL: [Self; 2] = [Self::Base, Self::Upsampler];

    /// Name of its phase and of its tensors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Upsampler => "upsampler",
        }
    }

    /// Whether it has a tensor of this name.
    fn of(self, name: &str) -> bool {
        name.strip_prefix(self.name()).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Pixels along an edge of its images.
    pub fn edge(self) -> usize {
        match self {
            Self::Base => EDGE / 2,
            Self::Upsampler => EDGE,
        }
    }
}

fn stages(trained: Trained) -> &'static [Stage] {
    match trained {
        Trained::Both => &Stage::ALL,
        Trained::Base => &[Stage::Base],
        Trained::Upsampler => &[Stage::Upsampler],
    }
}

/// A cascade of diffusion models of images without its parameters.
pub struct CrystensDiffusion {
    pub(super) config: DiffusionConfig,
    pub(super) sampling: DiffusionSampling,
    pub(super) specs: Vec<ParamSpec>,
    pub(super) networks: [Unet; 2],
    pub(super) images: CrystalImages,
}

impl CrystensDiffusion {
    /// Builds the networks.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: DiffusionConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let mut network = |stage: Stage, sizes| {
            Unet::new(&mut builder, &format!("{}.", stage.name()), sizes)
                .map_err(|e| ModelError::Config(format!("{}.{e}", stage.name())))
        };
        let base = network(Stage::Base, &config.base)?;
        let upsampler = network(Stage::Upsampler, &config.upsampler)?;
        let mut specs = builder.finish();
        let trained = stages(config.trained);
        for stage in Stage::ALL.into_iter().filter(|stage| !trained.contains(stage)) {
            let own = specs.iter_mut().filter(|spec| stage.of(&spec.name));
            own.for_each(|spec| spec.role = Role::Frozen);
        }
        Ok(Self {
            networks: [base, upsampler],
            specs,
            images: CrystalImages::default(),
            sampling: DiffusionSampling::default(),
            config,
        })
    }

    /// With other settings of sampling than the published ones.
    ///
    /// # Errors
    /// [`ModelError::Config`] when they are impossible.
    pub fn with_sampling(self, sampling: DiffusionSampling) -> Result<Self, ModelError> {
        sampling.validate()?;
        Ok(Self { sampling, ..self })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &DiffusionConfig {
        &self.config
    }

    /// The stages that are trained: the phases of a step.
    pub(super) fn trained(&self) -> &'static [Stage] {
        stages(self.config.trained)
    }

    /// Refuses a cascade of which one network was trained and the other never: its last layer is still zero.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the network.
    pub(super) fn check_complete(&self, params: &Params) -> Result<(), ModelError> {
        let is_fresh = |stage: Stage| -> Result<bool, ModelError> {
            let last = format!("{}.final_conv.weight", stage.name());
            match self.specs.iter().position(|spec| spec.name == last) {
                Some(place) => Ok(to_host(params.values()[place].clone())?.iter().all(|&x| x == 0.0)),
                None => Ok(true),
            }
        };
        let missing = match (is_fresh(Stage::Base)?, is_fresh(Stage::Upsampler)?) {
            (true, false) => Stage::Base.name(),
            (false, true) => Stage::Upsampler.name(),
            _ => return Ok(()),
        };
        Err(ModelError::Config(format!(
            "the cascade is not complete: its network `{missing}` was never trained; train it with model.trained = \"{missing}\" and train.init = the path of this model"
        )))
    }

    pub(super) fn network(&self, stage: Stage) -> &Unet {
        match stage {
            Stage::Base => &self.networks[0],
            Stage::Upsampler => &self.networks[1],
        }
    }
}
