//! From an image to a structure.

use druse_crystal::Structure;
use druse_data::crystens::{Decoding, Image, Normalization};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::Settings;

/// How an image becomes a structure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageDecoding {
    /// As the paper describes it: clusters of atomic numbers, then rounding; 6 clusters of coordinates.
    #[default]
    Paper,
    /// Nothing is forced: atomic numbers are rounded, coordinates stay.
    Default,
    /// As the published script, with its quirks.
    Published,
}

/// Settings of sampling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CrystensSampling {
    /// How an image becomes a structure.
    pub decoding: ImageDecoding,
}

impl Settings for CrystensSampling {
    fn validate(&self) -> Result<(), ModelError> {
        Ok(())
    }
}

impl CrystensSampling {
    /// The structure that a normalized image shows.
    ///
    /// # Errors
    /// [`ModelError::Output`] with the reason when it shows none.
    pub fn structure(&self, image: &Image, normalization: &Normalization) -> Result<Structure, ModelError> {
        let decoding = match self.decoding {
            ImageDecoding::Paper => Decoding::paper(),
            ImageDecoding::Default => Decoding::default(),
            ImageDecoding::Published => Decoding::published(),
        };
        let decoded = decoding.decode(image, normalization);
        decoded.map(|decoded| decoded.structure).map_err(|e| ModelError::Output(e.to_string()))
    }
}
