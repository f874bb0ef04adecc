//! The thread that makes all calls of MPI.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use druse_models::RankFailure;
use mpi::datatype::Equivalence;
use mpi::environment::Universe;
use mpi::topology::{Communicator, SimpleCommunicator};
use mpi::traits::{Destination, Source};
use mpi::{Tag, Threading};

use crate::train::ranks::link::Frames;
use crate::train::ranks::wire::LONGEST;

/// Tag of the last or only piece of a frame.
const LAST: Tag = 0;

/// Tag of a piece that others follow.
const PIECE: Tag = 1;

/// Tag of what says that nothing more will be sent.
const PART: Tag = 2;

/// Bytes of a piece: counts of MPI have 31 bits, and between two pieces others are heard.
const AT_A_TIME: usize = 1 << 24;

/// First pause between looks at MPI, which wakes nobody; pauses grow while nothing happens.
const SHORTEST: Duration = Duration::from_micros(30);

/// Longest pause between looks at MPI.
const SLOWEST: Duration = Duration::from_millis(1);

/// How long a send is waited for without a pause.
const EAGER: Duration = Duration::from_millis(2);

/// How long others are given to end their side of a link.
pub(super) const PARTING: Duration = Duration::from_secs(2);

type Frame = Result<Vec<u8>, RankFailure>;

/// What the thread is asked for.
pub(super) enum Call {
    /// To send a frame.
    Send { to: usize, frame: Vec<u8> },
    /// To take silence of a process for its death, once it was heard.
    Watch { peer: usize, timeout: Duration },
    /// To send a process nothing more.
    Part(usize),
    /// To take leave of MPI.
    Leave,
}

/// Another process.
#[derive(Default)]
struct Peer {
    /// Where its frames go; `None` once it has ended its side, or is dead.
    frames: Option<Sender<Frame>>,
    /// The beginning of a frame.
    begun: Vec<u8>,
    heard: Option<Instant>,
    timeout: Option<Duration>,
    /// Whether each side has said that it will send nothing more.
    parted: [bool; 2],
}

impl Peer {
    fn end(&mut self, failure: RankFailure) {
        if let Some(frames) = self.frames.take() {
            // Nobody listens where the link was dropped.
            let _ = frames.send(Err(failure));
        }
    }
}

/// MPI, and what is known of the other processes.
pub(super) struct Post {
    universe: Universe,
    world: SimpleCommunicator,
    peers: Vec<Peer>,
    buffers: Receiver<Vec<u8>>,
}

