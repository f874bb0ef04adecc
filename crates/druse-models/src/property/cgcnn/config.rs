//! Hyper-parameters of CGCNN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::Settings;

/// All hyper-parameters of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CgcnnConfig {
    /// Name of the property: a column of the data set with numbers. Of a property of the whole cell the model learns little: it
    /// takes the mean over the atoms.
    pub property: String,
    /// Sizes of the network.
    pub network: CgcnnSizes,
}

/// Sizes of the network and of its graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CgcnnSizes {
    /// Width of the features of an atom.
    pub atom: usize,
    /// Number of convolutions.
    pub convolutions: usize,
    /// Width of the hidden layers after pooling.
    pub hidden: usize,
    /// Number of these layers.
    pub hidden_layers: usize,
    /// Neighbors of an atom.
    pub neighbors: usize,
    /// Distance beyond which there are none, Å.
    pub cutoff: f64,
    /// Distance of the centers of the Gaussians of a distance, and their width, Å.
    pub spacing: f64,
}

impl Default for CgcnnConfig {
    fn default() -> Self {
        Self { property: "formation_energy_per_atom".into(), network: CgcnnSizes::default() }
    }
}

impl Default for CgcnnSizes {
    /// The sizes of the published weights.
    fn default() -> Self {
        Self {
            atom: 64,
            convolutions: 4,
            hidden: 32,
            hidden_layers: 1,
            neighbors: 12,
            cutoff: 8.0,
            spacing: 0.2,
        }
    }
}

impl CgcnnSizes {
    /// Centers of the Gaussians of a distance (Å): from 0 to the cut-off.
    pub(super) fn centers(&self) -> usize {
        (self.cutoff / self.spacing + 1e-6).floor() as usize + 1
    }

    fn validate(&self) -> Result<(), ModelError> {
        let range = |key: &str, value: usize, limit: usize| match (1..=limit).contains(&value) {
            true => Ok(()),
            false => Err(ModelError::Config(format!("network.{key} = {value}: expected 1 to {limit}"))),
        };
        range("atom", self.atom, 4096)?;
        range("convolutions", self.convolutions, 64)?;
        range("hidden", self.hidden, 4096)?;
        range("hidden_layers", self.hidden_layers, 64)?;
        range("neighbors", self.neighbors, 256)?;
        let length = |key: &str, value: f64, [low, high]: [f64; 2]| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(ModelError::Config(format!("network.{key} = {value}: expected {low} to {high} Å"))),
        };
        length("cutoff", self.cutoff, [0.5, 20.0])?;
        length("spacing", self.spacing, [0.02, 2.0])
    }
}

impl Settings for CgcnnConfig {
    fn validate(&self) -> Result<(), ModelError> {
        if self.property.trim().is_empty() {
            return Err(ModelError::Config("property is empty, expected the name of a column".into()));
        }
        self.network.validate()
    }
}
