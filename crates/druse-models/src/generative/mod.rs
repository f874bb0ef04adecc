//! Generative models, a folder each.

pub mod cdvae;
pub mod gemsdiff;
