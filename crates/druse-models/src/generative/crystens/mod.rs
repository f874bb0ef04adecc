//! CrysTens: crystals as images of 64×64 pixels and 4 channels, for generators of images.
//!
//! Alverson, Baird, Murdock, Ho, Johnson, Sparks, "Generative adversarial networks and diffusion models in material
//! discovery", Digital Discovery 3, 62 (2024). The images themselves are data ([`druse_data::crystens`]).
//!
//! Adversarial networks see an image as a volume of one feature. Its axes are taken in the order channel, row, column: the
//! pixels below a kernel that is one channel deep are then neighbors in memory.

pub mod diffusion;
pub mod gan;
mod images;
mod layers;
mod model;
mod parity;
mod sampling;
pub mod wgan;

pub(crate) use images::{CrystalImages, NUMBERS};
pub use images::{ImageNormalization, ImageStatistics};
pub use sampling::{CrystensSampling, ImageDecoding};
