//! Hyper-parameters.

use druse_nn::blocks::spherenet::SphereNetConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::published_norms;
use super::score::ScoreConfig;
use crate::ModelError;
use crate::process::{Langevin, NoiseLevels};
use crate::settings::{Settings, at_least_one, check_dynamics, not_negative};

/// Weights of the parts of the objective (published code).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Cross-entropy of the number of elements.
    pub num_elements: f64,
    /// Binary cross-entropy of the presence of each element.
    pub presence: f64,
    /// Cross-entropy of the number of atoms of each element.
    pub num_atoms: f64,
    /// Squared error of the normalized lattice parameters.
    pub lattice: f64,
    /// Denoising score matching of the positions.
    pub coordinate: f64,
    /// Divergence of the posterior from the prior.
    pub kl: f64,
    /// Squared error of the standardized property.
    pub property: f64,
}

impl Default for LossWeights {
    fn default() -> Self {
        Self {
            num_elements: 1.0,
            presence: 30.0,
            num_atoms: 1.0,
            lattice: 10.0,
            coordinate: 10.0,
            kl: 0.01,
            property: 1.0,
        }
    }
}

/// What scores are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreLoss {
    /// Vectors of the atoms (published code).
    PerNode,
    /// Numbers of the edges (paper).
    PerEdge,
}

/// Where the norms of the scores come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScoreNorm {
    /// From the training set.
    #[serde(rename = "derived")]
    Derived,
    /// The published ones of Perov-5.
    #[serde(rename = "perov-5")]
    Perov5,
    /// The published ones of Carbon-24.
    #[serde(rename = "carbon-24")]
    Carbon24,
    /// The published ones of MP-20.
    #[serde(rename = "mp-20")]
    Mp20,
}

impl ScoreNorm {
    /// Its name in configurations.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Derived => "derived",
            Self::Perov5 => "perov-5",
            Self::Carbon24 => "carbon-24",
            Self::Mp20 => "mp-20",
        }
    }

    /// The published constants, for the noise levels from 0.01 to 10 Å.
    pub(super) fn published(self) -> Option<&'static [f64; 50]> {
        match self {
            Self::Derived => None,
            Self::Perov5 => Some(&published_norms::PEROV_5),
            Self::Carbon24 => Some(&published_norms::CARBON_24),
            Self::Mp20 => Some(&published_norms::MP_20),
        }
    }
}

/// Noise of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseConfig {
    /// Number of noise levels.
    pub levels: usize,
    /// First and last noise level of positions (Å).
    pub positions: [f64; 2],
    /// What scores are compared.
    pub loss: ScoreLoss,
    /// Where the norms of the scores come from.
    pub score_norm: ScoreNorm,
}

impl Default for NoiseConfig {
    fn default() -> Self {
        let (loss, score_norm) = (ScoreLoss::PerNode, ScoreNorm::Derived);
        Self { levels: 50, positions: [0.01, 10.0], loss, score_norm }
    }
}

/// How crystals are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// As the published code: latents and the noise of the dynamics have the temperatures of the model.
    Published,
    /// As the paper: latents from the standard normal distribution, dynamics with their full noise.
    Paper,
}

/// Standard deviations that the published sampling gives what it draws; they belong to a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Temperatures {
    /// Of latents of compositions.
    pub composition: f64,
    /// Of latents of positions.
    pub position: f64,
    /// Of latents of cells.
    pub lattice: f64,
    /// Factor of the noise of the dynamics.
    pub noise: f64,
}

impl Default for Temperatures {
    /// The published ones for MP-20.
    fn default() -> Self {
        Self { composition: 0.2, position: 0.7, lattice: 0.7, noise: 0.01 }
    }
}

/// Temperatures for one run; absent ones are those of the protocol.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtherTemperatures {
    /// Of latents of compositions.
    pub composition: Option<f64>,
    /// Of latents of positions.
    pub position: Option<f64>,
    /// Of latents of cells.
    pub lattice: Option<f64>,
    /// Factor of the noise of the dynamics.
    pub noise: Option<f64>,
}

/// The dynamics of sampling: annealed Langevin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SymatSampling {
    /// How crystals are drawn; absent: as the model says.
    pub protocol: Option<Protocol>,
    /// Temperatures other than those of the protocol. Metrics of such structures are no protocol's.
    pub temperatures: OtherTemperatures,
    /// Langevin steps at each noise level. Fewer are faster; metrics of such structures are not those of a protocol.
    pub steps_per_level: usize,
    /// Langevin step size at the last level (Å²).
    pub step_size: f64,
}

