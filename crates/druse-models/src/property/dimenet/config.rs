//! Hyper-parameters of the predictor.

use druse_nn::blocks::dimenet::{DimeNetConfig, Readout};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::Settings;

/// All hyper-parameters of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PropertyConfig {
    /// Name of the property: a column of the data set with numbers.
    pub property: String,
    /// How the atoms become one number: `mean` for a property per atom, `sum` for one of the whole cell.
    pub readout: Readout,
    /// Sizes of the network.
    pub network: DimeNetConfig,
}

impl Default for PropertyConfig {
    /// The published predictor, for the property of MP-20.
    fn default() -> Self {
        Self {
            property: "formation_energy_per_atom".into(),
            readout: Readout::Mean,
            network: DimeNetConfig::default(),
        }
    }
}

impl Settings for PropertyConfig {
    fn validate(&self) -> Result<(), ModelError> {
        if self.property.trim().is_empty() {
            return Err(ModelError::Config("property is empty, expected the name of a column".into()));
        }
        self.network.validate().map_err(|e| ModelError::Config(format!("network.{e}")))
    }
}
