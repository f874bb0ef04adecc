//! Metrics of generative models of crystals, as functions of structures and of features.
//!
//! Nothing here reads files, prints, or knows a model: [`druse_crystal::Structure`]s and plain numbers go in, figures
//! come out. The evaluation driver in `druse-run` adds files, caches and progress.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod consistency;
pub mod coverage;
pub mod descriptors;
pub mod distribution;
pub mod features;
pub mod fingerprint;
pub mod generation;
pub mod matcher;
pub mod nearest;
pub mod novelty;
pub mod optimization;
pub mod reconstruction;
pub mod symmetry;
pub mod validity;
