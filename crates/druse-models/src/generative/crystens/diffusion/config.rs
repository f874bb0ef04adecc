//! Hyper-parameters.

use druse_data::crystens::EDGE;
use druse_nn::blocks::unet::UnetSizes;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::super::layers::check_dropout;
use super::super::{ImageDecoding, ImageNormalization};
use super::schedule::LossWeight;
use crate::ModelError;
use crate::settings::{Settings, at_least_one};

/// Which networks are trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trained {
    /// Both, each in every step.
    #[default]
    Both,
    /// The first one; the second stays as it is.
    Base,
    /// The second one; the first stays as it is (`train.init` says where it comes from).
    Upsampler,
}

/// Hyper-parameters of the cascade. The defaults are those of the paper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionConfig {
    /// How images are normalized.
    pub normalization: ImageNormalization,
    /// How the squared error of the noise counts.
    pub loss_weight: LossWeight,
    /// Which networks are trained: one at a time needs half of the memory.
    pub trained: Trained,
    /// Share of the numbers in front of linear attention that training leaves out.
    pub dropout: f64,
    /// The network that makes images of half the resolution.
    pub base: UnetSizes,
    /// The network that makes whole images of those of half the resolution.
    #[serde(default = "UnetSizes::upsampler", deserialize_with = "upsampler")]
    pub upsampler: UnetSizes,
}

impl Default for DiffusionConfig {
    fn default() -> Self {
        Self {
            normalization: ImageNormalization::default(),
            loss_weight: LossWeight::default(),
            trained: Trained::default(),
            dropout: 0.05,
            base: UnetSizes::base(),
            upsampler: UnetSizes::upsampler(),
        }
    }
}

/// Sizes of the second network: keys that are left out have its published values, not those of the first network.
fn upsampler<'de, D: Deserializer<'de>>(source: D) -> Result<UnetSizes, D::Error> {
    let published = UnetSizes::upsampler();
    let mut keys: Map<String, Value> =
        serde_json::to_value(&published).and_then(serde_json::from_value).map_err(D::Error::custom)?;
    keys.extend(Map::deserialize(source)?);
    let sizes: UnetSizes = serde_json::from_value(Value::Object(keys)).map_err(D::Error::custom)?;
    Ok(UnetSizes { channels: published.channels, conditioned: published.conditioned, ..sizes })
}

impl Settings for DiffusionConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let wrong = |text: String| Err(ModelError::Config(text));
        if self.upsampler.edge != EDGE {
            return wrong(format!(
                "upsampler.edge = {}, expected {EDGE}: the second network makes whole images",
                self.upsampler.edge
            ));
        }
        if 2 * self.base.edge != self.upsampler.edge {
            return wrong(format!(
                "base.edge = {}, expected {}: the second network doubles what the first one makes",
                self.base.edge,
                self.upsampler.edge / 2
            ));
        }
        check_dropout(self.dropout)?;
        for (name, sizes) in [("base", &self.base), ("upsampler", &self.upsampler)] {
            sizes.check().map_err(|e| ModelError::Config(format!("{name}.{e}")))?;
        }
        Ok(())
    }
}

/// Settings of sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DiffusionSampling {
    /// Steps of the first network.
    pub base_steps: usize,
    /// Steps of the second network.
    pub upsampler_steps: usize,
    /// Time up to which the image of the first network is noised before the second sees it.
    pub low_resolution_time: f64,
    /// Part of the magnitudes of a predicted image that dynamic thresholding leaves as they are.
    pub threshold: f64,
    /// Last steps of the second network in which the predicted image loses its contradictions: what it says several times
    /// is averaged, and said again. None in the published process.
    pub reconciled_steps: usize,
    /// How an image becomes a structure.
    pub decoding: ImageDecoding,
}

impl Default for DiffusionSampling {
    /// The published values.
    fn default() -> Self {
        Self {
            base_steps: 1000,
            upsampler_steps: 1000,
            low_resolution_time: 0.2,
            threshold: 0.95,
            reconciled_steps: 0,
            decoding: ImageDecoding::default(),
        }
    }
}

impl Settings for DiffusionSampling {
    fn validate(&self) -> Result<(), ModelError> {
        at_least_one(&[("base_steps", self.base_steps), ("upsampler_steps", self.upsampler_steps)])?;
        for (key, value) in [("low_resolution_time", self.low_resolution_time), ("threshold", self.threshold)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(ModelError::Config(format!("{key} = {value:?}, expected a number from 0 to 1")));
            }
        }
        let (reconciled, steps) = (self.reconciled_steps, self.upsampler_steps);
        if reconciled > steps {
            return Err(ModelError::Config(format!(
                "reconciled_steps = {reconciled}, expected at most upsampler_steps = {steps}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cascades_that_do_not_fit_are_refused() {
        DiffusionConfig::default().validate().unwrap();
        let refused = |change: fn(&mut DiffusionConfig)| {
            let mut config = DiffusionConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.upsampler.edge = 128).contains("upsampler.edge = 128, expected 64"));
        assert!(refused(|c| c.base.edge = 16).contains("base.edge = 16, expected 32"));
        assert!(refused(|c| c.base.dim = 30).contains("base.dim = 30"));
        assert!(refused(|c| c.upsampler.blocks = vec![1]).contains("upsampler.blocks has 1"));
        assert!(refused(|c| c.dropout = 1.0).contains("dropout = 1"));
        assert!(refused(|c| c.base.heads = 0).contains("base.heads = 0"));
        let sampling = DiffusionSampling { threshold: 1.5, ..DiffusionSampling::default() };
        assert!(sampling.validate().unwrap_err().to_string().contains("threshold = 1.5"));
        let sampling = DiffusionSampling { reconciled_steps: 1001, ..DiffusionSampling::default() };
        assert!(sampling.validate().unwrap_err().to_string().contains("reconciled_steps = 1001"));
    }

    #[test]
    fn keys_that_are_left_out_are_those_of_their_network() {
        let read = |text: &str| serde_json::from_str::<DiffusionConfig>(text);
        let config = read(r#"{"base": {"dim": 32}, "upsampler": {"dim": 64}}"#).unwrap();
        assert_eq!(config.base, UnetSizes { dim: 32, ..UnetSizes::base() });
        assert_eq!(config.upsampler, UnetSizes { dim: 64, ..UnetSizes::upsampler() });
        assert_eq!(read("{}").unwrap(), DiffusionConfig::default());
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(read(&text).unwrap(), config);
        for wrong in [r#"{"base": {"width": 3}}"#, r#"{"upsampler": {"width": 3}}"#] {
            assert!(read(wrong).unwrap_err().to_string().contains("unknown field `width`"));
        }
    }
}
