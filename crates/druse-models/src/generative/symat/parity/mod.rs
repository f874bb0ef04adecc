//! Comparison with evaluations of the published code.

pub(crate) mod encoder;
pub(crate) mod heads;
pub(crate) mod score;
