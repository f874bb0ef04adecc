//! Prediction of a property of crystals: DimeNet++ on the bonds of CrystalNN (the predictors of T. Xie et al., "Crystal
//! Diffusion Variational Autoencoder for Periodic Material Generation", ICLR 2022).

use crate::Model;
use crate::kinds::{Kind, Preset};
use crate::settings::NoSettings;

mod config;
mod model;
mod published;

pub use config::PropertyConfig;
pub use model::PropertyPredictor;

/// The predictor as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "property",
        "prediction of a property: DimeNet++ on the bonds of a crystal",
        |settings, _: NoSettings| Ok(Model::predictor(PropertyPredictor::new(settings)?)),
    )
    .with_presets([
        Preset::new("property-dimenet", include_str!("presets/property-dimenet.toml")),
        Preset::new("property-small", include_str!("presets/property-small.toml")),
    ])
    .with_import(published::import)
}
