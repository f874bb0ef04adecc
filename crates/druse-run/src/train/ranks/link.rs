//! The connection of two ranks once they know each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use druse_models::RankFailure;

/// How often a sign of life is given in the time after which silence is death.
const BEATS: u32 = 4;

/// Longest time between signs of life.
const SLOWEST_BEAT: Duration = Duration::from_secs(5);

/// What takes frames to another rank.
pub(super) trait Carrier: Send + Sync {
    /// Sends a frame; an empty one is a sign of life.
    ///
    /// # Errors
    /// [`RankFailure`].
    fn send(&self, frame: &[u8]) -> Result<(), RankFailure>;

    /// Says that nothing more will be sent; whether that can still be answered.
    fn finish(&self) -> bool;

    /// Ends the connection, both ways.
    fn close(&self);
}

/// What comes from another rank: frames that are not empty, and at the end why there are no more.
pub(super) type Frames = Receiver<Result<Vec<u8>, RankFailure>>;

/// What comes from another rank, and the way back of its buffers.
pub(super) struct Incoming {
    pub(super) frames: Frames,
    /// Buffers that may be used again.
    pub(super) spare: Sender<Vec<u8>>,
}

/// A connection on which frames come and go. What comes is read at any time, so that no writer waits for a reader that computes,
/// and a thread gives signs of life.
pub(super) struct Link {
    carrier: Arc<dyn Carrier>,
    incoming: Incoming,
    /// Dropped with the link, which ends the signs of life.
    _beating: Sender<()>,
    /// Whether a frame could not be sent whole: nothing that follows would be understood.
    broken: AtomicBool,
}

impl Link {
    /// A link whose other end takes silence for longer than `timeout` for death.
    pub(super) fn new(carrier: Arc<dyn Carrier>, incoming: Incoming, timeout: Duration) -> Self {
        let (beating, stopped) = channel::<()>();
        let beats = carrier.clone();
        thread::spawn(move || {
            let pause = (timeout / BEATS).min(SLOWEST_BEAT);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // Who waits for frames finds out what is wrong.
                if beats.send(&[]).is_err() {
                    return;
                }
            }
        });
        Self { carrier, incoming, _beating: beating, broken: AtomicBool::new(false) }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// [`RankFailure`].
    pub(super) fn send(&self, frame: &[u8]) -> Result<(), RankFailure> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(closed());
        }
        self.carrier.send(frame).inspect_err(|_| self.broken.store(true, Ordering::Relaxed))
    }

    /// The next frame; `None` when none has come by then.
    ///
    /// # Errors
    /// [`RankFailure`] when the other is gone or silent.
    pub(super) fn receive_until(&self, deadline: Instant) -> Result<Option<Vec<u8>>, RankFailure> {
        match self.incoming.frames.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(frame) => frame.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(closed()),
        }
    }

    /// The next frame, however long it takes, as long as there are signs of life.
    ///
    /// # Errors
    /// As [`Link::receive_until`].
    pub(super) fn receive(&self) -> Result<Vec<u8>, RankFailure> {
        self.incoming.frames.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Returns the buffer of a frame that has been read.
    pub(super) fn give_back(&self, frame: Vec<u8>) {
        // Without a reader nobody needs it.
        let _ = self.incoming.spare.send(frame);
    }

    /// Ends the connection so that what was sent arrives: waits for the other to close it, until then.
    pub(super) fn finish(&self, deadline: Instant) {
        if self.carrier.finish() {
            while let Ok(Some(_)) = self.receive_until(deadline) {}
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.carrier.close();
    }
}

/// What is wrong with a connection that has ended.
pub(super) fn closed() -> RankFailure {
    RankFailure::Lost("the connection was closed".into())
}
