//! CrysTens: crystals as images of 64×64 pixels and 4 channels, for generators of images.
//!
//! Alverson, Baird, Murdock, Ho, Johnson, Sparks, "Generative adversarial networks and diffusion models in material
//! discovery", Digital Discovery 3, 62 (2024). The images themselves are data ([`druse_data::crystens`]).

pub mod diffusion;
mod images;
mod sampling;

pub(crate) use images::CrystalImages;
pub use images::{ImageNormalization, ImageStatistics};
pub use sampling::{CrystensSampling, ImageDecoding};
