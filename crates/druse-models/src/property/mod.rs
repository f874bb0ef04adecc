//! Models that predict a property of a crystal, a folder each, and the list of them.

use crate::kinds::Kind;

pub mod dimenet;

/// The kinds of predictors: a line a kind.
pub(crate) const KINDS: &[fn() -> Kind] = &[dimenet::kind];
