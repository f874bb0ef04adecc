//! Hyper-parameters of ALIGNN.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::Settings;

/// All hyper-parameters of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlignnConfig {
    /// Name of the property: a column of the data set with numbers. Of a property of the whole cell the model learns little: it
    /// takes the mean over the atoms.
    pub property: String,
    /// Sizes of the network.
    pub network: AlignnSizes,
}

/// Sizes of the network and of its graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AlignnSizes {
    /// Width of the features of atoms, bonds and angles.
    pub hidden: usize,
    /// Width on the way to those of bonds and angles.
    pub embedding: usize,
    /// Layers over bonds and angles.
    pub alignn_layers: usize,
    /// Layers over bonds alone, which follow.
    pub gcn_layers: usize,
    /// Gaussians of a distance, with centers from 0 to `cutoff`.
    pub distance_bins: usize,
    /// Gaussians of the cosine of an angle, with centers from -1 to 1.
    pub angle_bins: usize,
    /// Center of the last Gaussian of a distance, Å.
    pub cutoff: f64,
    /// Neighbors of an atom; those as far as the last one are neighbors, too.
    pub neighbors: usize,
}

impl Default for AlignnConfig {
    fn default() -> Self {
        Self { property: "formation_energy_per_atom".into(), network: AlignnSizes::default() }
    }
}

impl Default for AlignnSizes {
    /// The published sizes.
    fn default() -> Self {
        Self {
            hidden: 256,
            embedding: 64,
            alignn_layers: 4,
            gcn_layers: 4,
            distance_bins: 80,
            angle_bins: 40,
            cutoff: 8.0,
            neighbors: 12,
        }
    }
}

impl AlignnSizes {
    fn validate(&self) -> Result<(), ModelError> {
        let range = |key: &str, value: usize, [low, high]: [usize; 2]| match (low..=high).contains(&value) {
            true => Ok(()),
            false => Err(ModelError::Config(format!("network.{key} = {value}: expected {low} to {high}"))),
        };
        range("hidden", self.hidden, [1, 4096])?;
        range("embedding", self.embedding, [1, 4096])?;
        range("alignn_layers", self.alignn_layers, [0, 64])?;
        range("gcn_layers", self.gcn_layers, [0, 64])?;
        range("distance_bins", self.distance_bins, [2, 1024])?;
        range("angle_bins", self.angle_bins, [2, 1024])?;
        range("neighbors", self.neighbors, [1, 64])?;
        if !(0.5..=20.0).contains(&self.cutoff) {
            let text = format!("network.cutoff = {}: expected 0.5 to 20 Å", self.cutoff);
            return Err(ModelError::Config(text));
        }
        Ok(())
    }
}

impl Settings for AlignnConfig {
    fn validate(&self) -> Result<(), ModelError> {
        if self.property.trim().is_empty() {
            return Err(ModelError::Config("property is empty, expected the name of a column".into()));
        }
        self.network.validate()
    }
}
