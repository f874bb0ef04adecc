//! Hyper-parameters.

use druse_nn::blocks::dimenet::DimeNetConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DecoderConfig;
use crate::ModelError;
use crate::process::{Langevin, NoiseLevels};
use crate::settings::{Settings, at_least_one, check_dynamics, not_negative};

/// Weights of the parts of the objective (published code).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Cross-entropy of the number of atoms.
    pub num_atoms: f64,
    /// Squared error of the normalized lattice parameters.
    pub lattice: f64,
    /// Cross-entropy of the composition.
    pub composition: f64,
    /// Denoising score matching of the positions.
    pub coordinate: f64,
    /// Cross-entropy of the denoised species.
    pub species: f64,
    /// Divergence of the posterior from the prior.
    pub kl: f64,
    /// Squared error of the standardized property.
    pub property: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self {
            num_atoms: 1.0,
            lattice: 10.0,
            composition: 1.0,
            coordinate: 10.0,
            species: 1.0,
            kl: 0.01,
            property: 1.0,
        }
    }
}

/// Noise of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseConfig {
    /// Number of noise levels of positions and of species.
    pub levels: usize,
    /// First and last noise level of positions (Å).
    pub positions: [f64; 2],
    /// First and last noise level of species.
    pub species: [f64; 2],
}

impl Default for NoiseConfig {
    fn default() -> Self {
        Self { levels: 50, positions: [10.0, 0.01], species: [5.0, 0.01] }
    }
}

/// The dynamics of sampling: annealed Langevin (Algorithm 1 of the paper).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CdvaeSampling {
    /// Langevin steps at each noise level. Fewer are faster; metrics of such structures are not those of the protocol.
    pub steps_per_level: usize,
    /// Langevin step size at the last level (Å²).
    pub step_size: f64,
}

impl Default for CdvaeSampling {
    /// The published protocol.
    fn default() -> Self {
        Self { steps_per_level: 100, step_size: 1e-4 }
    }
}

impl CdvaeSampling {
    pub(super) fn langevin(&self, levels: NoiseLevels) -> Langevin {
        Langevin::new(levels, self.steps_per_level, self.step_size)
    }
}

impl Settings for CdvaeSampling {
    fn validate(&self) -> Result<(), ModelError> {
        check_dynamics(self.steps_per_level, self.step_size)
    }
}

/// All hyper-parameters of a CDVAE model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CdvaeConfig {
    /// Dimensions of the latent space.
    pub latent: usize,
    /// Width of the hidden layer of the aggregate heads.
    pub head: usize,
    /// Atoms of the largest cell that the model can count.
    pub max_atoms: usize,
    /// The network that reads crystals.
    pub encoder: DimeNetConfig,
    /// The network that denoises crystals.
    pub decoder: DecoderConfig,
    /// Noise and dynamics.
    pub noise: NoiseConfig,
    /// Weights of the objective.
    pub weights: LossWeights,
    /// Last epoch, from 0, in which the true lattice is used to corrupt positions; later the predicted one is.
    pub teacher_forcing_epochs: u64,
    /// Name of the property that is learned with the latents; absent: none.
    pub property: Option<String>,
}

impl Default for CdvaeConfig {
    /// The published sizes, for MP-20.
    fn default() -> Self {
        Self {
            latent: 256,
            head: 256,
            max_atoms: 20,
            encoder: DimeNetConfig::default(),
            decoder: DecoderConfig::published(),
            noise: NoiseConfig::default(),
            weights: LossWeights::default(),
            teacher_forcing_epochs: 500,
            property: None,
        }
    }
}

impl Settings for CdvaeConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let wrong = |key: &str, value: &dyn std::fmt::Debug, expected: &str| {
            Err(ModelError::Config(format!("{key} = {value:?}, expected {expected}")))
        };
        let n = &self.noise;
        at_least_one(&[
            ("latent", self.latent),
            ("head", self.head),
            ("max_atoms", self.max_atoms),
            ("noise.levels", n.levels),
        ])?;
        for (key, levels) in [("noise.positions", n.positions), ("noise.species", n.species)] {
            if !(0.0 < levels[1] && levels[1] <= levels[0] && levels[0].is_finite()) {
                return wrong(key, &levels, "two positive numbers, the larger one first");
            }
        }
        let w = &self.weights;
        not_negative(&[
            ("weights.num_atoms", w.num_atoms),
            ("weights.lattice", w.lattice),
            ("weights.composition", w.composition),
            ("weights.coordinate", w.coordinate),
            ("weights.species", w.species),
            ("weights.kl", w.kl),
            ("weights.property", w.property),
        ])?;
        self.encoder.validate().map_err(|e| ModelError::Config(format!("encoder.{e}")))?;
        self.decoder.validate()
    }
}