impl Default for SymatSampling {
    /// The published dynamics.
    fn default() -> Self {
        let temperatures = OtherTemperatures::default();
        Self { protocol: None, temperatures, steps_per_level: 100, step_size: 1e-4 }
    }
}

impl SymatSampling {
    pub(super) fn langevin(&self, levels: &NoiseConfig) -> Langevin {
        let [first, last] = levels.positions;
        let levels = NoiseLevels::geometric([last, first], levels.levels);
        Langevin::new(levels, self.steps_per_level, self.step_size)
    }
}

impl SymatSampling {
    /// Standard deviations of what is drawn with a model of this configuration.
    pub(super) fn temperatures(&self, config: &SymatConfig) -> Temperatures {
        let protocol = match self.protocol.unwrap_or(config.protocol) {
            Protocol::Published => config.temperatures.clone(),
            Protocol::Paper => Temperatures { composition: 1.0, position: 1.0, lattice: 1.0, noise: 1.0 },
        };
        let other = &self.temperatures;
        Temperatures {
            composition: other.composition.unwrap_or(protocol.composition),
            position: other.position.unwrap_or(protocol.position),
            lattice: other.lattice.unwrap_or(protocol.lattice),
            noise: other.noise.unwrap_or(protocol.noise),
        }
    }
}

impl Settings for SymatSampling {
    fn validate(&self) -> Result<(), ModelError> {
        let t = &self.temperatures;
        not_negative(&[
            ("temperatures.composition", t.composition.unwrap_or_default()),
            ("temperatures.position", t.position.unwrap_or_default()),
            ("temperatures.lattice", t.lattice.unwrap_or_default()),
            ("temperatures.noise", t.noise.unwrap_or_default()),
        ])?;
        check_dynamics(self.steps_per_level, self.step_size)
    }
}

/// All hyper-parameters of a SyMat model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SymatConfig {
    /// Dimensions of each of the three latents; the width of the encoder's messages, too, since a head multiplies the
    /// embedding of an element with a latent.
    pub latent: usize,
    /// Width of the hidden layers of the heads.
    pub head: usize,
    /// Most elements of a crystal, and most atoms of an element, that the heads can count.
    pub max_atoms: usize,
    /// The network that reads crystals.
    pub encoder: SphereNetConfig,
    /// The network that moves atoms.
    pub score: ScoreConfig,
    /// Noise of training.
    pub noise: NoiseConfig,
    /// Weights of the objective.
    pub weights: LossWeights,
    /// How crystals are drawn.
    pub protocol: Protocol,
    /// Temperatures of the published way.
    pub temperatures: Temperatures,
    /// Name of the property that is learned with the latents; absent: none.
    pub property: Option<String>,
}

impl Default for SymatConfig {
    /// The published sizes, for MP-20.
    fn default() -> Self {
        Self {
            latent: 128,
            head: 256,
            max_atoms: 20,
            encoder: SphereNetConfig::default(),
            score: ScoreConfig::default(),
            noise: NoiseConfig::default(),
            weights: LossWeights::default(),
            protocol: Protocol::Published,
            temperatures: Temperatures::default(),
            property: None,
        }
    }
}

impl Settings for SymatConfig {
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
        let [first, last] = n.positions;
        if !(0.0 < first && first <= last && last.is_finite()) {
            return wrong("noise.positions", &n.positions, "two positive numbers, the smaller one first");
        }
        if n.score_norm.published().is_some() && (n.levels, n.positions) != (50, [0.01, 10.0]) {
            let expected = "\"derived\", since the published ones are for 50 levels from 0.01 to 10 Å";
            return wrong("noise.score_norm", &n.score_norm, expected);
        }
        let (w, t) = (&self.weights, &self.temperatures);
        not_negative(&[
            ("weights.num_elements", w.num_elements),
            ("weights.presence", w.presence),
            ("weights.num_atoms", w.num_atoms),
            ("weights.lattice", w.lattice),
            ("weights.coordinate", w.coordinate),
            ("weights.kl", w.kl),
            ("weights.property", w.property),
            ("temperatures.composition", t.composition),
            ("temperatures.position", t.position),
            ("temperatures.lattice", t.lattice),
            ("temperatures.noise", t.noise),
        ])?;
        self.encoder.validate().map_err(|e| ModelError::Config(format!("encoder.{e}")))?;
        if self.encoder.hidden != self.latent {
            let expected =
                format!("latent, {}: a head multiplies embeddings of elements with latents", self.latent);
            return wrong("encoder.hidden", &self.encoder.hidden, &expected);
        }
        self.score.validate()
    }
}
