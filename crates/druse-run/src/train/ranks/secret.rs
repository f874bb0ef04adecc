//! What all ranks of a training know, and nobody else.

use std::fmt::{self, Debug, Formatter, Write};
use std::path::Path;

use druse_crystal::files;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::RunError;
use crate::error::RankError;

/// The environment variable that a secret is taken from.
pub const SECRET_VARIABLE: &str = "DRUSE_TRAIN_SECRET";

/// Fewest characters of a secret.
const SHORTEST: usize = 16;

/// Length of a proof in bytes.
pub(super) const PROOF: usize = 32;

/// A secret; its text is shown nowhere.
#[derive(Clone)]
pub struct Secret(String);

impl Debug for Secret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// The given text without space around it.
    ///
    /// # Errors
    /// [`RankError::Secret`] when it is too short.
    pub fn new(text: &str) -> Result<Self, RankError> {
        let text = text.trim();
        let n = text.chars().count();
        if n < SHORTEST {
            let reason = format!("the one that is given has {n} characters, and {SHORTEST} are the fewest");
            return Err(RankError::Secret { reason });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text of a file, or of the environment variable [`SECRET_VARIABLE`].
    ///
    /// # Errors
    /// [`RankError::Secret`] when there is none, [`RunError::Read`].
    pub fn find(file: Option<&Path>) -> Result<Self, RunError> {
        if let Some(path) = file {
            return Ok(Self::new(&files::read_to_string(path)?)?);
        }
        match std::env::var(SECRET_VARIABLE) {
            Ok(text) => Ok(Self::new(&text)?),
            Err(_) => {
                let reason = format!("set the variable {SECRET_VARIABLE} or name a file with --secret-file");
                Err(RankError::Secret { reason }.into())
            }
        }
    }

    /// A fresh one of 256 random bits.
    ///
    /// # Errors
    /// [`RankError::Random`].
    pub fn random() -> Result<Self, RankError> {
        let mut text = String::new();
        for byte in nonce()? {
            write!(text, "{byte:02x}").map_err(|e| RankError::Random(e.to_string()))?;
        }
        Ok(Self(text))
    }

    /// The text, to be handed to a child process.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// Proof of knowing the secret: HMAC-SHA256 (RFC 2104, FIPS 180-4) of a purpose, both nonces and the rank.
    pub(super) fn proof(&self, purpose: Purpose, nonces: &Nonces, rank: u32) -> [u8; PROOF] {
        self.mac(purpose, nonces, rank).finalize().into_bytes().into()
    }

    /// Whether a proof is right, in a time that does not tell how much of it is.
    pub(super) fn accepts(&self, proof: &[u8; PROOF], purpose: Purpose, nonces: &Nonces, rank: u32) -> bool {
        self.mac(purpose, nonces, rank).verify_slice(proof).is_ok()
    }

    fn mac(&self, purpose: Purpose, nonces: &Nonces, rank: u32) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes keys of any length");
        // All parts have fixed lengths: no two lists of parts are the same bytes.
        mac.update(match purpose {
            Purpose::Rank => b"druse training, rank",
            Purpose::Root => b"druse training, root",
        });
        mac.update(&nonces.root);
        mac.update(&nonces.rank);
        mac.update(&rank.to_le_bytes());
        mac
    }
}

/// Who proves: a proof of one cannot be sent back as that of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Rank,
    Root,
}

/// Random numbers that both have chosen for one connection: no proof can be used a second time.
pub(super) struct Nonces {
    pub(super) root: [u8; 32],
    pub(super) rank: [u8; 32],
}

/// A number that nobody can foresee.
///
/// # Errors
/// [`RankError::Random`].
pub(super) fn nonce() -> Result<[u8; 32], RankError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|e| RankError::Random(e.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_depend_on_everything_and_secrets_are_not_shown() {
        let secret = Secret::new(" a secret of the group\n").unwrap();
        let nonces = || Nonces { root: [1; 32], rank: [2; 32] };
        let proof = secret.proof(Purpose::Rank, &nonces(), 1);
        assert!(secret.accepts(&proof, Purpose::Rank, &nonces(), 1));
        assert!(!secret.accepts(&proof, Purpose::Root, &nonces(), 1));
        assert!(!secret.accepts(&proof, Purpose::Rank, &nonces(), 2));
        assert!(!secret.accepts(&proof, Purpose::Rank, &Nonces { root: [3; 32], rank: [2; 32] }, 1));
        assert!(!secret.accepts(&proof, Purpose::Rank, &Nonces { root: [1; 32], rank: [3; 32] }, 1));
        let other = Secret::new("a secret of the groop").unwrap();
        assert!(!other.accepts(&proof, Purpose::Rank, &nonces(), 1));
        assert!(!format!("{secret:?}").contains("group"));
        assert!(matches!(Secret::new("  short            "), Err(RankError::Secret { .. })));
        assert_ne!(Secret::random().unwrap().reveal(), Secret::random().unwrap().reveal());
        assert_eq!(Secret::random().unwrap().reveal().len(), 64);
    }

    /// RFC 4231, test case 2, through the same crate: the algorithm is the one that it is said to be.
    #[test]
    fn the_algorithm_is_hmac_sha256() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        assert_eq!(bytes[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(bytes[28..], [0x64, 0xec, 0x38, 0x43]);
    }
}
