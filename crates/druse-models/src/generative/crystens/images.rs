//! Images of a data set: what is normalized how, which structures have one.

use std::collections::BTreeSet;

use druse_crystal::{Composition, Element, Structure};
use druse_data::crystens::{Codec, EncodeError, IMAGE_LEN, Image, Normalization, SLOTS, space_group};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ModelError;
use crate::identity::FoundOnce;

/// Numbers of an image.
pub(crate) const NUMBERS: usize = IMAGE_LEN;

/// How images are normalized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageNormalization {
    /// To [0, 1], with constants of the training set.
    #[default]
    Fit,
    /// The same with the published constants, those of Pearson's Crystal Data.
    AvgStd,
    /// By numbers near the largest ones.
    DivideNearMax,
}

/// What a model keeps of its training set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageStatistics {
    /// How images are normalized, with all constants.
    pub normalization: Normalization,
    /// Atoms of the largest training cell; 0 before training.
    pub max_atoms: usize,
    /// Elements of the training set.
    pub elements: BTreeSet<Element>,
}

/// Images of crystals, normalized; the space group of each crystal is searched once.
#[derive(Debug, Default)]
pub(crate) struct CrystalImages {
    pub statistics: ImageStatistics,
    groups: FoundOnce<Result<u16, EncodeError>>,
}

impl CrystalImages {
    /// The space group of a structure.
    fn group(&self, structure: &Structure) -> Result<u16, EncodeError> {
        if structure.len() > SLOTS {
            return Err(EncodeError::TooManyAtoms(structure.len()));
        }
        self.groups.get(structure, || space_group(structure)).as_ref().clone()
    }

    /// Why structures have no image; the same words for the same reason.
    pub fn unusable(&self, structures: &[&Structure]) -> Vec<Option<String>> {
        let reason = |structure: &&Structure| match self.group(structure) {
            Ok(_) => None,
            Err(EncodeError::TooManyAtoms(_)) => {
                Some(format!("the cell has more than {SLOTS} atoms, as many as an image holds"))
            }
            Err(EncodeError::Symmetry(_)) => Some("its space group cannot be found".to_owned()),
        };
        structures.par_iter().map(reason).collect()
    }

    /// Takes the constants from a training set, where the normalization is fitted.
    ///
    /// # Errors
    /// [`ModelError::Unusable`] for the first structure without an image, [`ModelError::Config`] for an empty set or one whose
    /// constants normalize nothing.
    pub fn fit(&mut self, how: ImageNormalization, training: &[&Structure]) -> Result<(), ModelError> {
        if training.is_empty() {
            return Err(ModelError::Config(format!(
                "no structure of the training set has an image (at most {SLOTS} atoms)"
            )));
        }
        let groups: Vec<Result<u16, ModelError>> =
            training.par_iter().map(|s| self.group(s).map_err(|e| unusable(s, &e))).collect();
        let groups = groups.into_iter().collect::<Result<Vec<u16>, _>>()?;
        let normalization = match how {
            ImageNormalization::Fit => Normalization::fitted(training.iter().copied().zip(groups)),
            ImageNormalization::AvgStd => Normalization::published(),
            ImageNormalization::DivideNearMax => Normalization::divide_near_max(),
        };
        normalization.check().map_err(|e| ModelError::Config(e.to_string()))?;
        self.statistics = ImageStatistics {
            normalization,
            max_atoms: training.iter().map(|s| s.len()).max().unwrap_or(0),
            elements: training.iter().flat_map(|s| &s.species).copied().collect(),
        };
        Ok(())
    }

    /// Restores statistics from a checkpoint.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the value has another form.
    pub fn restore(&mut self, statistics: &Value) -> Result<(), ModelError> {
        let wrong =
            |e: &dyn std::fmt::Display| ModelError::Config(format!("statistics of the training set: {e}"));
        let statistics: ImageStatistics =
            serde_json::from_value(statistics.clone()).map_err(|e| wrong(&e))?;
        statistics.normalization.check().map_err(|e| wrong(&e))?;
        self.statistics = statistics;
        Ok(())
    }

    /// The normalized image of a structure.
    ///
    /// # Errors
    /// [`ModelError::Unusable`] for one without.
    pub fn image(&self, structure: &Structure) -> Result<Image, ModelError> {
        let group = self.group(structure).map_err(|e| unusable(structure, &e))?;
        let codec = Codec::new(self.statistics.normalization);
        codec.encode_as(structure, group).map_err(|e| unusable(structure, &e))
    }
}

fn unusable(structure: &Structure, error: &EncodeError) -> ModelError {
    ModelError::Unusable {
        what: Composition::from_species(&structure.species).formula(),
        reason: error.to_string(),
    }
}
