//! Prediction of a property of crystals: DimeNet++ on the bonds of CrystalNN (the predictors of T. Xie et al., "Crystal
//! Diffusion Variational Autoencoder for Periodic Material Generation", ICLR 2022).

mod config;
mod model;
mod published;

pub use config::PropertyConfig;
pub use model::PropertyPredictor;
