//! One training by several processes (ranks), on one machine or many.
//!
//! Rank 0 is the run: it owns weights, optimizers, folder, clock and all decisions. The others own nothing that would have to
//! be saved or could come apart: they are sent weights and micro-batches and send back sums of gradients
//! ([`druse_models::Reduce`]). So the bits are those of one process, a run continues with any number of ranks, and the loss of
//! a rank costs the step at work.
//!
//! [`Team`] is the end of rank 0, [`Member`] that of another one. Ranks are joined by TCP, where both prove to each other that they
//! know a secret ([`Secret`]), which never travels (what follows is neither encrypted nor signed, so the network between has to
//! be one that is trusted), or by MPI ([`Mpi`]), which knows who belongs together.

mod agree;
mod children;
mod handshake;
mod link;
mod member;
mod message;
mod mpi;
mod secret;
mod tcp;
mod team;
mod wire;

use std::time::Duration;

pub use children::{Children, Orders};
pub use member::{End, Member};
pub use mpi::Mpi;
pub use secret::{SECRET_VARIABLE, Secret};
pub use team::{Exchange, Team, listen};

/// Seconds after which a silent or late rank counts as lost.
pub const TIMEOUT: f64 = 60.0;

/// What the processes of a training have to know of each other beforehand.
#[derive(Debug, Clone)]
pub struct RankOptions {
    /// Number of ranks.
    pub world: usize,
    /// What all of them know.
    pub secret: Secret,
    /// How long ranks wait for each other: to come, to give a sign of life, to finish a share after rank 0.
    pub timeout: Duration,
}
