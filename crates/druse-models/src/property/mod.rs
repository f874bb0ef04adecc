//! Models that predict a property of a crystal, a folder each.

pub mod dimenet;
