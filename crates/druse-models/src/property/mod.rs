//! Models that predict a property of crystals, a folder each, and the list of them.

use crate::kinds::Kind;

pub mod alignn;
pub mod cgcnn;
pub mod dimenet;
mod element_vectors;
mod pooling;
mod regressor;
mod target;

pub use element_vectors::{ELEMENT_CLASSES, LARGEST_ELEMENT, element_vector};
pub use regressor::{CrystalNetwork, Regressor};

/// The kinds of predictors: a line a kind.
pub(crate) const KINDS: &[fn() -> Kind] = &[dimenet::kind, cgcnn::kind, alignn::kind];