impl Post {
    /// Joins MPI, on the thread that will make all calls; with what comes from each process. `None` when that was done before.
    pub(super) fn enter(buffers: Receiver<Vec<u8>>) -> Option<(Self, Vec<Frames>)> {
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled)?;
        let world = universe.world();
        let number = usize::try_from(world.size()).unwrap_or(1);
        let (peers, frames) = (0..number)
            .map(|_| {
                let (sender, frames) = channel();
                (Peer { frames: Some(sender), ..Peer::default() }, frames)
            })
            .unzip();
        Some((Self { universe, world, peers, buffers }, frames))
    }

    pub(super) fn rank(&self) -> usize {
        usize::try_from(self.world.rank()).unwrap_or(0)
    }

    pub(super) fn world(&self) -> usize {
        self.peers.len()
    }

    /// Does what it is asked for, and passes on what comes, until it is to leave.
    pub(super) fn serve(mut self, calls: &Receiver<Call>) {
        let mut pause = SHORTEST;
        loop {
            let heard = self.receive();
            self.look_for_silence();
            pause = if heard { SHORTEST } else { (2 * pause).min(SLOWEST) };
            let wait = if heard { Duration::ZERO } else { pause };
            match calls.recv_timeout(wait) {
                Ok(Call::Send { to, frame }) => self.send(to, &frame),
                Ok(Call::Watch { peer, timeout }) => self.peers[peer].timeout = Some(timeout),
                Ok(Call::Part(peer)) => self.part(peer),
                Err(RecvTimeoutError::Timeout) => continue,
                Ok(Call::Leave) | Err(RecvTimeoutError::Disconnected) => break,
            }
            pause = SHORTEST;
        }
        self.leave();
    }

    fn send(&mut self, to: usize, frame: &[u8]) {
        if self.peers[to].parted.contains(&true) || self.peers[to].frames.is_none() {
            return;
        }
        // A sign of life is a piece, too.
        let pieces = frame.len().div_ceil(AT_A_TIME).max(1);
        for i in 0..pieces {
            let piece = &frame[i * AT_A_TIME..frame.len().min((i + 1) * AT_A_TIME)];
            self.send_piece(to, piece, if i + 1 == pieces { LAST } else { PIECE });
        }
    }

    /// Sends a piece, and hears others meanwhile: two that send to each other would wait forever.
    fn send_piece(&mut self, to: usize, piece: &[u8], tag: Tag) {
        let world = self.universe.world();
        let process = world.process_at_rank(as_rank(to));
        mpi::request::scope(|scope| {
            let begun = Instant::now();
            let mut request = process.immediate_send_with_tag(scope, piece, tag);
            while let Err(waiting) = request.test() {
                request = waiting;
                if !self.receive() {
                    self.look_for_silence();
                    if begun.elapsed() < EAGER { thread::yield_now() } else { thread::sleep(SHORTEST) }
                }
            }
        });
    }

    fn part(&mut self, peer: usize) {
        if !std::mem::replace(&mut self.peers[peer].parted[0], true) {
            self.send_piece(peer, &[], PART);
        }
    }

    /// Passes on all that has come; whether anything has.
    fn receive(&mut self) -> bool {
        let mut any = false;
        while let Some((message, status)) = self.world.any_process().immediate_matched_probe() {
            any = true;
            let count = usize::try_from(status.count(u8::equivalent_datatype())).unwrap_or(0);
            let peer = usize::try_from(status.source_rank()).ok().and_then(|i| self.peers.get_mut(i));
            let Some(peer) = peer else { continue };
            let start = peer.begun.len();
            peer.begun.resize(start + count, 0);
            message.matched_receive_into(&mut peer.begun[start..]);
            peer.heard = Some(Instant::now());
            match status.tag() {
                PART => {
                    peer.parted[1] = true;
                    peer.frames = None;
                }
                _ if peer.begun.len() > LONGEST => {
                    let text = format!("a frame of more than {LONGEST} bytes");
                    peer.end(RankFailure::Malformed(text));
                }
                LAST if !peer.begun.is_empty() => {
                    let mut buffer = self.buffers.try_recv().unwrap_or_default();
                    buffer.clear();
                    let frame = std::mem::replace(&mut peer.begun, buffer);
                    if let Some(frames) = &peer.frames {
                        // Nobody listens where the link was dropped.
                        let _ = frames.send(Ok(frame));
                    }
                }
                _ => {}
            }
        }
        any
    }

    fn look_for_silence(&mut self) {
        for peer in self.peers.iter_mut().filter(|p| p.frames.is_some()) {
            let (Some(heard), Some(timeout)) = (peer.heard, peer.timeout) else { continue };
            if heard.elapsed() > timeout {
                peer.end(RankFailure::Silent { seconds: timeout.as_secs_f64() });
            }
        }
    }

    /// Takes leave together with the others, if all links were ended by both sides: nobody waits for a process that is gone.
    fn leave(mut self) {
        let linked = |post: &Self| match post.rank() {
            0 => 1..post.world(),
            _ => 0..1,
        };
        let begun = Instant::now();
        while !linked(&self).all(|i| self.peers[i].parted == [true; 2]) {
            if begun.elapsed() > PARTING {
                std::mem::forget(self.universe);
                return;
            }
            self.receive();
            thread::sleep(SHORTEST);
        }
    }
}

fn as_rank(peer: usize) -> mpi::Rank {
    mpi::Rank::try_from(peer).expect("it comes from MPI")
}
