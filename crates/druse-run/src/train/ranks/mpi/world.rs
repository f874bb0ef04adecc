//! MPI as seen from the threads of a process that have something to send.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use druse_models::RankFailure;

use super::post::{Call, PARTING, Post};
use crate::error::RankError;
use crate::train::ranks::link::{Carrier, Frames, Incoming, Link, closed};

/// The processes that mpirun has started, and this one among them.
///
/// A thread of its own makes all calls of MPI. It takes leave of MPI when this value is dropped and all links were
/// ended by both sides; else the process ends without, upon which mpirun ends the others.
pub struct Mpi {
    rank: usize,
    world: usize,
    calls: Sender<Call>,
    /// What has come from each process until a link takes it over.
    frames: Mutex<Vec<Option<Frames>>>,
    spare: Sender<Vec<u8>>,
    /// Closed when the thread has taken leave.
    left: Receiver<()>,
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {} of MPI", self.rank, self.world)
    }
}

impl Mpi {
    /// Joins the processes that mpirun has started; one that was started by hand is alone.
    ///
    /// # Errors
    /// [`RankError::Mpi`] when this process has joined them already.
    pub fn enter() -> Result<Self, RankError> {
        let (calls, called) = channel();
        let (spare, buffers) = channel();
        let (told, entered) = channel();
        let (leaving, left) = channel::<()>();
        thread::spawn(move || {
            let Some((post, frames)) = Post::enter(buffers) else { return };
            if told.send((post.rank(), post.world(), frames)).is_ok() {
                post.serve(&called);
            }
            drop(leaving);
        });
        let twice = |_| RankError::Mpi { reason: "this process has joined it already".into() };
        let (rank, world, frames) = entered.recv().map_err(twice)?;
        let frames = Mutex::new(frames.into_iter().map(Some).collect());
        Ok(Self { rank, world, calls, frames, spare, left })
    }

    /// Number of this process.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of all processes.
    pub fn world(&self) -> usize {
        self.world
    }

    /// A link to another process; silence for longer than `timeout` after its first sign of life is death.
    ///
    /// # Errors
    /// [`RankError::Mpi`] when there is one already.
    pub(in crate::train::ranks) fn link(&self, peer: usize, timeout: Duration) -> Result<Link, RankError> {
        let mut all = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let twice = || RankError::Mpi { reason: format!("there is a link to process {peer} already") };
        let frames = all.get_mut(peer).and_then(Option::take).ok_or_else(twice)?;
        let carrier = Passage { peer, calls: self.calls.clone() };
        // Without the thread the first frame fails.
        let _ = self.calls.send(Call::Watch { peer, timeout });
        Ok(Link::new(Arc::new(carrier), Incoming { frames, spare: self.spare.clone() }, timeout))
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        if self.calls.send(Call::Leave).is_ok() {
            // Whether it has left or is held up: the process may end.
            let _ = self.left.recv_timeout(PARTING + Duration::from_secs(1));
        }
    }
}

/// The way to one other process.
struct Passage {
    peer: usize,
    calls: Sender<Call>,
}

impl Carrier for Passage {
    fn send(&self, frame: &[u8]) -> Result<(), RankFailure> {
        self.calls.send(Call::Send { to: self.peer, frame: frame.to_vec() }).map_err(|_| closed())
    }

    fn finish(&self) -> bool {
        self.calls.send(Call::Part(self.peer)).is_ok()
    }

    fn close(&self) {
        // Without the thread it is closed.
        let _ = self.calls.send(Call::Part(self.peer));
    }
}
