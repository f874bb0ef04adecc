//! Generative models, a folder each, and the list of them.

use crate::kinds::Kind;

pub mod adaptive;
pub mod cdvae;
pub mod crystens;
pub mod gemsdiff;
pub mod orbit;
pub mod substitute;
pub mod symat;

/// The kinds of generative models: a line a kind.
pub(crate) const KINDS: &[fn() -> Kind] = &[
    gemsdiff::kind, //
    cdvae::kind,
    symat::kind,
    adaptive::kind,
    orbit::kind,
    substitute::kind,
    crystens::gan::kind,
    crystens::wgan::kind,
    crystens::diffusion::kind,
];
