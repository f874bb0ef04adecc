//! Metrics of generative models of crystals, as functions of structures and of features.
//!
//! Nothing here reads files, prints, or knows a model: [`druse_crystal::Structure`]s and plain numbers go in, figures
//! come out. The evaluation driver in `druse-run` adds files, caches and progress.

pub mod consistency;
pub mod coverage;
pub mod distribution;
pub mod fingerprint;
pub mod matcher;
pub mod novelty;
pub mod optimization;
pub mod reconstruction;
pub mod symmetry;
pub mod validity;
