//! Hyper-parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::{Settings, at_least_one, not_negative};

/// How the end of a path is chosen among the descriptions of a crystal, for the start that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coupling {
    /// The description of the training set.
    None,
    /// The nearest image of each site on its own Wyckoff subspace, sites of one element and position exchanged for the shortest
    /// paths.
    Images,
    /// As `images`, and the nearest of the descriptions that a shift of the origin or an exchange of axes makes.
    Normalizer,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Channels of a token.
    pub width: usize,
    /// Attention layers.
    pub layers: usize,
    /// Heads of attention; they divide the width.
    pub heads: usize,
    /// Channels of the features of pairs, and of the head for positions.
    pub pair_width: usize,
    /// Radial functions of distances.
    pub radial: usize,
    /// Distance up to which images of sites are seen, in units of the cube root of the volume per atom.
    pub cutoff: f64,
    /// Displacements also along the free directions themselves, told from the token alone, beside those along the
    /// directions to other atoms.
    pub absolute_head: bool,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self { width: 256, layers: 8, heads: 8, pair_width: 64, radial: 32, cutoff: 2.5, absolute_head: true }
    }
}

/// The training objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// How the end of a path is chosen.
    pub coupling: Coupling,
    /// Share of the structures that see an earlier prediction of the end (Chen, Zhang, Hinton 2023).
    pub self_conditioning: f64,
    /// Largest weight of a structure: an error of the end at time t counts (1 - t)⁻² times, up to this.
    pub most_weight: f64,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self { coupling: Coupling::Normalizer, self_conditioning: 0.5, most_weight: 25.0 }
    }
}

/// Weights of the parts of the objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrbitWeights {
    /// Squared error of the free cell coordinates, standardized.
    pub cell: f64,
    /// Squared error of the positions, in units of the cube root of the volume per atom.
    pub position: f64,
}

impl Default for OrbitWeights {
    fn default() -> Self {
        Self { cell: 1.0, position: 4.0 }
    }
}

/// All hyper-parameters of an orbit model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrbitConfig {
    /// The network.
    pub network: NetworkConfig,
    /// The training objective.
    pub flow: FlowConfig,
    /// Weights of the objective.
    pub weights: OrbitWeights,
    /// Distance (Å) within which symmetry operations have to map atoms onto atoms.
    pub tolerance: f64,
}

impl Default for OrbitConfig {
    fn default() -> Self {
        Self {
            network: NetworkConfig::default(),
            flow: FlowConfig::default(),
            weights: OrbitWeights::default(),
            tolerance: 0.1,
        }
    }
}

fn wrong<T>(key: &str, value: &dyn std::fmt::Debug, expected: &str) -> Result<T, ModelError> {
    Err(ModelError::Config(format!("{key} = {value:?}, expected {expected}")))
}

impl Settings for OrbitConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let n = &self.network;
        at_least_one(&[
            ("network.width", n.width),
            ("network.layers", n.layers),
            ("network.heads", n.heads),
            ("network.pair_width", n.pair_width),
        ])?;
        if !n.width.is_multiple_of(n.heads) {
            return wrong("network.heads", &n.heads, &format!("a divisor of network.width = {}", n.width));
        }
        if !(2..=256).contains(&n.radial) {
            return wrong("network.radial", &n.radial, "2 to 256");
        }
        if !(1.0..=6.0).contains(&n.cutoff) {
            return wrong("network.cutoff", &n.cutoff, "1 to 6");
        }
        if !(0.0..=1.0).contains(&self.flow.self_conditioning) {
            return wrong("flow.self_conditioning", &self.flow.self_conditioning, "a share, 0 to 1");
        }
        if !(self.flow.most_weight >= 1.0 && self.flow.most_weight.is_finite()) {
            return wrong("flow.most_weight", &self.flow.most_weight, "1 or more");
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return wrong("tolerance", &self.tolerance, "a positive number");
        }
        not_negative(&[("weights.cell", self.weights.cell), ("weights.position", self.weights.position)])
    }
}

/// How crystals are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrbitSampling {
    /// Evaluations of the network for a crystal.
    pub evaluations: usize,
    /// By how much positions move faster than their velocity at the end of the path: by `1 + push · t`.
    pub position_push: f64,
    /// The same for cells.
    pub cell_push: f64,
}

impl Default for OrbitSampling {
    fn default() -> Self {
        Self { evaluations: 16, position_push: 0.0, cell_push: 0.0 }
    }
}

impl Settings for OrbitSampling {
    fn validate(&self) -> Result<(), ModelError> {
        at_least_one(&[("evaluations", self.evaluations)])?;
        not_negative(&[("position_push", self.position_push), ("cell_push", self.cell_push)])
    }
}
