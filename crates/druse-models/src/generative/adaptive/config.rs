//! Hyper-parameters.

use druse_nn::blocks::dimenet::DimeNetConfig;
use druse_nn::graph::{AngleRule, CopyRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::{Settings, at_least_one, not_negative};

/// Which space groups are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Groups {
    /// Those whose cells have no free angle, 16 to 230 (paper).
    FixedAngles,
    /// All 230.
    All,
}

/// What the predicted noise of positions is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PositionTarget {
    /// The noise that was drawn (published code), although beyond half a cell the position does not tell it.
    Raw,
    /// The displacement from the nearest image of the site under the space group.
    MinimumImage,
}

/// How structures become distinct sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SymmetryConfig {
    /// Distance (Å) within which symmetry operations have to map atoms onto atoms.
    pub tolerance: f64,
    /// Which space groups are learned; structures of others are left out.
    pub groups: Groups,
}

impl Default for SymmetryConfig {
    fn default() -> Self {
        Self { tolerance: 0.01, groups: Groups::FixedAngles }
    }
}

/// Noise of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NoiseConfig {
    /// Number of noise levels.
    pub levels: usize,
    /// Smallest and largest variance of positions (Å²).
    pub position_variances: [f64; 2],
    /// Smallest and largest variance of cell coordinates.
    pub cell_variances: [f64; 2],
    /// What the predicted noise of positions is compared with.
    pub position_target: PositionTarget,
    /// Share of the structures whose sites stay on their Wyckoff positions, their noise along these alone. None in the
    /// published training; without any, the network has not seen what sampling with Wyckoff letters asks of it.
    pub on_positions: f64,
}

impl Default for NoiseConfig {
    /// The published levels.
    fn default() -> Self {
        Self {
            levels: 10,
            position_variances: [0.001, 36.0],
            cell_variances: [0.1, 36.0],
            position_target: PositionTarget::Raw,
            on_positions: 0.0,
        }
    }
}

/// Weights of the parts of the objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LossWeights {
    /// Squared error of the noise of positions.
    pub position: f64,
    /// Squared error of the noise of cell coordinates.
    pub cell: f64,
}

impl Default for LossWeights {
    /// Half of both (published code).
    fn default() -> Self {
        Self { position: 0.5, cell: 0.5 }
    }
}

/// All hyper-parameters of an adaptive-cells model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveConfig {
    /// The network.
    pub network: DimeNetConfig,
    /// Which angle a pair of edges has.
    pub angles: AngleRule,
    /// Copies of sites that every site is joined with.
    pub neighbors: usize,
    /// How copies on one spot count among them.
    pub copies: CopyRule,
    /// How structures become distinct sites.
    pub symmetry: SymmetryConfig,
    /// Noise of training.
    pub noise: NoiseConfig,
    /// Weights of the objective.
    pub weights: LossWeights,
}

impl Default for AdaptiveConfig {
    /// The published sizes for MP-20.
    fn default() -> Self {
        Self {
            network: DimeNetConfig {
                hidden: 64,
                interaction: 64,
                basis: 10,
                output_embedding: 128,
                num_radial: 10,
                cutoff: 6.0,
                ..DimeNetConfig::default()
            },
            angles: AngleRule::Published,
            neighbors: 80,
            copies: CopyRule::Each,
            symmetry: SymmetryConfig::default(),
            noise: NoiseConfig::default(),
            weights: LossWeights::default(),
        }
    }
}

/// Noise levels that the network has embeddings for, as published; those beyond the levels are never used.
pub(super) const EMBEDDED_LEVELS: usize = 20;

fn wrong<T>(key: &str, value: &dyn std::fmt::Debug, expected: &str) -> Result<T, ModelError> {
    Err(ModelError::Config(format!("{key} = {value:?}, expected {expected}")))
}

impl Settings for AdaptiveConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let n = &self.noise;
        at_least_one(&[("neighbors", self.neighbors), ("noise.levels", n.levels)])?;
        if n.levels > EMBEDDED_LEVELS {
            return wrong("noise.levels", &n.levels, &format!("{EMBEDDED_LEVELS} at most"));
        }
        if self.neighbors > 1000 {
            return wrong("neighbors", &self.neighbors, "1000 at most");
        }
        for (key, variances) in
            [("noise.position_variances", n.position_variances), ("noise.cell_variances", n.cell_variances)]
        {
            let [first, last] = variances;
            if !(0.0 < first && first <= last && last.is_finite()) {
                return wrong(key, &variances, "two positive numbers, the smaller one first");
            }
        }
        if !(0.0..=1.0).contains(&n.on_positions) {
            return wrong("noise.on_positions", &n.on_positions, "a share, 0 to 1");
        }
        let tolerance = self.symmetry.tolerance;
        if !(tolerance > 0.0 && tolerance.is_finite()) {
            return wrong("symmetry.tolerance", &tolerance, "a positive number");
        }
        not_negative(&[("weights.position", self.weights.position), ("weights.cell", self.weights.cell)])?;
        self.network.validate().map_err(|e| ModelError::Config(format!("network.{e}")))
    }
}

/// What becomes of sites that are asked for without Wyckoff letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Letters {
    /// They start anywhere, and at the end move onto the special positions that they have come close to (published).
    Free,
    /// They get letters before the start: a combination of Wyckoff positions of the training set for this group and so many
    /// sites, drawn by how often it is there. Where there is none they are free.
    Drawn,
}

/// The dynamics of sampling: annealed Langevin of positions and cells in turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveSampling {
    /// Langevin steps of positions, and as many of cells, at each noise level. Fewer are faster.
    pub steps_per_level: usize,
    /// Step of positions at the last level (Å²): at every level it is in the proportion of the variances.
    pub position_step: f64,
    /// Step of cell coordinates at the last level.
    pub cell_step: f64,
    /// Factor of the noise of cell coordinates: 0.3 in the published code, 0.15 in the paper.
    pub cell_noise: f64,
    /// Standard deviation of the cell coordinates of lengths at the start.
    pub cell_start: f64,
    /// Times that a cell which has collapsed is drawn again before the structure is given up.
    pub retries: usize,
    /// What becomes of sites that are asked for without Wyckoff letter.
    pub letters: Letters,
    /// Sites without Wyckoff letter: images closer than this (Å) are one atom.
    pub merge: f64,
    /// Sites without Wyckoff letter: images that differ by no more than this in each fractional coordinate are one atom.
    pub special: f64,
    /// Images of different sites that differ by no more than this in each fractional coordinate overlap.
    pub consistency: f64,
}

impl Default for AdaptiveSampling {
    /// The published code.
    fn default() -> Self {
        Self {
            steps_per_level: 80,
            position_step: 1e-3,
            cell_step: 1e-2,
            cell_noise: 0.3,
            cell_start: 2.0,
            retries: 10,
            letters: Letters::Free,
            merge: 0.4,
            special: 0.04,
            consistency: 0.02,
        }
    }
}

impl Settings for AdaptiveSampling {
    fn validate(&self) -> Result<(), ModelError> {
        at_least_one(&[("steps_per_level", self.steps_per_level)])?;
        for (key, step) in [("position_step", self.position_step), ("cell_step", self.cell_step)] {
            if !(step > 0.0 && step.is_finite()) {
                return wrong(key, &step, "a positive number");
            }
        }
        not_negative(&[
            ("cell_noise", self.cell_noise),
            ("cell_start", self.cell_start),
            ("merge", self.merge),
            ("special", self.special),
            ("consistency", self.consistency),
        ])
    }
}
