//! CrysTens, the image tensors of CrysTens GAN and CrysTens Diffusion (M. Alverson et al., Digital Discovery 3, 62,
//! 2024): what the generated images themselves are judged by, before any structure is made of them.
//!
//! The statistics live beside the codec, [`druse_data::crystens`], which knows how an image is counted and un-normalized;
//! structures decoded from images are evaluated as those of any other model.

pub use druse_data::crystens::{Collected, Consistency, consistency};
