//! Comparison of the networks with reference evaluations of the published ones, a file a part.

pub(crate) mod decoder;
pub(crate) mod encoder;
pub(crate) mod heads;
