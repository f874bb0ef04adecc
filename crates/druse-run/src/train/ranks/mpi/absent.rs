//! A build without MPI.

use std::time::Duration;

use crate::error::RankError;
use crate::train::ranks::link::Link;

/// The processes that mpirun has started, which this build cannot join.
#[derive(Debug)]
pub enum Mpi {}

impl Mpi {
    /// Joins the processes that mpirun has started.
    ///
    /// # Errors
    /// [`RankError::Mpi`], always.
    pub fn enter() -> Result<Self, RankError> {
        let reason = "this program was built without it; build it with `--features mpi` where MPI's compiler (mpicc) and libclang \
                      are, or let the ranks meet by TCP: --rank auto --rendezvous HOST:PORT";
        Err(RankError::Mpi { reason: reason.into() })
    }

    /// Number of this process.
    pub fn rank(&self) -> usize {
        match *self {}
    }

    /// Number of all processes.
    pub fn world(&self) -> usize {
        match *self {}
    }

    pub(in crate::train::ranks) fn link(&self, _: usize, _: Duration) -> Result<Link, RankError> {
        match *self {}
    }
}
