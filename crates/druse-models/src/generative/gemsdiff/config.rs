//! Hyper-parameters of GemsDiff.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::Settings;

/// Which published form of GemsDiff is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The paper: encoder and decoder, time embedding, diffusion of positions and lattice.
    Paper,
    /// The released code: one network, no time embedding, the lattice is predicted anew at each step.
    Released,
}

/// What the training compares the predicted displacements with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PositionLoss {
    /// Squared distance to the shortest path in fractional units (paper, Eq. 20).
    FractionalL2,
    /// Absolute Cartesian difference to the shortest path in Å (published code).
    CartesianL1,
}

/// Sizes of one GemsNet (GemNet-dT without scale factors, with a triplet head).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GemsNetConfig {
    /// Width of atom and edge embeddings.
    pub hidden: usize,
    /// Width of the edge embedding inside the triplet interaction.
    pub triplet: usize,
    /// Width of the shared projections of the radial and of the angular basis.
    pub basis: usize,
    /// Output width of the bilinear layer of the triplet interaction.
    pub bilinear: usize,
    /// Width of the two hidden layers of the triplet (lattice) head.
    pub lattice_head: usize,
    /// Number of Gaussian radial functions.
    pub num_radial: usize,
    /// Number of Legendre degrees of the angular basis (0 to `num_spherical` - 1).
    pub num_spherical: usize,
    /// Number of interaction blocks.
    pub blocks: usize,
    /// Length that scales distances before the radial basis (in units of the cell edge for the decoder).
    pub cutoff: f64,
}

impl Default for GemsNetConfig {
    fn default() -> Self {
        Self {
            hidden: 128,
            triplet: 32,
            basis: 16,
            bilinear: 64,
            lattice_head: 64,
            num_radial: 128,
            num_spherical: 7,
            blocks: 3,
            cutoff: 6.0,
        }
    }
}

/// All hyper-parameters of a GemsDiff model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GemsDiffConfig {
    /// Published form.
    pub variant: Variant,
    /// The network that predicts the clean crystal.
    pub decoder: GemsNetConfig,
    /// The network that reads the noisy crystal (variant `paper` only).
    pub encoder: GemsNetConfig,
    /// Width of the crystal vector that the encoder hands to the decoder.
    pub latent: usize,
    /// Neighbors per atom (ties included) in the multigraph.
    pub knn: usize,
    /// Diffusion steps T.
    pub steps: usize,
    /// First and last beta of the linear schedule of the positions.
    pub position_betas: [f64; 2],
    /// First and last beta of the linear schedule of the log-lattice (variant `paper` only).
    pub lattice_betas: [f64; 2],
    /// Factor on the noise of the volume component of the log-lattice.
    pub volume_noise: f64,
    /// Distance that the position loss measures.
    pub position_loss: PositionLoss,
}

impl Default for GemsDiffConfig {
    /// Table 1 of the paper with the sizes of the published networks.
    fn default() -> Self {
        Self {
            variant: Variant::Paper,
            decoder: GemsNetConfig::default(),
            encoder: GemsNetConfig::default(),
            latent: 256,
            knn: 32,
            steps: 100,
            position_betas: [1e-6, 2e-3],
            lattice_betas: [1e-5, 1e-1],
            volume_noise: 0.25,
            position_loss: PositionLoss::FractionalL2,
        }
    }
}

impl Settings for GemsDiffConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let positive = [
            ("knn", self.knn),
            ("latent", self.latent),
            ("decoder.hidden", self.decoder.hidden),
            ("decoder.triplet", self.decoder.triplet),
            ("decoder.basis", self.decoder.basis),
            ("decoder.bilinear", self.decoder.bilinear),
            ("decoder.lattice_head", self.decoder.lattice_head),
            ("encoder.hidden", self.encoder.hidden),
            ("encoder.triplet", self.encoder.triplet),
            ("encoder.basis", self.encoder.basis),
            ("encoder.bilinear", self.encoder.bilinear),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(ModelError::Config(format!("{key} = 0, expected at least 1")));
            }
        }
        for (name, net) in [("decoder", &self.decoder), ("encoder", &self.encoder)] {
            if net.num_radial < 2 {
                return Err(ModelError::Config(format!(
                    "{name}.num_radial = {}, expected at least 2",
                    net.num_radial
                )));
            }
            if !(1..=7).contains(&net.num_spherical) {
                return Err(ModelError::Config(format!(
                    "{name}.num_spherical = {}, expected 1 to 7",
                    net.num_spherical
                )));
            }
            if !(net.cutoff.is_finite() && net.cutoff > 0.0) {
                return Err(ModelError::Config(format!(
                    "{name}.cutoff = {}, expected a positive number",
                    net.cutoff
                )));
            }
        }
        if self.steps < 2 {
            return Err(ModelError::Config(format!("steps = {}, expected at least 2", self.steps)));
        }
        for (key, [first, last]) in
            [("position_betas", self.position_betas), ("lattice_betas", self.lattice_betas)]
        {
            if !(0.0 < first && first <= last && last < 1.0) {
                return Err(ModelError::Config(format!(
                    "{key} = [{first}, {last}], expected 0 < first <= last < 1"
                )));
            }
        }
        if !(self.volume_noise.is_finite() && self.volume_noise > 0.0) {
            return Err(ModelError::Config(format!(
                "volume_noise = {}, expected a positive number",
                self.volume_noise
            )));
        }
        Ok(())
    }
}
