//! Checkpoints of the predictors that CDVAE was published with: the encoder with one output.

use druse_nn::weights::torch::TorchFile;
use serde_json::json;

use super::config::PropertyConfig;
use super::model::PropertyPredictor;
use crate::published::{Imported, Keys, PublishedError, PublishedModel, Training, encoder_sizes};
use crate::settings::ModelSettings;
use crate::standardizer::Standardizer;
use crate::{Model, ModelError, Trainable};

/// Reads a checkpoint of the published code as a model of this kind.
///
/// # Errors
/// As [`PropertyPredictor::from_published`], and when `training` lacks what the model needs.
pub(super) fn import(file: &TorchFile, training: &Training) -> Result<Imported, PublishedError> {
    if training.lattice_scaler.is_some() {
        return Err(PublishedError::Statistics("a property predictor takes no scaler of lattices".into()));
    }
    let (property, standardizer) = training.property()?;
    let base = PropertyConfig { property, ..PropertyConfig::default() };
    let read = PropertyPredictor::from_published(file, &base, &standardizer)?;
    Ok(Imported {
        settings: ModelSettings::new("property", read.model.config()),
        model: Model::predictor(read.model),
        preset: "property-dimenet",
        weights: read.weights,
        ignored: read.ignored,
        warnings: read.warnings,
    })
}

impl PropertyPredictor {
    /// Reads a checkpoint of the published code (a Lightning checkpoint or a saved state dictionary). Sizes are those of the
    /// file; `base` has the cut-off and the readout, which tensors do not tell, and the name of the property.
    ///
    /// # Errors
    /// [`PublishedError`] naming every tensor that is missing, unexpected or of another shape, and for sizes that make no
    /// model.
    pub fn from_published(
        file: &TorchFile,
        base: &PropertyConfig,
        standardizer: &Standardizer,
    ) -> Result<PublishedModel<Self>, PublishedError> {
        let mut keys = Keys::new(file)?;
        let network = encoder_sizes(&mut keys, &base.network);
        let wrong = |source: ModelError| PublishedError::Model { name: file.name().to_owned(), source };
        let mut model = Self::new(PropertyConfig { network, ..base.clone() }).map_err(wrong)?;
        let (weights, ignored) = keys.finish("property", model.parameters())?;
        model.restore_statistics(&json!({ "property": standardizer })).map_err(wrong)?;
        Ok(PublishedModel { model, weights, ignored, warnings: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use druse_data::Benchmark;

    use super::*;
    use crate::published::{fixtures, property_scaler};

    #[test]
    fn a_published_predictor_is_read() {
        let base = PropertyConfig { property: "heat_ref".into(), ..PropertyConfig::default() };
        let scaler = property_scaler(Benchmark::Perov5);
        let file = fixtures::file("property.pt");
        let read = PropertyPredictor::from_published(&file, &base, &scaler).unwrap();
        fixtures::check_weights(read.model.parameters(), &read.weights, 1e-7);
        let config = read.model.config();
        assert_eq!(
            (config.property.as_str(), config.network.hidden, config.network.blocks),
            ("heat_ref", 6, 1)
        );
        assert_eq!(read.model.statistics(), json!({ "property": scaler }));
        assert!(read.ignored.is_empty());
    }

    #[test]
    fn an_autoencoder_is_no_predictor() {
        let scaler = property_scaler(Benchmark::Mp20);
        let file = fixtures::file("cdvae.ckpt");
        let result = PropertyPredictor::from_published(&file, &PropertyConfig::default(), &scaler);
        let Err(PublishedError::Mismatch { mismatch, .. }) = result else { panic!("the file was accepted") };
        assert!(mismatch.unexpected.iter().any(|name| name == "decoder.fc_atom.bias"));
        assert!(mismatch.different[0].starts_with("encoder.output_blocks.0.lin.weight has shape [5, 8]"));
    }
}
