//! How exactly potentials compute.

/// Digits that a network computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digits {
    /// 32 bits, for use.
    #[default]
    Single,
    /// 64 bits, to check the others.
    Double,
}
