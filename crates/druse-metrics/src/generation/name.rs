//! Names of the protocols.

use std::fmt;
use std::str::FromStr;

/// Names of the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProtocolName {
    /// [`Protocol::cdvae`](super::Protocol::cdvae).
    #[default]
    Cdvae,
    /// [`Protocol::symat`](super::Protocol::symat).
    Symat,
    /// [`Protocol::adaptive`](super::Protocol::adaptive).
    Adaptive,
    /// [`Protocol::gemsdiff`](super::Protocol::gemsdiff).
    Gemsdiff,
    /// [`Protocol::crystens`](super::Protocol::crystens).
    Crystens,
    /// [`Protocol::strict`](super::Protocol::strict).
    Strict,
}

/// A name that is no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol `{0}`; known are cdvae, symat, adaptive, gemsdiff, crystens and strict")]
pub struct UnknownProtocol(String);

impl ProtocolName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Cdvae, Self::Symat, Self::Adaptive, Self::Gemsdiff, Self::Crystens, Self::Strict];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cdvae => "cdvae",
            Self::Symat => "symat",
            Self::Adaptive => "adaptive",
            Self::Gemsdiff => "gemsdiff",
            Self::Crystens => "crystens",
            Self::Strict => "strict",
        }
    }

    /// Whose rules they are.
    pub fn about(self) -> &'static str {
        match self {
            Self::Cdvae => "CDVAE's, with which most models of the field were published",
            Self::Symat => "SyMat's",
            Self::Adaptive => "That of diffusion with adaptive cells",
            Self::Gemsdiff => "GemsDiff's",
            Self::Crystens => {
                "CrysTens': distributions over all structures, and how images contradict themselves"
            }
            Self::Strict => "CDVAE's metrics by rules without its quirks",
        }
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ProtocolName {
    type Err = UnknownProtocol;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        // Earlier versions called the strict rules by another name.
        let name = if s == "honest" { "strict" } else { s };
        Self::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| UnknownProtocol(s.to_owned()))
    }
}
